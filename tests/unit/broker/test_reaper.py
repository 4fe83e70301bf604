"""Tokens end when their leases do, whatever forges, databases and other replicas are up to."""

from __future__ import annotations

import asyncio
import itertools
import logging
from dataclasses import dataclass, field

import pytest

from git_credential_relay.broker.errors import (
    ForgeRefusedError,
    ForgeUnavailableError,
    StoreError,
)
from git_credential_relay.broker.reaper import BATCH, INTERVAL_SECONDS, MAX_WAIT_SECONDS, Reaper
from git_credential_relay.broker.sources.interface import Lease, Repository, Scope
from git_credential_relay.broker.store.cipher import Cipher, new_key
from git_credential_relay.broker.store.store import Store
from git_credential_relay.secret import Secret, token_sha256
from tests.fakes.forgejo_world import BOT, REPOSITORY, ForgejoWorld, git_works
from tests.fakes.token_source import FakeSource

NOW = 1_800_000_000
DOWN = ForgeUnavailableError("the forge is down")
REFUSED = ForgeRefusedError("the forge says no")


@dataclass
class Source(FakeSource):
    """Revokes and reaps, or fails as told: every time, or for single leases."""

    needs_lease_first: bool = True
    revoke_fails: Exception | None = None
    fails_for: dict[str, Exception] = field(default_factory=dict)
    reap_fails: Exception | None = None
    ended: list[str] = field(default_factory=list)
    tried: int = 0
    reaped: int = 0
    left_over: int = 0

    async def revoke(self, lease: Lease) -> None:
        self.tried += 1
        error = self.revoke_fails or self.fails_for.get(lease.id)
        if error is not None:
            raise error
        self.ended.append(lease.id)

    async def reap(self, now: float) -> int:
        self.reaped += 1
        if self.reap_fails is not None:
            raise self.reap_fails
        return self.left_over


class BrokenRecords:
    """A database that is down, and then does something nobody foresaw."""

    def __init__(self) -> None:
        self.tried = 0

    async def due_leases(self, now: int, limit: int) -> list[Lease]:
        self.tried += 1
        raise StoreError("down") if self.tried < 3 else RuntimeError("worse")

    async def leases_of(self, workspace_id: str) -> list[Lease]:
        raise StoreError("down")

    async def end_lease(self, id: str) -> None:
        raise StoreError("down")


class World:
    """A reaper over a real store and sources of the test."""

    def __init__(self, store: Store, *sources: Source) -> None:
        self.store = store
        self.time = float(NOW)
        self.sources = {source.name: source for source in sources}
        self.slept: list[float] = []
        self.reaper = Reaper(store, lambda: self, lambda: self.time, self.sleep)

    def by_name(self, name: str) -> Source | None:
        return self.sources.get(name)

    def all(self) -> list[Source]:
        return list(self.sources.values())

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds
        await asyncio.sleep(0)
        if len(self.slept) == 3:
            raise asyncio.CancelledError

    async def add(self, *ids: str, ends: int = NOW - 1, source: str = "a", workspace: str = "w1"):
        for id in ids:
            await self.store.add_lease(
                Lease(id, workspace, source, ends, token=Secret(f"token-of-{id}"))
            )

    async def left(self, workspace: str = "w1") -> set[str]:
        return {lease.id for lease in await self.store.leases_of(workspace)}


def source(name: str = "a", **fields) -> Source:
    return Source(lambda: NOW, name, **fields)


@pytest.fixture
def store(tmp_path):
    store = Store.open(f"sqlite:///{tmp_path}/broker.db", Cipher([new_key()]))
    yield store
    store.close()


def test_leases_end_at_their_end(store):
    """What is over is revoked at the forge and forgotten; what is not lives on."""
    world = World(store, source())

    async def scenario():
        await world.add("l1", "l2")
        await world.add("now", ends=NOW)
        await world.add("later", ends=NOW + 1)
        return await world.reaper.run_once(), await world.left()

    assert asyncio.run(scenario()) == (3, {"later"})
    assert set(world.sources["a"].ended) == {"l1", "l2", "now"}


def test_a_token_that_expires_by_itself_is_only_forgotten(store):
    """No forge is asked to end what has ended."""
    world = World(store, source(needs_lease_first=False))

    async def scenario():
        await world.add("l1")
        return await world.reaper.run_once(), await world.left()

    assert asyncio.run(scenario()) == (1, set())
    assert world.sources["a"].tried == 0


