"""The seam between the vending chain and the forges.

A token source mints tokens at one forge, or holds one. It never decides who may have them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from git_credential_relay.secret import Secret

# Levels of a permission, weakest first, in GitHub's words; every source translates them.
LEVELS = ("read", "write", "admin")


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository: `owner/name` (`a/b/c` where groups nest), and the forge's id if pinned.

    With an id, a repository of the same name that came later is another one; and one that was
    renamed is still the same.
    """

    name: str
    id: int | None = None

    @property
    def owner(self) -> str:
        """Everything before the last slash."""
        return self.name.rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class Scope:
    """What a token is to be good for, and for nothing more.

    `permissions` maps names to one of LEVELS, in GitHub's vocabulary (contents, pull_requests,
    issues, …). `use` is `git` or `api`, or `any` where a source gives the same token for both.
    `access_level` is GitLab's number for the role a token acts in, where the grant says one.
    """

    repositories: tuple[Repository, ...]
    permissions: Mapping[str, str]
    use: str
    access_level: int | None = None


@dataclass(frozen=True, slots=True)
class Minted:
    """A token that a forge has issued, within the scope it was asked for.

    `expires_at` is Unix seconds, None for one that never expires by itself. `repositories` and
    `permissions` are what the forge says came out. `handle` is what `revoke` needs besides the
    token, as a text of the source's own making. `is_ours` is False for a token that was lent to
    us and may serve others, so that it must not be revoked at the end of a lease.
    """

    token: Secret
    username: str
    expires_at: int | None
    repositories: tuple[str, ...]
    permissions: Mapping[str, str]
    token_type: str
    handle: str = ""
    is_ours: bool = True


@dataclass(frozen=True, slots=True)
class Lease:
    """The record of one token, made before it is minted where the forge lets it live for ever.

    `id` is unique and short enough to be part of the token's name at the forge
    (`broker/<id>/<expires_at>`). `handle` and `token` are empty until the mint is done.
    `location` is where the source would look for it by name: a project, a user.
    """

    id: str
    workspace_id: str
    source: str
    expires_at: int
    location: str = ""
    handle: str = ""
    token: Secret | None = None
    token_sha256: str = ""


@dataclass(frozen=True, slots=True)
class Verified:
    """What a forge says about a repository that a workspace is to be created for.

    `repository.id` is the forge's own. `permissions` is what a token can have there, of what was
    wanted; `missing` what it cannot, with the reason a person needs.
    """

    repository: Repository
    permissions: Mapping[str, str]
    missing: Mapping[str, str] = field(default_factory=dict)


class TokenSource(Protocol):
    """Mints tokens at one forge.

    Errors are those of broker.errors: ForgeRefusedError for what will not pass by itself (its
    code says which cause), ForgeUnavailableError with `retry_after` for what may. A source
    retries within `deadline`, as the forge's contract allows, and nobody above it does.
    """

    name: str
    """Unique and stable; in the audit, in metrics and in leases."""
    kind: str
    host: str
    needs_lease_first: bool
    """The lease must be on record before the mint, because the token never expires by itself."""
    refreshes_ahead: bool
    """A new token may be minted while older ones are in use."""
    verifies_fresh: bool
    """The chain asks `is_accepted` before it hands a fresh token out (replication lag)."""

    def narrow(self, scope: Scope) -> Scope:
        """`scope` as this source can give it: equal results share one token.

        Pure. Raises GrantMissingError for what no token of this source can be narrowed to.
        """
        ...

    def lease_seconds(self, now: float) -> int:
        """How long a token minted now may live."""
        ...

    async def mint(self, scope: Scope, lease: Lease, deadline: float) -> Minted:
        """A new token for exactly `scope`, or what the forge made narrower.

        `deadline` is on the clock of time.monotonic(). Whatever came back wider has been
        revoked, and is a ForgeRefusedError with the code FORGE_SCOPE_MISMATCH.
        """
        ...

    async def is_accepted(self, token: Secret, scope: Scope) -> bool:
        """Whether the forge takes the token now. One minted a moment ago may not be yet.

        True where it cannot be known without using the token up.
        """
        ...

    async def reject(self, token_sha256: str) -> None:
        """The forge has refused this token: the next mint must not give the same again.

        Nothing to do where every mint makes a new one.
        """
        ...

    async def revoke(self, lease: Lease) -> None:
        """End the token of a lease at the forge; one that is gone already is no error.

        With an empty `handle` the mint was interrupted: the source looks for it by its name.
        """
        ...

    async def verify(self, repository: str, permissions: Mapping[str, str]) -> Verified:
        """What a workspace with these permissions would get for the repository, minting nothing.

        Raises ForgeRefusedError where nothing would work, with a hint that says what to do.
        """
        ...

    async def reap(self, now: float) -> int:
        """Delete tokens of ours at the forge whose time is over; how many there were."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...
