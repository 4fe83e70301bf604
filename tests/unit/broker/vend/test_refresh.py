"""Tokens of what is in use are renewed before anybody has to wait for the forge."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from git_credential_relay.broker.errors import AuditError, ForgeUnavailableError
from git_credential_relay.broker.vend.refresh import RefreshAhead
from tests.fakes.token_source import FakeSource
from tests.unit.broker.vend.chain import Chain, workspace_with


class World:
    """A chain with refreshing, and the workspace it asks about."""

    def __init__(self):
        self.chain = Chain()
        self.workspace = workspace_with("acme/*")
        self.events = []
        self.audit_fails = False
        self.refresh = RefreshAhead(self, self.chain.cached, self, now=self.chain.clock)
        self.order = self.chain.order(workspace=self.workspace)

    async def find(self, workspace_id):
        """The workspace as it is now."""
        return self.workspace

    def write(self, event):
        """Keep the event."""
        if self.audit_fails:
            raise AuditError("no room")
        self.events.append(event)

    async def ask(self):
        """Ask as a client does."""
        self.refresh.asked(self.order)
        return await self.chain.ask(self.order)


def run(scenario):
    return asyncio.run(scenario(World()))


def test_a_token_is_renewed_before_it_runs_out_and_the_next_asker_has_a_hit():
    """Nobody waits: the renewed token is in the cache when the old one is too old."""

    async def scenario(world):
        await world.ask()
        world.chain.clock.time += 2400
        early = await world.refresh.run_once()
        world.chain.clock.time += 400
        due = await world.refresh.run_once()
        again = await world.refresh.run_once()
        return early, due, again, await world.ask(), [e.kind for e in world.events]

    assert run(scenario) == (0, 1, 0, ("tok-2", "hit"), ["refresh"])


def test_what_nobody_asked_for_within_the_hour_is_left_to_die():
    """Tokens are renewed for those who use them, not for ever."""

    async def scenario(world):
        await world.ask()
        world.chain.clock.time += 2800
        first = await world.refresh.run_once()
        world.chain.clock.time += 2800
        return first, await world.refresh.run_once(), world.chain.source.mints

    assert run(scenario) == (1, 0, 2)


def test_a_token_that_was_refused_once_is_not_reported_again():
    """What the asker said of an older token is nothing that the renewal says of its own accord."""

    async def scenario(world):
        world.order = replace(world.order, no_cache=True, rejected_sha256="of another token")
        await world.ask()
        world.chain.clock.time += 2800
        renewed = await world.refresh.run_once()
        return renewed, world.chain.source.rejected

    assert run(scenario) == (1, ["of another token"])


@pytest.mark.parametrize("is_deleted", [True, False])
def test_what_a_workspace_may_not_have_any_more_is_not_renewed(is_deleted):
    """The background authorises like a request does."""

    async def scenario(world):
        await world.ask()
        world.workspace = None if is_deleted else workspace_with("other/app")
        world.chain.clock.time += 2800
        return await world.refresh.run_once(), world.chain.source.mints

    assert run(scenario) == (0, 1)


def test_a_forge_of_short_lives_is_not_asked_all_the_time():
    """Where tokens live shorter than the promise, half of their life is let pass."""

    async def scenario(world):
        world.chain.source.lifetime = 100
        await world.ask()
        world.chain.clock.time += 40
        early = await world.refresh.run_once()
        world.chain.clock.time += 20
        return early, await world.refresh.run_once()

    assert run(scenario) == (0, 1)


def test_sources_that_must_not_mint_ahead_do_not():
    """A pair whose refresh ends the tokens in use is refreshed on demand alone."""

    async def scenario(world):
        world.chain.source.refreshes_ahead = False
        await world.ask()
        world.chain.clock.time += 2800
        return await world.refresh.run_once()

    assert run(scenario) == 0


@pytest.mark.parametrize("trouble", ["forge", "audit"])
def test_trouble_ends_nothing_but_the_one_renewal(trouble):
    """The background survives a forge that is down and an audit that cannot be written."""

    async def scenario(world):
        await world.ask()
        world.chain.clock.time += 2800
        if trouble == "forge":
            world.chain.source.fails = ForgeUnavailableError("down")
        world.audit_fails = trouble == "audit"
        failed = await world.refresh.run_once()
        world.chain.source.fails, world.audit_fails = None, False
        return failed, await world.ask()

    failed, (token, _) = run(scenario)

    assert failed == 0
    assert token in ("tok-1", "tok-2")


def test_a_source_that_was_replaced_is_asked_for_nothing():
    """After an edit of the configuration the former source is closed; the next asker brings on."""

    async def scenario(world):
        world.refresh = RefreshAhead(
            world,
            world.chain.cached,
            world,
            now=world.chain.clock,
            is_current=lambda source: source is world.chain.source,
        )
        former = world.chain.source
        await world.ask()
        world.chain.source = FakeSource(world.chain.clock)
        world.chain.clock.time += 2800
        of_former = await world.refresh.run_once()
        world.order = world.chain.order(workspace=world.workspace)
        await world.ask()
        world.chain.clock.time += 100
        return of_former, await world.refresh.run_once(), former.mints, world.chain.source.mints

    assert run(scenario) == (0, 1, 1, 1)


def test_the_next_asker_brings_the_new_source_though_the_key_is_the_same():
    """A key that was asked for by way of the former source is renewed by the newest one."""

    async def scenario(world):
        former = world.chain.source
        await world.ask()
        world.chain.source = FakeSource(world.chain.clock)
        world.order = world.chain.order(workspace=world.workspace)
        await world.ask()
        world.chain.clock.time += 2800
        return await world.refresh.run_once(), former.mints, world.chain.source.mints

    assert run(scenario) == (1, 1, 1)


def test_what_nobody_foresaw_ends_one_renewal_and_not_all_of_them():
    """An error of a library's own leaves the others, and the next rounds, as they are."""

    async def scenario(world):
        await world.ask()
        world.chain.clock.time += 2800
        world.chain.source.fails = RuntimeError("the client has been closed")
        failed = await world.refresh.run_once()
        world.chain.source.fails = None
        return failed, await world.refresh.run_once()

    assert run(scenario) == (0, 1)


def test_a_workspace_made_anew_inherits_no_renewal():
    """Deleted and made again under its id, it is another one, though it may do the same."""

    async def scenario(world):
        await world.ask()
        world.workspace = replace(world.workspace, revision=7)
        world.chain.clock.time += 2800
        return await world.refresh.run_once()

    assert run(scenario) == 0
