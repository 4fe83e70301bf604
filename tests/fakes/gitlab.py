"""A fake GitLab with faults and a contract, and the real sources that talk to it."""

from __future__ import annotations

import base64
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from git_credential_relay.broker.config.load import BrokerConfig, parse_config
from git_credential_relay.broker.sources.gitlab.source import gitlab_source
from git_credential_relay.broker.sources.hooks import SourceHooks
from git_credential_relay.broker.sources.interface import Lease, Repository, Scope, TokenSource
from git_credential_relay.broker.store.cipher import load_cipher
from git_credential_relay.broker.store.engine import resolve_database_url
from git_credential_relay.broker.store.store import Store
from git_credential_relay.demo.forge import PlaygroundForge
from git_credential_relay.demo.gitlab import PlaygroundGitLab
from git_credential_relay.secret import Secret
from tests.fakes.forge_faults import ForgeFaults
from tests.fakes.forge_schemas.gitlab import CONTRACT

REPOSITORY = "acme/tools/app"
OTHER_REPOSITORY = "acme/tools/lib"
TOKENS = "/api/v4/(projects|groups)/[0-9]+/access_tokens"
T = TypeVar("T")
CLIENT_ID, CLIENT_SECRET = "relay", "client-secret-for-tests"


class Clock:
    """A clock that a test moves by hand; it starts at the hour it is."""

    def __init__(self, at: float | None = None) -> None:
        self.seconds = time.time() if at is None else at

    def __call__(self) -> float:
        return self.seconds


class GitLabWorld:
    """A GitLab below a path of its host, a directory with the broker's files, and its store."""

    def __init__(self, now: Callable[[], float] = time.time, root: str = "gitlab") -> None:
        self.now = now
        self.forge = PlaygroundForge(now, root=root)
        self.gitlab = PlaygroundGitLab(self.forge, now)
        self.faults = ForgeFaults(self.gitlab, CONTRACT)
        self.forge.api = self.faults
        self.project = self.gitlab.create_project(REPOSITORY)
        self.other_project = self.gitlab.create_project(OTHER_REPOSITORY)
        self._directory = tempfile.TemporaryDirectory()
        self.directory = Path(self._directory.name)
        self.write("gitlab.token", self.gitlab.create_user_token())
        self.waits: list[float] = []
        self.rate_limits: list[int] = []
        self._store: Store | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.faults.release()
        if self._store is not None:
            self._store.close()
        self.forge.close()
        self._directory.cleanup()

    def write(self, name: str, text: str) -> None:
        """Write a file of the broker's."""
        path = self.directory / name
        path.write_text(text + "\n")
        path.chmod(0o600)

    def write_pair(self) -> tuple[str, str]:
        """Write a new OAuth pair of the forge into the broker's files."""
        access, refresh = self.gitlab.create_oauth_pair(CLIENT_ID, CLIENT_SECRET)
        self.write("oauth.refresh", refresh)
        self.write("oauth.secret", CLIENT_SECRET)
        return access, refresh

    def config(self, settings: str = 'token_file = "gitlab.token"', top: str = "") -> BrokerConfig:
        """A configuration with one forge; `top` is what stands before it."""
        forge = f'[[forge]]\nkind = "gitlab"\nname = "lab"\nurl = "{self.forge.url}"\n{settings}\n'
        text = f"{top}\n{forge}"
        return parse_config(self.directory / "broker.toml", text)

    def oauth_config(self, top: str = "") -> BrokerConfig:
        """A configuration with an OAuth application."""
        return self.config(
            f'[forge.oauth]\nclient_id = "{CLIENT_ID}"\nclient_secret_file = "oauth.secret"\n'
            'refresh_token_file = "oauth.refresh"\n',
            top,
        )

    def store(self) -> Store:
        """The broker's store."""
        if self._store is None:
            config = self.config()
            self._store = Store.open(resolve_database_url(config), load_cipher(config))
        return self._store

    def source(self, config: BrokerConfig | None = None, store: Store | None = None) -> TokenSource:
        """The source that the configuration means; waiting takes it no time."""
        config = config or self.config()
        hooks = SourceHooks(
            now=self.now,
            sleep=self._sleep,
            on_rate_limit=lambda source, remaining: self.rate_limits.append(remaining),
        )
        return gitlab_source(config.forges[0], config, store, hooks)

    def lease(self, id: str = "lease1", seconds: int = 3600, **fields: Any) -> Lease:
        """A lease for a token of the source."""
        fields = {"location": REPOSITORY, **fields}
        return Lease(id, "w1", "lab", int(self.now()) + seconds, **fields)

    def git_works(self, token: Secret, username: str, repository: str, push: bool) -> bool:
        """Whether git could fetch, or push, with the token."""
        service = "git-receive-pack" if push else "git-upload-pack"
        request = urllib.request.Request(
            f"{self.forge.url_of(repository)}/info/refs?service={service}"
        )
        basic = base64.b64encode(f"{username}:{token.reveal()}".encode()).decode()
        request.add_header("Authorization", f"Basic {basic}")
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                return bool(response.status == 200)
        except urllib.error.HTTPError as error:
            error.close()
            return False

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)


def scope_of(
    *repositories: str,
    use: str = "git",
    id: int | None = None,
    access_level: int | None = None,
    **permissions: str,
) -> Scope:
    """A scope for these repositories, or for the one there is."""
    names = repositories or (REPOSITORY,)
    return Scope(
        tuple(Repository(name, id) for name in names),
        permissions or {"contents": "write"},
        use,
        access_level,
    )


def deadline(seconds: float = 5.0) -> float:
    """A moment on the clock of time.monotonic()."""
    return time.monotonic() + seconds


async def use(source: TokenSource, work: Callable[[TokenSource], Awaitable[T]]) -> T:
    """`work` with a source that is closed afterwards."""
    try:
        return await work(source)
    finally:
        await source.aclose()
