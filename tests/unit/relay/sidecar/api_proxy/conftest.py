"""The proxy between a client on a unix socket and a forge on loopback."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest

from git_credential_relay.trace import Trace
from tests.fakes.api_proxy import (
    Give,
    RunningApiProxy,
    ScriptedWorkspace,
    minting,
    running_api_proxy,
)
from tests.fakes.configs import make_config
from tests.fakes.fake_clock import FakeClock
from tests.fakes.upstream import FakeUpstream, Seen, running_upstream, says


class Scene:
    """The forge, the workspace and what the proxy traced; `proxy` once it is started."""

    def __init__(self, upstream: FakeUpstream, stack: ExitStack) -> None:
        self.upstream = upstream
        self.host = upstream.host
        self.clock = FakeClock()
        self.lines: list[str] = []
        self.workspace: ScriptedWorkspace | None = None
        self._stack = stack

    def start(
        self, give: Give | None = None, forge: str = "", via: str = "", **options: Any
    ) -> RunningApiProxy:
        """A proxy for a workspace with `give`; options are those of ApiProxy."""
        hosts = forge or f"github=http://{self.host}"
        config = make_config(GIT_CREDENTIAL_RELAY_HOSTS=hosts, HTTPS_PROXY=via)
        self.workspace = workspace = ScriptedWorkspace(config, give or minting("token-1"))
        options = {"trace": Trace(self.lines.append), "clock": self.clock.clock, **options}
        return self._stack.enter_context(running_api_proxy(lambda _: workspace, **options))


@pytest.fixture
def scene():
    """A forge that answers everything with a word."""

    def script(seen: Seen):
        return says({"login": "octo"})

    with running_upstream(script) as upstream, ExitStack() as stack:
        yield Scene(upstream, stack)


@pytest.fixture
def proxy(scene):
    """A proxy whose workspace has one token."""
    return scene.start()