def test_a_forge_in_trouble_is_asked_again_later(store):
    """Its leases are kept, it is left alone for a while, and then they are ended."""
    world = World(store, source(revoke_fails=DOWN), source("b"))

    async def scenario():
        await world.add(*(f"l{n}" for n in range(50)))
        await world.add("other", source="b")
        await world.reaper.run_once()
        tried = world.sources["a"].tried
        kept = await world.left()
        await world.reaper.run_once()
        again = world.sources["a"].tried
        world.sources["a"].revoke_fails = None
        world.time += 3600
        await world.reaper.run_once()
        return tried, again, kept, await world.left()

    tried, again, kept, left = asyncio.run(scenario())

    assert tried < 10, "a forge that is down is not asked for each of its leases"
    assert again == tried
    assert len(kept) == 50
    assert world.sources["b"].ended == ["other"]
    assert left == set()


def test_leases_that_fail_together_are_one_failure(store):
    """A forge that was down for a moment is asked again soon, however many leases were due."""
    world = World(store, source(revoke_fails=DOWN))

    async def scenario():
        await world.add(*(f"l{n}" for n in range(50)))
        await world.reaper.run_once()
        world.sources["a"].revoke_fails = None
        world.time += INTERVAL_SECONDS
        await world.reaper.run_once()
        return await world.left()

    assert asyncio.run(scenario()) == set()


def test_a_forge_says_when_to_come_back(store):
    """Retry-After is heeded."""
    world = World(store, source(revoke_fails=ForgeUnavailableError("later", retry_after=500)))

    async def scenario():
        await world.add("l1")
        tries = []
        for seconds in (0, 499, 2):
            world.time += seconds
            await world.reaper.run_once()
            tries.append(world.sources["a"].tried)
        return tries

    assert asyncio.run(scenario()) == [1, 1, 2]


def test_waits_grow_and_stay_bounded(store):
    """A lease that fails for ever is tried ever more rarely, and never given up."""
    world = World(store, source(fails_for={"l1": REFUSED}))

    async def scenario():
        await world.add("l1")
        tries = []
        for _ in range(5 * 60):
            before = world.sources["a"].tried
            await world.reaper.run_once()
            if world.sources["a"].tried > before:
                tries.append(world.time)
            world.time += 60
        return [later - earlier for earlier, later in itertools.pairwise(tries)]

    waits = asyncio.run(scenario())

    assert waits[0] == 60
    assert waits == sorted(waits)
    assert waits[-1] == waits[-2] == MAX_WAIT_SECONDS


@pytest.mark.parametrize("error", [REFUSED, RuntimeError("canary"), KeyError("canary")])
def test_one_lease_does_not_keep_the_others_alive(store, caplog, error):
    """Whatever one revoke raises, the others go on, and no secret gets into the log."""
    world = World(store, source(fails_for={"bad": error}))

    async def scenario():
        await world.add("bad", ends=NOW - 60)
        await world.add("l1", "l2")
        return await world.reaper.run_once(), await world.left()

    with caplog.at_level(logging.DEBUG):
        assert asyncio.run(scenario()) == (2, {"bad"})
    assert "bad" in caplog.text
    assert "canary" not in caplog.text
    assert "token-of" not in caplog.text


def test_a_crowd_that_waits_hides_nobody(store):
    """Behind any number of leases that cannot be ended now, others are found."""
    world = World(store, source(revoke_fails=DOWN), source("b"))

    async def scenario():
        await world.add(*(f"l{n}" for n in range(BATCH + 20)), ends=NOW - 60)
        await world.reaper.run_once()
        await world.add("late", source="b")
        await world.reaper.run_once()

    asyncio.run(scenario())

    assert world.sources["b"].ended == ["late"]


def test_more_than_a_batch_ends_in_one_run(store):
    """However many are due, one run ends them all."""
    world = World(store, source())

    async def scenario():
        await world.add(*(f"l{n}" for n in range(BATCH + 20)))
        return await world.reaper.run_once()

    assert asyncio.run(scenario()) == BATCH + 20


