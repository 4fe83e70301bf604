"""A token source that mints from a counter, for tests of what stands in front of sources."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from git_credential_relay.broker.sources.interface import (
    Lease,
    Minted,
    Repository,
    Scope,
    Verified,
)
from git_credential_relay.secret import Secret, token_sha256


@dataclass
class FakeSource:
    """Mints `tok-1`, `tok-2`, …; knows which it has minted, revoked and been told are refused.

    `fails` is raised by the next mints while it is set; `seconds` is how long a mint takes;
    `changes` turns what was minted into something else, as a forge that misbehaves would.
    """

    now: Callable[[], float]
    name: str = "fake"
    kind: str = "github"
    host: str = "github.com"
    needs_lease_first: bool = False
    refreshes_ahead: bool = True
    verifies_fresh: bool = False
    lifetime: int | None = 3600
    seconds: float = 0.0
    fails: Exception | None = None
    same_token: str | None = None
    changes: Callable[[Minted], Minted] = lambda minted: minted
    scopes: list[Scope] = field(default_factory=list)
    leases: list[Lease] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    rejected: list[str] = field(default_factory=list)
    looks: int = 0
    unaccepted_looks: int = 0
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def mints(self) -> int:
        """How many tokens were asked for."""
        return len(self.scopes)

    def narrow(self, scope: Scope) -> Scope:
        """One token for both uses, as GitHub's."""
        return replace(scope, use="any")

    def lease_seconds(self, now: float) -> int:
        """As long as a token lives."""
        return self.lifetime or 3600

    async def mint(self, scope: Scope, lease: Lease, deadline: float) -> Minted:
        """The next token."""
        self.scopes.append(scope)
        self.leases.append(lease)
        await asyncio.sleep(self.seconds)
        if self.fails is not None:
            raise self.fails
        token = self.same_token or f"tok-{next(self._numbers)}"
        minted = Minted(
            Secret(token),
            "x-access-token",
            None if self.lifetime is None else int(self.now()) + self.lifetime,
            tuple(repository.name for repository in scope.repositories),
            dict(scope.permissions),
            "installation",
            handle=f"id-{token}",
        )
        return self.changes(minted)

    async def is_accepted(self, token: Secret, scope: Scope) -> bool:
        """Not before it was asked `unaccepted_looks` times, and not what was refused."""
        self.looks += 1
        return self.looks > self.unaccepted_looks and token_sha256(token) not in self.refused

    async def reject(self, token_sha256: str) -> None:
        """Remember it."""
        self.rejected.append(token_sha256)

    async def revoke(self, lease: Lease) -> None:
        """Remember it."""
        self.revoked.append(lease.token.reveal() if lease.token else f"by name {lease.id}")

    async def verify(self, repository: str, permissions: Mapping[str, str]) -> Verified:
        """Everything will work."""
        return Verified(Repository(repository, 1), dict(permissions))

    async def reap(self, now: float) -> int:
        """Nothing to do."""
        return 0

    async def aclose(self) -> None:
        """Nothing to do."""


@dataclass
class FakeLeases:
    """The record of leases, in memory. `fails` is raised by every call while it is set."""

    added: list[Lease] = field(default_factory=list)
    finished: list[tuple[str, str, Secret | None, int, str]] = field(default_factory=list)
    fails: Exception | None = None

    async def add_lease(self, lease: Lease) -> None:
        """Remember it."""
        if self.fails is not None:
            raise self.fails
        self.added.append(lease)

    async def finish_lease(
        self, lease_id: str, handle: str, token: Secret | None, expires_at: int, token_sha256: str
    ) -> None:
        """Remember it."""
        if self.fails is not None:
            raise self.fails
        self.finished.append((lease_id, handle, token, expires_at, token_sha256))

    async def end_lease(self, id: str) -> None:
        """Forget it."""
        self.added = [lease for lease in self.added if lease.id != id]
