"""/healthz, /readyz, /metrics and /openapi.json: about the broker itself, open to everybody.

They show no secret, no workspace and no repository. Whoever wants them closed does so in the
proxy in front.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from starlette.types import Receive, Scope, Send

from git_credential_relay.broker.server.http_errors import MethodNotAllowedError
from git_credential_relay.broker.server.routes.reply import Reply, json_reply
from git_credential_relay.secret import printable, redact

OK = "ok"
READY_SECONDS = 3.0  # less than a supervisor's probe waits, so that it learns the cause
KEPT_SECONDS = 1.0
# Told, and no reason to send requests elsewhere: the last good configuration is in force, and
# without the shared cache each broker mints for itself. All replicas have the same trouble with
# them, so that there would be nobody left.
_TOLD = frozenset({"configuration", "cache"})


class ReadRoute:
    """Answers GET and HEAD with what `read` says at that moment."""

    def __init__(self, read: Callable[[], Awaitable[Reply]]) -> None:
        self._read = read

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["method"] not in ("GET", "HEAD"):
            raise MethodNotAllowedError("GET, HEAD")
        reply = await self._read()
        await reply.send(send)


async def health() -> Reply:
    """The process runs and answers: all that its supervisor may restart it for."""
    return json_reply(200, {"status": OK})


class Readiness:
    """Whether every part is ready; asked at most once a second, whoever looks how often.

    `now` is any clock in seconds that never goes back.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[dict[str, str]]],
        *,
        now: Callable[[], float] = time.monotonic,
        seconds: float = READY_SECONDS,
    ) -> None:
        self._ask = ask
        self._now = now
        self._seconds = seconds
        self._lock = asyncio.Lock()
        self._kept: tuple[float, Reply] | None = None

    async def read(self) -> Reply:
        """The answer to a readiness probe."""
        async with self._lock:
            if self._kept is None or self._now() - self._kept[0] >= KEPT_SECONDS:
                self._kept = self._now(), readiness_reply(await self._find_state())
            return self._kept[1]

    async def _find_state(self) -> dict[str, str]:
        try:
            async with asyncio.timeout(self._seconds):
                return await self._ask()
        except TimeoutError:
            return {"broker": f"not known within {self._seconds:g} s"}


def readiness_reply(state: dict[str, str]) -> Reply:
    """200 where tokens can be vended, else 503; with every part, and what is wrong with it."""
    is_ready = all(text == OK for name, text in state.items() if name not in _TOLD)
    shown = {name: printable(redact(text)) for name, text in state.items()}
    return json_reply(200 if is_ready else 503, {"ready": is_ready, "checks": shown})
