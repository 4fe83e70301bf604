"""A workspace of the sidecar over a relay API on loopback, by a clock wound by hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from git_credential_relay.credential.forge import Target
from git_credential_relay.relay.sidecar.workspace import ServedWorkspace
from git_credential_relay.trace import Trace
from tests.fakes.api import Answer, FakeApi, Seen, issues, refuses
from tests.fakes.configs import REPOSITORY, api_config
from tests.fakes.fake_clock import FakeClock

HOUR = 3600
# A token of that life runs short after 3000 s: a little before, and after.
DUE, SHORT = 2990, 3100


class Scene:
    """A relay API that numbers its tokens from `tok-1`, and the workspace that asks it."""

    def __init__(self, api: FakeApi) -> None:
        self.api = api
        self.clock = FakeClock(time.time())  # the server's Date headers are of today
        self.life: int | None = HOUR
        self.count = 0
        self.mints()

    def mints(self) -> None:
        """Have the API give a new token for each question, of `life` seconds."""
        self.api.script(self._mint)

    def fails(self, status: int = 503, headers: dict[str, str] | None = None) -> None:
        """Have the API say no."""
        self.api.script(refuses(status, {"code": "SOME"}, headers=headers))

    def _mint(self, seen: Seen) -> Answer:
        self.count += 1
        return issues(f"tok-{self.count}", lifetime=self.life)

    def workspace(self, before: ServedWorkspace | None = None, **variables: str) -> ServedWorkspace:
        """One with these settings, in the place of another one."""
        settings = {"GIT_CREDENTIAL_RELAY_FALLBACK": "off"} | variables
        config = api_config(self.api.url, **settings)
        return ServedWorkspace("ws", config, self.clock.clock, Trace(), before)

    def play(self, scenario: Callable[[ServedWorkspace], Coroutine[Any, Any, object]]) -> None:
        """Run it with a workspace, which has ended afterwards."""

        async def run() -> None:
            workspace = self.workspace()
            try:
                await asyncio.wait_for(scenario(workspace), 15)
            finally:
                self.api.gate.set()
                await workspace.close()

        asyncio.run(run())

    async def asked(self, count: int) -> None:
        """Return when so many requests have reached the API."""
        await until(lambda: len(self.api.requests) >= count)


async def until(condition: Callable[[], object]) -> None:
    """Return when it is so; it is soon."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not come to that")


async def get(
    workspace: ServedWorkspace, target: Target = REPOSITORY, refused: str | None = None
) -> str:
    """The token that is given for it."""
    return (await workspace.acquire(target, refused)).password.reveal()


def at_hand(workspace: ServedWorkspace, target: Target = REPOSITORY) -> str | None:
    """The token that is given for it without a wait, if there is one."""
    found = workspace.find_fresh(target)
    return found.password.reveal() if found else None


async def in_use(scene: Scene, workspace: ServedWorkspace, seconds: float = DUE) -> None:
    """Have a token that was fetched so long ago, and used a moment ago."""
    await get(workspace)
    scene.clock.advance(min(seconds, 3000) - 10)
    assert at_hand(workspace) == "tok-1"
    scene.clock.advance(seconds - min(seconds, 3000) + 10)
