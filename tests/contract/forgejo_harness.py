"""The token source for Forgejo, for the contract of all token sources."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from git_credential_relay.broker.sources.interface import Lease, Repository, Scope
from git_credential_relay.secret import Secret
from tests.fakes.forgejo_world import (
    OTHER_REPOSITORY,
    REPOSITORY,
    TOKENS,
    ForgejoWorld,
    git_works,
    new_lease,
)


class ForgejoHarness:
    """A source and its forge; `mode` is "admin" (Forgejo 16) or "basic" (15)."""

    def __init__(self, mode: str) -> None:
        self.name = f"forgejo-{mode}"
        self._world = ForgejoWorld(mode)
        self.source = self._world.source()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.source.aclose()
        self._world.__exit__(kind, error, trace)

    @property
    def mints(self) -> int:
        """How many tokens the forge has issued."""
        return self._world.forgejo.mints

    @property
    def violations(self) -> list[str]:
        """What broke the contract of the forge's API."""
        return self._world.faults.violations

    def scope(self, use: str = "git", write: bool = True) -> Scope:
        """A scope for one repository."""
        permissions = {"contents": "write" if write else "read"}
        return Scope((Repository(REPOSITORY),), permissions, use)

    def lease(self) -> Lease:
        """A lease that no other token has."""
        return new_lease()

    def works(self, token: Secret, username: str, push: bool) -> bool:
        """Whether git can fetch, or push, with the token."""
        return git_works(self._world.forge, token, username, REPOSITORY, push)

    def other_repository_works(self, token: Secret, username: str) -> bool:
        """Whether git can fetch a repository that the scope does not name."""
        return git_works(self._world.forge, token, username, OTHER_REPOSITORY, push=False)

    def fail_next(self, status: int | None = None, drop: str | None = None) -> None:
        """Let the next mint fail at the forge, however often it is tried."""
        self._world.faults.inject("POST", TOKENS, status=status, body={}, drops=drop, times=3)
