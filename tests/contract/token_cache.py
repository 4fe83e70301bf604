"""What every TokenCache promises. A subclass gives `open_pair`: two users of one empty store."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import pytest

from git_credential_relay.broker.cache.interface import TokenCache

KEY = "acme/app contents=write"
LONG = 60.0
SHORT = 0.05  # seconds: an end that a test waits for
VALUES = {
    "empty": b"",
    "every byte": bytes(range(256)),
    "long": b"t" * 100_000,
}
OTHER_KEYS = ["", "acme/app contents=writ", "acme/App contents=write", KEY + "\0", KEY + " ", "ü"]

Pair = AbstractAsyncContextManager[tuple[TokenCache, TokenCache]]


class TokenCacheContract:
    """Tests of a TokenCache; `is_shared` says whether the pair sees the same values."""

    is_shared = False

    def open_pair(self) -> Pair:
        """Two caches, as two brokers have them."""
        pytest.fail("a contract is not a test by itself")

    @pytest.fixture
    def run(self):
        """Runs a scenario with the two caches and closes them."""

        def run(scenario):
            async def within_pair():
                async with self.open_pair() as (cache, other):
                    answer = await scenario(cache, other)
                    assert cache.last_trouble is None
                    return answer

            return asyncio.run(within_pair())

        return run

    def test_nothing_is_there_at_first(self, run):
        """A key nobody put has no value, and a ping finds no trouble."""

        async def scenario(cache, other):
            await cache.ping()
            return await cache.get(KEY)

        assert run(scenario) is None

    @pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
    def test_a_value_comes_back_whole(self, run, value):
        """What was put is got, byte for byte, and by other brokers where it is shared."""

        async def scenario(cache, other):
            await cache.put(KEY, value, LONG)
            return await cache.get(KEY), await other.get(KEY)

        assert run(scenario) == (value, value if self.is_shared else None)

    @pytest.mark.parametrize("key", OTHER_KEYS)
    def test_a_value_is_for_its_key_alone(self, run, key):
        """No other key has it, however similar."""

        async def scenario(cache, other):
            await cache.put(KEY, b"value", LONG)
            return await cache.get(key)

        assert run(scenario) is None

    def test_a_value_is_replaced(self, run):
        """The last one put is the one got."""

        async def scenario(cache, other):
            await cache.put(KEY, b"old", LONG)
            await cache.put(KEY, b"new", LONG)
            return await cache.get(KEY)

        assert run(scenario) == b"new"

    def test_a_value_ends_with_its_time(self, run):
        """Nothing outlives the seconds it was put for, and nothing of no time is kept."""

        async def scenario(cache, other):
            await cache.put("stays", b"value", LONG)
            await cache.put("never", b"value", 0)
            await cache.put("past", b"value", -1)
            await cache.put(KEY, b"value", SHORT)
            await eventually(lambda: is_none(cache.get(KEY)))
            return [await cache.get(key) for key in ("stays", "never", "past")]

        assert run(scenario) == [b"value", None, None]

    def test_a_value_without_time_takes_the_old_one_away(self, run):
        """A value that is over already still replaces the one before."""

        async def scenario(cache, other):
            await cache.put(KEY, b"old", LONG)
            await cache.put(KEY, b"new", 0)
            return await cache.get(KEY)

        assert run(scenario) is None

    def test_a_dropped_value_is_gone_everywhere(self, run):
        """A refused token is not given again, by no broker."""

        async def scenario(cache, other):
            await cache.put(KEY, b"value", LONG)
            await cache.drop(KEY, b"value")
            return await cache.get(KEY), await other.get(KEY)

        assert run(scenario) == (None, None)

    def test_a_drop_spares_what_replaced_the_value(self, run):
        """Whoever reports an old token does not take the new one from the others."""

        async def scenario(cache, other):
            await cache.put(KEY, b"new", LONG)
            await cache.drop(KEY, b"old")
            await cache.drop("nothing there", b"old")
            return await cache.get(KEY)

        assert run(scenario) == b"new"

    def test_a_dropped_value_may_come_back(self, run):
        """A token that turns out to be good after all is kept again."""

        async def scenario(cache, other):
            await cache.put(KEY, b"value", LONG)
            await cache.drop(KEY, b"value")
            await cache.put(KEY, b"value", LONG)
            return await cache.get(KEY)

        assert run(scenario) == b"value"

    def test_many_tasks_at_once(self, run):
        """A thousand tasks get each the value of its own key."""

        async def scenario(cache, other):
            for number in range(10):
                await cache.put(str(number), b"%d" % number, LONG)
            numbers = [number % 11 for number in range(1000)]
            got = await asyncio.gather(*(cache.get(str(number)) for number in numbers))
            return [b"%d" % number if number < 10 else None for number in numbers], got

        expected, got = run(scenario)

        assert got == expected

    def test_one_leads_at_a_time(self, run):
        """Among brokers that share values one mints; the next may when it has released."""

        async def scenario(cache, other):
            lead = await cache.lead(KEY, LONG)
            elsewhere = await other.lead("another key", LONG)
            while_held = await other.lead(KEY, LONG)
            await lead.release()
            await lead.release()
            after = await other.lead(KEY, LONG)
            return lead is None, elsewhere is None, while_held is None, after is None

        assert run(scenario) == (False, False, self.is_shared, False)

    def test_a_dead_leaders_lead_ends(self, run):
        """A broker that died while minting holds nobody up for longer than it said."""

        async def scenario(cache, other):
            await cache.lead(KEY, SHORT)
            await eventually(lambda: is_not_none(other.lead(KEY, LONG)))

        run(scenario)

    def test_a_late_release_is_not_the_next_ones(self, run):
        """Who took longer than it said does not end the lead of the one after it."""

        async def scenario(cache, other):
            late = await cache.lead(KEY, SHORT)
            await eventually(lambda: is_not_none(other.lead(KEY, LONG)))
            await late.release()
            return await cache.lead(KEY, LONG) is None

        assert run(scenario) is self.is_shared


async def eventually(condition: Callable[[], Awaitable[bool]], seconds: float = 5.0) -> None:
    """Wait until `condition` holds; fail after `seconds`."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - the server's clock tells nobody
            await asyncio.sleep(0.005)


async def is_none(awaitable: Awaitable[object]) -> bool:
    """Whether the answer is None."""
    return await awaitable is None


async def is_not_none(awaitable: Awaitable[object]) -> bool:
    """Whether there is an answer."""
    return await awaitable is not None
