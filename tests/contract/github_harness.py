"""The token source of a GitHub App, for the contract of all token sources."""

from __future__ import annotations

from dataclasses import replace
from types import TracebackType
from typing import Self

from git_credential_relay.broker.sources.hooks import SourceHooks
from git_credential_relay.broker.sources.interface import Lease, Scope
from git_credential_relay.secret import Secret
from tests.fakes.github_app import MINTS, GitHubAppWorld, new_lease, scope_of

REPOSITORY = "acme/app"
OTHER_REPOSITORY = "acme/lib"  # in the same installation: the forge could give both


class GitHubHarness:
    """A source and its forge; close `source` in the event loop that used it.

    `with` ends the forge alone, `async with` closes the source first.
    """

    name = "github"

    def __init__(self) -> None:
        self._world = GitHubAppWorld(has_git=True)
        self.source = self._world.source(hooks=SourceHooks(sleep=_do_not_wait))
        self._leases = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._world.__exit__(kind, error, trace)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.source.aclose()
        self.__exit__(kind, error, trace)

    @property
    def mints(self) -> int:
        """How many tokens the forge has issued."""
        return self._world.github.mints

    @property
    def violations(self) -> list[str]:
        """What broke the contract of the forge's API."""
        return self._world.faults.violations

    def scope(self, use: str = "git", write: bool = True) -> Scope:
        """A scope for one repository."""
        return scope_of(REPOSITORY, use=use, contents="write" if write else "read")

    def lease(self) -> Lease:
        """A lease that no other test's token has."""
        self._leases += 1
        return replace(new_lease(), id=f"lease{self._leases:011}")

    def works(self, token: Secret, username: str, push: bool) -> bool:
        """Whether git can fetch, or push, with the token."""
        return self._world.git_works(token, username, REPOSITORY, push)

    def other_repository_works(self, token: Secret, username: str) -> bool:
        """Whether git can fetch a repository that the scope does not name."""
        return self._world.git_works(token, username, OTHER_REPOSITORY, push=False)

    def fail_next(self, status: int | None = None, drop: str | None = None) -> None:
        """Let the next mint fail at the forge, however often it is tried.

        `status` is answered; `drop` breaks the connection `"before"` or `"after"` the forge
        has acted.
        """
        self._world.faults.inject("POST", MINTS, status=status, body={}, drops=drop, times=3)


async def _do_not_wait(seconds: float) -> None:
    """Let no time pass before the next attempt."""
