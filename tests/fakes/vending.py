"""A broker's inside that answers by script, for tests of what is around it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from git_credential_relay.broker.audit.event import AuditEvent
from git_credential_relay.broker.config.load import parse_config
from git_credential_relay.broker.metrics import Metrics
from git_credential_relay.broker.vend.interface import Answer, Query, Vended
from git_credential_relay.secret import Secret

VENDED = Vended(
    Secret("ghs_" + "a" * 40),
    "x-access-token",
    1_900_000_000,
    "installation",
    "github.com",
    ("acme/app",),
    {"contents": "write"},
    "github:github.com",
    "hash",
)


class FakeVending:
    """Gives `answer`, or raises it; remembers the queries and what was put on record."""

    def __init__(self, config: str = "") -> None:
        self.config = parse_config(Path("/nowhere/broker.toml"), config)
        self.metrics = Metrics()
        self.answer: Answer | Exception | Callable[[Query], Awaitable[Answer]] = VENDED
        self.queries: list[Query] = []
        self.events: list[AuditEvent] = []
        self.state = {"database": "ok"}
        self.looks = 0
        self.is_started = False

    @property
    def audit(self) -> FakeVending:
        """Where events go: here."""
        return self

    def write(self, event: AuditEvent) -> None:
        """Remember an event."""
        self.events.append(event)

    async def start(self) -> None:
        """Begin."""
        self.is_started = True

    async def stop(self) -> None:
        """End."""
        self.is_started = False

    def reload(self) -> str | None:
        """Nothing to read."""
        return None

    async def vend(self, query: Query) -> Answer:
        """The scripted answer."""
        self.queries.append(query)
        if isinstance(self.answer, Exception):
            raise self.answer
        return await self.answer(query) if callable(self.answer) else self.answer

    async def readiness(self) -> dict[str, str]:
        """The scripted state."""
        self.looks += 1
        return self.state
