"""The token sources for GitLab, for the contract of all token sources."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from git_credential_relay.broker.config.load import BrokerConfig
from git_credential_relay.broker.sources.interface import Lease, Scope
from git_credential_relay.secret import Secret
from tests.fakes.gitlab import (
    OTHER_REPOSITORY,
    REPOSITORY,
    TOKENS,
    GitLabWorld,
    scope_of,
)

# What a source asks the forge for, where a mint has to fail.
_ASKS = {
    "project": ("POST", TOKENS),
    "group": ("POST", TOKENS),
    "oauth": ("POST", "/oauth/token"),
    "static": ("GET", "/api/v4/personal_access_tokens/self"),
}


class GitLabHarness:
    """A source and its forge; `mode` is "project", "group", "oauth" or "static".

    A token of the last three is good for all that its group or user reaches. The user of the
    last two is a member of the one project, as a bot's user should be.
    """

    def __init__(self, mode: str = "project") -> None:
        self.name = f"gitlab-{mode}"
        self._mode = mode
        self._world = GitLabWorld()
        if mode in ("oauth", "static"):
            self._world.gitlab.user_repositories = [REPOSITORY]
        self.source = self._world.source(self._config(), self._world.store())
        self._leases = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._world.faults.release()
        await self.source.aclose()
        self._world.__exit__(kind, error, trace)

    @property
    def mints(self) -> int:
        """How many tokens the forge has issued."""
        return self._world.gitlab.counts["refresh" if self._mode == "oauth" else "mint"]

    @property
    def violations(self) -> list[str]:
        """What broke the contract of the forge's API."""
        return self._world.faults.violations

    def scope(self, use: str = "git", write: bool = True) -> Scope:
        """A scope for one repository."""
        return scope_of(use=use, contents="write" if write else "read")

    def lease(self) -> Lease:
        """A lease that no other token has."""
        self._leases += 1
        return self._world.lease(f"lease{self._leases}")

    def works(self, token: Secret, username: str, push: bool) -> bool:
        """Whether git can fetch, or push, with the token."""
        return self._world.git_works(token, username, REPOSITORY, push)

    def other_repository_works(self, token: Secret, username: str) -> bool:
        """Whether git can fetch a repository that the scope does not name."""
        return self._world.git_works(token, username, OTHER_REPOSITORY, push=False)

    def fail_next(self, status: int | None = None, drop: str | None = None) -> None:
        """Let the next mint fail at the forge, however often it is tried."""
        method, path = _ASKS[self._mode]
        self._world.faults.inject(method, path, status=status, body={}, drops=drop, times=3)

    def _config(self) -> BrokerConfig:
        if self._mode == "oauth":
            self._world.write_pair()
            return self._world.oauth_config()
        if self._mode == "static":
            self._world.write("gitlab.token", self._world.gitlab.create_user_token())
        group = 'group = "acme/tools"\n' if self._mode == "group" else ""
        return self._world.config(f'token_file = "gitlab.token"\nmode = "{self._mode}"\n{group}')
