"""What the admin API takes and gives; names on the wire are in camel case."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from git_credential_relay.broker.config.model import Name, Text
from git_credential_relay.broker.workspaces.document import (
    GrantDocument,
    IdentityDocument,
    Token,
)

MAX_OVERLAP = 7 * 86_400
Grants = Annotated[list[GrantDocument], Meta(min_length=1, max_length=100)]
Identities = Annotated[list[IdentityDocument], Meta(max_length=100)]


class _Request(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    def __repr__(self) -> str:
        return type(self).__name__  # there may be a token in it


class CreateRequest(_Request, kw_only=True):
    """POST /api/workspaces: either a git URL, with what is wanted there, or whole grants.

    `token` is a user's own, where no integration is to mint. `allow_partial` accepts what the
    forge gives of the permissions. `with_secret` False makes no secret: identity tokens alone
    speak for the workspace.
    """

    id: Name | None = None
    git_url: Text | None = None
    integration: Name | None = None
    token: Token | None = None
    username: Text | None = None
    permissions: dict[str, str] | None = None
    uses: list[str] | None = None
    read_only: bool = False
    grants: Grants | None = None
    identities: Identities = []
    session_hmac: bool = False
    with_secret: bool = True
    allow_partial: bool = False


class ChangeRequest(_Request, kw_only=True):
    """PATCH /api/workspaces/{id}: what is left out stays.

    `token` and `username` are those of the only grant. `revision` is the one that was read; a
    workspace that has another one by now is not changed.
    """

    revision: int | None = None
    grants: Grants | UnsetType = UNSET
    identities: Identities | UnsetType = UNSET
    session_hmac: bool | UnsetType = UNSET
    token: Token | UnsetType | None = UNSET
    username: Text | UnsetType | None = UNSET
    allow_partial: bool = False


class RotateRequest(_Request, kw_only=True):
    """POST /api/workspaces/{id}/rotate: how long the former secrets stay valid; 0: not at all."""

    overlap_seconds: Annotated[int, Meta(ge=0, le=MAX_OVERLAP)] = 3600
    revision: int | None = None


class SecretView(Struct, rename="camel", kw_only=True):
    """A secret that is accepted. Times are RFC 3339; None where unknown, or for ever."""

    created_at: str | None
    expires_at: str | None


class WorkspaceView(Struct, rename="camel", kw_only=True):
    """A workspace without its secrets. `origin` is file or api; those of the file are read-only."""

    id: str
    origin: str
    revision: int
    created_at: str | None
    updated_at: str | None
    grants: list[GrantDocument]
    identities: list[IdentityDocument]
    session_hmac: bool
    secrets: list[SecretView]


class Works(Struct, rename="camel", kw_only=True):
    """What a grant will give at one repository, or for one pattern.

    `verified` False: nobody could be asked. `missing` says of each permission that was wanted
    and cannot be had, why.
    """

    host: str
    repository: str
    repository_id: int | None = None
    permissions: dict[str, str]
    missing: dict[str, str] = {}
    source: str
    verified: bool = True


class Created(Struct, rename="camel", kw_only=True):
    """The answer to a creation. `secret` is shown here and never again."""

    workspace: WorkspaceView
    secret: str | None
    works: list[Works]
    relay_env: dict[str, str]

    def __repr__(self) -> str:
        return f"Created({self.workspace.id})"


class Changed(Struct, rename="camel", kw_only=True):
    """The answer to a change. `works` tells of the grants that are new."""

    workspace: WorkspaceView
    works: list[Works]


class Rotated(Struct, rename="camel", kw_only=True):
    """The answer to a rotation. `secret` is shown here and never again."""

    workspace: WorkspaceView
    secret: str

    def __repr__(self) -> str:
        return f"Rotated({self.workspace.id})"


class Deleted(Struct, rename="camel", kw_only=True):
    """The answer to a deletion: how many live tokens were ended, and how many could not be yet."""

    id: str
    revoked: int
    failed: int


class Page(Struct, rename="camel", kw_only=True):
    """Some workspaces; `next` is what to give as `after` for more, None at the end."""

    workspaces: list[WorkspaceView]
    next: str | None


encode = msgspec.json.Encoder().encode
