"""The cache in memory, by a clock that the test winds."""

import asyncio
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.broker.cache.memory import MemoryCache
from tests.fakes.fake_clock import FakeClock


@pytest.fixture
def clock():
    return FakeClock()


def cache_of(clock, limit=100):
    return MemoryCache(limit, lambda: clock.ticks)


def test_a_value_ends_to_the_second(clock):
    """It is there until its time is over, and gone at that moment."""

    async def scenario():
        cache = cache_of(clock)
        await cache.put("key", b"value", 10)
        clock.advance(9.999)
        before = await cache.get("key")
        clock.advance(0.001)
        return before, await cache.get("key"), cache.size()

    assert asyncio.run(scenario()) == (b"value", None, 0)


def test_the_least_used_goes_first(clock):
    """With the limit reached, what was asked for recently stays."""

    async def scenario():
        cache = cache_of(clock, limit=3)
        for key in "abc":
            await cache.put(key, b"", 60)
        await cache.get("a")
        await cache.put("d", b"", 60)
        return [key for key in "abcd" if await cache.get(key) is not None], cache.size()

    assert asyncio.run(scenario()) == (["a", "c", "d"], 3)


def test_tokens_that_are_over_do_not_stay(clock):
    """What nobody asks for any more goes as others come, whatever the limit."""

    async def scenario():
        cache = cache_of(clock)
        for number in range(50):
            await cache.put(f"old {number}", b"", 10)
        clock.advance(11)
        await cache.put("new", b"", 10)
        return cache.size()

    assert asyncio.run(scenario()) == 1


def test_closing_forgets(clock):
    """After the end no token is left in memory."""

    async def scenario():
        cache = cache_of(clock)
        await cache.put("key", b"value", 60)
        await cache.aclose()
        return await cache.get("key")

    assert asyncio.run(scenario()) is None


def test_ten_thousand_tokens_are_small():
    """An entry costs little more than its key and value."""
    cache = MemoryCache()

    async def fill():
        for number in range(10_000):
            await cache.put(f"key {number}", b"value %d" % number, 60)

    asyncio.run(fill())
    overhead = sys.getsizeof(cache._entries) + 10_000 * (sys.getsizeof((1, 1)) + sys.getsizeof(1.0))

    assert cache.size() == 10_000
    assert overhead < 4_000_000


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from("abcd"), st.integers(0, 9), st.integers(-1, 5)),
        st.tuples(st.just("drop"), st.sampled_from("abcd"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("wait"), st.just(""), st.just(0), st.integers(0, 3)),
    ),
    max_size=40,
)


@given(STEPS)
def test_it_never_gives_what_was_dropped_over_or_replaced(steps):
    """After any sequence of steps, a value got is the last one put, alive and not dropped."""
    clock = FakeClock()
    model: dict[str, tuple[bytes, float]] = {}

    async def scenario():
        cache = cache_of(clock)
        for kind, key, number, seconds in steps:
            value = b"%d" % number
            if kind == "put":
                await cache.put(key, value, seconds)
                model[key] = (value, clock.ticks + seconds)
            elif kind == "drop":
                await cache.drop(key, value)
                if key in model and model[key][0] == value:
                    del model[key]
            else:
                clock.advance(seconds)
            for each in "abcd":
                expected, end = model.get(each, (None, 0))
                assert await cache.get(each) == (expected if end > clock.ticks else None)

    asyncio.run(scenario())