def test_a_source_that_is_not_configured_any_more(store, caplog):
    """Its leases stay on record and are told of; they end when it comes back."""
    world = World(store)

    async def scenario():
        await world.add("l1")
        await world.reaper.run_once()
        kept = await world.left()
        world.sources["a"] = source()
        world.time += MAX_WAIT_SECONDS
        await world.reaper.run_once()
        return kept, await world.left()

    assert asyncio.run(scenario()) == ({"l1"}, set())
    assert "no forge is called a any more" in caplog.text


def test_what_no_lease_tells_of_is_looked_for(store):
    """Every run asks each source for left-overs, and a source that fails holds up no other."""
    world = World(store, source(reap_fails=DOWN), source("b", left_over=2))

    async def scenario():
        first = await world.reaper.run_once()
        second = await world.reaper.run_once()
        world.time += MAX_WAIT_SECONDS
        return first, second, await world.reaper.run_once()

    assert asyncio.run(scenario()) == (2, 2, 2)
    assert world.sources["a"].reaped == 2, "left alone for a while after its failure"
    assert world.sources["b"].reaped == 3


def test_the_loop_survives_everything(store):
    """At once and then every minute, through whatever is raised, until it is cancelled."""

    world = World(store)
    records = BrokenRecords()
    reaper = Reaper(records, lambda: world, lambda: world.time, world.sleep)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(reaper.run())

    assert records.tried == 3
    assert world.slept == [INTERVAL_SECONDS] * 3


def test_all_tokens_of_a_workspace_end(store):
    """Deleting a workspace ends its living tokens, and nobody else's."""
    world = World(store, source(), source("b", needs_lease_first=False))

    async def scenario():
        await world.add("l1", "l2", ends=NOW + 3600)
        await world.add("b1", ends=NOW + 3600, source="b")
        await world.add("other", ends=NOW + 3600, workspace="w2")
        counts = await world.reaper.revoke_workspace("w1")
        return counts, await world.left(), await world.left("w2")

    assert asyncio.run(scenario()) == ((3, 0), set(), {"other"})
    assert world.sources["b"].ended == ["b1"]


def test_what_could_not_be_revoked_is_tried_again(store):
    """A forge that is down when a workspace is deleted does not save its tokens."""
    world = World(store, source(fails_for={"l2": DOWN}))

    async def scenario():
        await world.add("l1", "l2", ends=NOW + 3600)
        counts = await world.reaper.revoke_workspace("w1")
        # The same name again, whose tokens nobody wants ended.
        await world.add("new", ends=NOW + 3600)
        world.sources["a"].fails_for.clear()
        world.time += 60
        await world.reaper.run_once()
        return counts, await world.left()

    assert asyncio.run(scenario()) == ((1, 1), {"new"})


def test_a_database_that_fails_is_told(store):
    """A deletion whose tokens are unknown does not look as if it had ended them."""
    reaper = Reaper(BrokenRecords(), lambda: World(store), lambda: NOW)

    with pytest.raises(StoreError):
        asyncio.run(reaper.revoke_workspace("w1"))


@pytest.mark.parametrize("mode", ["admin", "basic"])
def test_two_replicas_at_a_real_forge(store, mode):
    """Tokens of leases and lost ones end at the forge; two replicas at once are no trouble."""

    async def scenario(forge):
        source = forge.source()
        lease = Lease("lease1", "w1", source.name, NOW - 1)
        await store.add_lease(lease)
        scope = Scope((Repository(REPOSITORY),), {"contents": "write"}, "git")
        minted = await source.mint(scope, lease, asyncio.get_running_loop().time() + 5)
        await store.finish_lease(
            lease.id, minted.handle, minted.token, None, token_sha256(minted.token)
        )
        forge.forgejo.add_token(BOT, f"broker/lost/{NOW - 1}")
        forge.forgejo.add_token(BOT, "laptop")

        class Known:
            def by_name(self, name):
                return source if name == source.name else None

            def all(self):
                return [source]

        reapers = [Reaper(store, Known, lambda: NOW) for _ in range(2)]
        await asyncio.gather(*(reaper.run_once() for reaper in reapers))
        await source.aclose()
        return minted, await store.leases_of("w1")

    with ForgejoWorld(mode) as forge:
        minted, left = asyncio.run(scenario(forge))
        names = forge.forgejo.names(BOT)
        is_alive = git_works(forge.forge, minted.token, BOT, REPOSITORY, push=False)

    assert (left, names, is_alive) == ([], ["laptop"], False)
