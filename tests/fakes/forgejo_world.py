"""A bot of ours on a fake Forgejo, with faults and the contract in between."""

from __future__ import annotations

import base64
import itertools
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from git_credential_relay.broker.config.load import BrokerConfig, load_config
from git_credential_relay.broker.sources.forgejo.source import ForgejoSource, forgejo_source
from git_credential_relay.broker.sources.hooks import SourceHooks
from git_credential_relay.broker.sources.interface import Lease
from git_credential_relay.demo.forge import PlaygroundForge
from git_credential_relay.secret import Secret
from tests.fakes.forge_faults import ForgeFaults
from tests.fakes.forge_schemas.forgejo import CONTRACT
from tests.fakes.forgejo import FORGEJO_15, FORGEJO_16, FakeForgejo

BOT = "relay-bot"
PASSWORD = "correct horse battery"
REPOSITORY = "acme/app"
OTHER_REPOSITORY = "acme/lib"
TOKENS = r".*/users/[^/]+/tokens"
_leases = itertools.count(1)


class ForgejoWorld:
    """`acme/app` and `acme/lib`, to which the bot may push, on a forge below a path.

    With `mode` "admin" the broker has an administrator's token, with "basic" the bot's password.
    Closing checks that nobody broke the contract. A `forge` that is given outlives the world:
    its repositories take longer to make than everything else.
    """

    def __init__(
        self,
        mode: str = "admin",
        version: str | None = None,
        *,
        page_limit: int = 50,
        forge: PlaygroundForge | None = None,
    ) -> None:
        self._is_lent = forge is not None
        self.forge = forge or new_forge()
        version = version or (FORGEJO_16 if mode == "admin" else FORGEJO_15)
        self.forgejo = FakeForgejo(self.forge, version, page_limit=page_limit)
        self.faults = ForgeFaults(self.forgejo, CONTRACT)
        self.forge.api = self.faults
        self.bot = self.forgejo.add_user(BOT, PASSWORD)
        self.ids = {n: self.forgejo.add_repository(n) for n in (REPOSITORY, OTHER_REPOSITORY)}
        self._mode = mode
        self._directory = tempfile.TemporaryDirectory()
        self.secret_file = Path(self._directory.name) / "forgejo.secret"
        self.secret = self.forgejo.add_admin_token() if mode == "admin" else PASSWORD
        self.secret_file.write_text(f"{self.secret}\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.faults.release()
        if not self._is_lent:
            self.forge.close()
        self._directory.cleanup()
        if error is None:
            assert self.faults.violations == []

    def config(self, extra: str = "") -> BrokerConfig:
        """A configuration with this bot."""
        field = "admin_token_file" if self._mode == "admin" else "password_file"
        path = self.secret_file.with_name("broker.toml")
        path.write_text(
            f'[[forge]]\nkind = "forgejo"\nname = "code"\nurl = "{self.forge.url}"\n'
            f'user = "{BOT}"\n{field} = "forgejo.secret"\n{extra}\n'
        )
        return load_config(path)

    def source(self, extra: str = "", hooks: SourceHooks | None = None) -> ForgejoSource:
        """A source as the broker makes it; the caller closes it."""
        config = self.config(extra)
        return forgejo_source(config.forges[0], config, None, hooks or SourceHooks())


def new_forge() -> PlaygroundForge:
    """A forge below a path, without any API yet."""
    return PlaygroundForge(root="code")


def new_lease(expires_at: int | None = None) -> Lease:
    """A lease that no other token has."""
    end = int(time.time()) + 3600 if expires_at is None else expires_at
    return Lease(f"lease{next(_leases):011}", "w1", "code", end)


def git_works(
    forge: PlaygroundForge, token: Secret, username: str, repository: str, push: bool
) -> bool:
    """Whether git could fetch, or push, with this token."""
    service = "git-receive-pack" if push else "git-upload-pack"
    request = urllib.request.Request(f"{forge.url_of(repository)}/info/refs?service={service}")
    basic = base64.b64encode(f"{username}:{token.reveal()}".encode()).decode()
    request.add_header("Authorization", f"Basic {basic}")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status) == 200
    except urllib.error.HTTPError as error:
        with error:
            return False
