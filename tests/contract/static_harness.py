"""A token made by hand, for the contract of all token sources."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from git_credential_relay.broker.config.load import load_config
from git_credential_relay.broker.sources.hooks import SourceHooks
from git_credential_relay.broker.sources.interface import Lease, Repository, Scope
from git_credential_relay.broker.sources.static import static_source
from git_credential_relay.demo.forge import PlaygroundForge
from git_credential_relay.secret import Secret
from tests.fakes.forgejo_world import (
    OTHER_REPOSITORY,
    REPOSITORY,
    git_works,
    new_lease,
)


class StaticHarness:
    """A source with a token for one repository, and a forge that knows it."""

    name = "static"
    violations: tuple[str, ...] = ()
    """There is no API that could be misused."""
    mints = 0
    """The forge is never asked for a token."""

    def __init__(self) -> None:
        self._forge = PlaygroundForge()
        for repository in (REPOSITORY, OTHER_REPOSITORY):
            self._forge.create_repository(repository)
        issued = self._forge.tokens.issue([REPOSITORY], push=True, lifetime_seconds=86_400)
        self._directory = tempfile.TemporaryDirectory()
        path = Path(self._directory.name) / "broker.toml"
        path.with_name("token").write_text(f"{issued.token}\n")
        path.write_text(
            f'[[forge]]\nkind = "static"\nhost = "{self._forge.host}"\ntoken_file = "token"\n'
            f'username = "x-token-auth"\nrepositories = ["{REPOSITORY}"]\n'
        )
        config = load_config(path)
        self.source = static_source(config.forges[0], config, None, SourceHooks())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.source.aclose()
        self._forge.close()
        self._directory.cleanup()

    def scope(self, use: str = "git", write: bool = True) -> Scope:
        """A scope for one repository."""
        permissions = {"contents": "write" if write else "read"}
        return Scope((Repository(REPOSITORY),), permissions, use)

    def lease(self) -> Lease:
        """A lease that no other token has."""
        return new_lease()

    def works(self, token: Secret, username: str, push: bool) -> bool:
        """Whether git can fetch, or push, with the token."""
        return git_works(self._forge, token, username, REPOSITORY, push)

    def other_repository_works(self, token: Secret, username: str) -> bool:
        """Whether git can fetch a repository that the scope does not name."""
        return git_works(self._forge, token, username, OTHER_REPOSITORY, push=False)

    def fail_next(self, status: int | None = None, drop: str | None = None) -> None:
        """The forge has no part in it."""
        raise AssertionError("nothing is asked of the forge")
