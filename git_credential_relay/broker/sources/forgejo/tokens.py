"""Tokens of a Forgejo user as its API tells of them, and the names that ours have. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from git_credential_relay.secret import Secret

_NAME = re.compile(r"broker/([A-Za-z0-9_-]{1,64})/([0-9]{1,12})", re.ASCII)
_TOKEN = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Listed:
    """One token of the user's list."""

    id: int
    name: str

    @property
    def lease_id(self) -> str | None:
        """The lease it was made for; None for a token that is none of ours."""
        match = _NAME.fullmatch(self.name)
        return match[1] if match else None

    def is_over(self, now: float) -> bool:
        """Whether it is ours and its time has passed."""
        match = _NAME.fullmatch(self.name)
        return match is not None and int(match[2]) <= now


@dataclass(frozen=True, slots=True)
class Created:
    """A token as the forge answered it. `repositories` is empty for one that is not limited."""

    id: int
    token: Secret
    scopes: tuple[str, ...]
    repositories: tuple[tuple[str, int | None], ...]


@dataclass(frozen=True, slots=True)
class Handle:
    """What it takes to delete a token: whose it is and its number."""

    user: str
    id: int


def format_name(lease_id: str, expires_at: int) -> str:
    """The name of a lease's token, from which its end can be read at the forge."""
    return f"broker/{lease_id}/{expires_at}"


def serialize_handle(handle: Handle) -> str:
    """The handle as a text."""
    return json.dumps({"user": handle.user, "id": handle.id})


def parse_handle(text: str) -> Handle | None:
    """The handle in a text, or None where there is none."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    number = find_id(document)
    user = document.get("user") if number else None
    return Handle(user, number) if number and isinstance(user, str) else None


def find_id(document: Any) -> int | None:
    """The number of a token that was made, whatever else the answer says."""
    number = document.get("id") if isinstance(document, dict) else None
    return number if _is_id(number) else None


def parse_created(document: Any) -> Created | None:
    """The token in a 201, or None where something is missing or is not what it has to be."""
    if not isinstance(document, dict) or not _is_id(document.get("id")):
        return None
    token, scopes = document.get("sha1"), document.get("scopes")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        return None
    if not isinstance(scopes, list) or not all(isinstance(scope, str) for scope in scopes):
        return None
    repositories = _parse_repositories(document.get("repositories"))
    if repositories is None:
        return None
    return Created(document["id"], Secret(token), tuple(scopes), repositories)


def parse_list(document: Any) -> list[Listed]:
    """The tokens in one page of the list; what is no token is left out."""
    if not isinstance(document, list):
        return []
    return [
        Listed(entry["id"], entry["name"])
        for entry in document
        if isinstance(entry, dict)
        and _is_id(entry.get("id"))
        and isinstance(entry.get("name"), str)
    ]


def _parse_repositories(document: Any) -> tuple[tuple[str, int | None], ...] | None:
    """Names and numbers; empty where the forge names none, which means all of the user's."""
    if document is None:
        return ()
    if not isinstance(document, list):
        return None
    parsed: list[tuple[str, int | None]] = []
    for entry in document:
        if not isinstance(entry, dict):
            return None
        owner, name, number = entry.get("owner"), entry.get("name"), entry.get("id")
        if not isinstance(owner, str) or not isinstance(name, str):
            return None
        parsed.append((f"{owner}/{name}", number if _is_id(number) else None))
    return tuple(parsed)


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
