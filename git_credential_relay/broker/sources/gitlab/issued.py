"""What came back from making an access token, checked against what was asked. Pure.

A token that can do more than was asked is as bad as none: it is refused and deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeGuard

from git_credential_relay.broker.sources.gitlab.expiry import parse_date
from git_credential_relay.broker.sources.gitlab.places import Place
from git_credential_relay.secret import Secret

MAX_TOKEN = 8192


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """An access token to be made. `expires_on` is the date at whose start it dies."""

    name: str
    scopes: tuple[str, ...]
    access_level: int
    expires_on: date

    def serialize(self) -> dict[str, Any]:
        """The body of the POST."""
        return {
            "name": self.name,
            "scopes": list(self.scopes),
            "access_level": self.access_level,
            "expires_at": self.expires_on.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """An access token as GitLab made it."""

    token: Secret
    id: int
    scopes: tuple[str, ...]
    access_level: int


class MismatchError(Exception):
    """The token is not what was asked; the text says in what, and holds no token."""


def parse_issued(body: object, asked: TokenRequest, place: Place) -> IssuedToken:
    """The token in an answer to `asked`. Raises MismatchError for any other than that."""
    fields: Mapping[str, Any] = body if isinstance(body, dict) else {}
    scopes, level = fields.get("scopes"), fields.get("access_level")
    _require(type(fields.get("id")) is int, "id")
    _require(is_token(fields.get("token")), "token")
    _require(fields.get("name") == asked.name, "name")
    _require(fields.get("active") is True and fields.get("revoked") is False, "active")
    _require(
        isinstance(scopes, list) and bool(scopes) and set(scopes) <= set(asked.scopes), "scopes"
    )
    _require(type(level) is int and 0 < level <= asked.access_level, "access_level")
    _require(parse_date(fields.get("expires_at")) == asked.expires_on, "expires_at")
    _require(fields.get("resource_type") == place.kind.removesuffix("s"), "resource_type")
    _require(fields.get("resource_id") == place.id, "resource_id")
    return IssuedToken(Secret(fields["token"]), fields["id"], tuple(scopes or ()), level or 0)


def id_of(body: object) -> int | None:
    """The token's number in an answer that may be wrong in everything else."""
    token_id = body.get("id") if isinstance(body, dict) else None
    return token_id if type(token_id) is int else None


def is_token(text: object) -> TypeGuard[str]:
    """Whether this can be a token: printable ASCII of any length within reason."""
    return (
        isinstance(text, str)
        and 0 < len(text) <= MAX_TOKEN
        and all("!" <= character <= "~" for character in text)
    )


def _require(is_so: bool, field: str) -> None:
    if not is_so:
        raise MismatchError(field)
