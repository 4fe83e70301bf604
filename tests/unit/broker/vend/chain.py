"""The chain's inner layers on fakes, for the tests of this folder."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from git_credential_relay.broker.audit.event import AuditEvent
from git_credential_relay.broker.buckets import Buckets
from git_credential_relay.broker.cache.memory import MemoryCache
from git_credential_relay.broker.policy import Allowed, compile_grant, compile_policy
from git_credential_relay.broker.vend.cached import CachedVending
from git_credential_relay.broker.vend.mint import Minter
from git_credential_relay.broker.vend.order import Order, order_key
from git_credential_relay.broker.workspace import Workspace
from git_credential_relay.credential.forge import GITHUB, Forge
from tests.fakes.token_source import FakeLeases, FakeSource

HUB = Forge(GITHUB, "https", "github.com")
WRITE = {"contents": "write"}


def workspace_with(*repositories, permissions=WRITE, **more):
    """The workspace w1 with one grant."""
    grant = compile_grant(HUB, repositories=repositories, permissions=permissions)
    return Workspace("w1", compile_policy([grant]), **more)


@dataclass
class Clock:
    """Unix time that a test sets."""

    time: float = 1_800_000_000.0

    def __call__(self):
        return self.time


@dataclass
class Chain:
    """A cached, minting chain with everything in reach."""

    clock: Clock = field(default_factory=Clock)
    mints_per_minute: int = 60

    def __post_init__(self):
        self.source = FakeSource(self.clock)
        self.leases = FakeLeases()
        self.cache = MemoryCache(now=self.clock)
        self.minter = Minter(self.leases, now=self.clock, seconds=1.0)
        self.cached = CachedVending(
            self.cache, self.minter, Buckets(self.mints_per_minute, now=self.clock), now=self.clock
        )

    def order(self, repository="acme/app", *, workspace=None, min_lifetime=600, **more):
        """An order of w1 for this repository."""
        workspace = workspace or workspace_with("acme/*")
        allowed = workspace.policy.decide("github.com", repository, "git")
        assert isinstance(allowed, Allowed)
        scope = self.source.narrow(allowed.scope)
        order = Order(
            workspace,
            HUB,
            self.source,
            scope,
            order_key(workspace, self.source, scope),
            min_lifetime,
        )
        return replace(order, **more)

    async def ask(self, order=None):
        """The token and the cache's outcome for an order."""
        event = AuditEvent(at=0, request_id="r")
        answer = await self.cached.vend(order or self.order(), event)
        return answer.token.reveal(), event.cache
