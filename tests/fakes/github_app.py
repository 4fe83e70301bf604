"""A GitHub App of ours on the playground's GitHub, with faults and the contract in between."""

from __future__ import annotations

import asyncio
import base64
import functools
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from git_credential_relay.broker.config.load import BrokerConfig, load_config
from git_credential_relay.broker.sources.github_app.source import (
    GitHubAppSource,
    github_app_source,
)
from git_credential_relay.broker.sources.hooks import SourceHooks
from git_credential_relay.broker.sources.interface import Lease, Minted, Repository, Scope
from git_credential_relay.demo.forge import PlaygroundForge
from git_credential_relay.demo.github import PlaygroundGitHub
from git_credential_relay.demo.github_jwt import generate_app_key
from git_credential_relay.secret import Secret
from tests.fakes.fake_clock import FakeClock
from tests.fakes.forge_faults import ForgeFaults
from tests.fakes.forge_schemas.github import CONTRACT

T = TypeVar("T")
PERMISSIONS = {"contents": "write", "pull_requests": "write", "issues": "read"}
MINTS = r".*/access_tokens"
SECRET = "the secret of the workspace w1"
WORKSPACE = """
[[workspace]]
id = "w1"
secret_file = "w1.secret"
[[workspace.grant]]
host = "{host}"
repositories = ["acme/*"]
"""
LOOKUPS = r".*/installation"


@functools.cache
def app_key() -> tuple[str, RSAPublicKey]:
    """One key for all tests of a process: making one takes longer than they do."""
    return generate_app_key()


class GitHubAppWorld:
    """`acme/app` and `acme/lib` with the App installed, and `other/app` without.

    `now` is the forge's clock. Only with `has_git` can git fetch and push. Closing checks that
    nobody broke the contract.
    """

    def __init__(self, now: Callable[[], float] = time.time, *, has_git: bool = False) -> None:
        self.pem, public_key = app_key()
        self.forge = PlaygroundForge(now)
        self.github = PlaygroundGitHub(self.forge, public_key, now=now)
        self.faults = ForgeFaults(self.github, CONTRACT)
        self.forge.api = self.faults
        for name in ("acme/app", "acme/lib", "other/app"):
            self.github.add_repository(name, has_git=has_git)
        self.installation = self.github.install("acme", PERMISSIONS)
        self._directory = tempfile.TemporaryDirectory()
        self.directory = Path(self._directory.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.faults.release()
        self.forge.close()
        self._directory.cleanup()
        if error is None:
            assert self.faults.violations == []

    def config(self, extra: str = "", *, pem: str | None = None, api: str = "") -> BrokerConfig:
        """A configuration with this App; `api` is the path of the API at the forge."""
        (self.directory / "app.pem").write_text(self.pem if pem is None else pem)
        path = self.directory / "broker.toml"
        path.write_text(
            f'[[forge]]\nkind = "github"\nname = "hub"\nhost = "{self.forge.host}"\n'
            f'api_url = "{self.forge.url}{api}"\napp_id = 12345\n'
            f'private_key_file = "app.pem"\n{extra}\n'
        )
        return load_config(path)

    def write_broker(self, directory: Path, top: str = "") -> Path:
        """Write what a broker needs into the directory, for a workspace w1 with SECRET.

        `top` is what the configuration begins with.
        """
        directory.mkdir(exist_ok=True)
        self.config()
        forge = (self.directory / "broker.toml").read_text()
        (directory / "app.pem").write_text(self.pem)
        (directory / "w1.secret").write_text(SECRET)
        workspace = WORKSPACE.format(host=self.forge.host)
        (directory / "broker.toml").write_text(top + forge + workspace)
        return directory

    def source(
        self, extra: str = "", *, hooks: SourceHooks | None = None, api: str = ""
    ) -> GitHubAppSource:
        """A source as the broker makes it; the caller closes it."""
        config = self.config(extra, api=api)
        return github_app_source(config.forges[0], config, None, hooks or SourceHooks())

    def run(
        self,
        act: Callable[[GitHubAppSource], Awaitable[T]],
        extra: str = "",
        *,
        hooks: SourceHooks | None = None,
        api: str = "",
    ) -> T:
        """What `act` does with a source of its own, in an event loop of its own."""

        async def main() -> T:
            source = self.source(extra, hooks=hooks, api=api)
            try:
                return await act(source)
            finally:
                await source.aclose()

        return asyncio.run(main())

    def id_of(self, repository: str) -> int:
        """The forge's id of a repository."""
        return self.github._ids[repository]

    def git_works(self, token: Secret, username: str, repository: str, push: bool) -> bool:
        """Whether git could fetch (or push) with this token."""
        service = "git-receive-pack" if push else "git-upload-pack"
        request = urllib.request.Request(
            f"{self.forge.url_of(repository)}/info/refs?service={service}"
        )
        basic = base64.b64encode(f"{username}:{token.reveal()}".encode()).decode()
        request.add_header("Authorization", f"Basic {basic}")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status) == 200
        except urllib.error.HTTPError as error:
            with error:
                return False


def hooks_of(clock: FakeClock) -> SourceHooks:
    """Hooks that go by a test's clock: waiting takes no time."""

    async def sleep(seconds: float) -> None:
        clock.sleep(seconds)

    return SourceHooks(now=lambda: clock.now, sleep=sleep)


def minting(
    scope: Scope, deadline_seconds: float = 5.0
) -> Callable[[GitHubAppSource], Awaitable[Minted]]:
    """Mint for a scope, as the chain does."""
    return lambda source: source.mint(source.narrow(scope), new_lease(), soon(deadline_seconds))


def scope_of(*repositories: str | Repository, use: str = "git", **permissions: str) -> Scope:
    """A scope; without permissions it may write contents."""
    return Scope(
        tuple(r if isinstance(r, Repository) else Repository(r) for r in repositories),
        permissions or {"contents": "write"},
        use,
    )


def new_lease(token: Secret | None = None) -> Lease:
    """A lease, as the chain makes one before it mints."""
    return Lease("0123456789abcdef", "w1", "hub", int(time.time()) + 3600, token=token)


def soon(seconds: float = 5.0) -> float:
    """A deadline."""
    return time.monotonic() + seconds
