"""A token's name and handle: how what was made for a lease is found again. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from git_credential_relay.broker.sources.gitlab.places import GROUPS, PROJECTS, Place
from git_credential_relay.broker.sources.interface import Lease

PREFIX = "broker/"
_NAME = re.compile(r"broker/[A-Za-z0-9._-]+/([0-9]{1,12})")


@dataclass(frozen=True, slots=True)
class Handle:
    """One access token of a project or group, by its number."""

    place: Place
    token_id: int

    @property
    def path(self) -> str:
        """The token's address in the API."""
        return f"{self.place.tokens}/{self.token_id}"

    def serialize(self) -> str:
        """The text that a lease keeps."""
        return json.dumps([self.place.kind, self.place.id, self.token_id])


def parse_handle(text: str) -> Handle | None:
    """The handle of a lease, or None for an empty one and for what is not ours."""
    try:
        kind, place_id, token_id = json.loads(text)
    except (ValueError, TypeError):
        return None
    if kind not in (PROJECTS, GROUPS) or type(place_id) is not int or type(token_id) is not int:
        return None
    return Handle(Place(kind, place_id), token_id)


def token_name(lease: Lease) -> str:
    """The lease's own name for its token; nobody else makes one of the same."""
    return f"{PREFIX}{lease.id}/{lease.expires_at}"


def ends_at(name: object) -> int | None:
    """When the lease of a token of this name is over; None for a token that is not ours."""
    match = _NAME.fullmatch(name) if isinstance(name, str) else None
    return int(match[1]) if match else None
