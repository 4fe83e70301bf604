"""Buckets: so many requests a minute for each key, whatever their pattern."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.broker.buckets import Buckets


class Ticks:
    """Seconds that a test winds on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_gives_its_minutes_share_at_once_and_refills_evenly():
    """Six a minute: six at once, then one every ten seconds, with the wait told each time."""
    ticks = Ticks()
    buckets = Buckets(6, now=ticks)

    assert [buckets.take("a") for _ in range(6)] == [None] * 6
    assert buckets.take("a") == pytest.approx(10)
    ticks.now += 4
    assert buckets.take("a") == pytest.approx(6)
    ticks.now += 6
    assert buckets.take("a") is None
    assert buckets.take("a") == pytest.approx(10)
    ticks.now += 60
    assert [buckets.take("a") for _ in range(7)] == [None] * 6 + [pytest.approx(10)]


@given(
    st.integers(1, 600),
    st.lists(st.floats(0, 30, allow_subnormal=False), max_size=80),
)
def test_no_pattern_of_requests_gets_more_than_the_rate(per_minute, pauses):
    """In any time from the first request on, no more is given than a full bucket and its
    refill, and whoever waits as told is served."""
    ticks = Ticks()
    buckets = Buckets(per_minute, now=ticks)
    given_out, since = 0, ticks.now
    for pause in pauses:
        ticks.now += pause
        owed = buckets.owed("a")
        wait = buckets.take("a")
        assert owed == wait
        if wait is None:
            given_out += 1
        else:
            assert 0 < wait <= 60 / per_minute + 1e-6
            ticks.now += wait
            assert buckets.take("a") is None
            given_out += 1
        assert given_out <= per_minute + (ticks.now - since) * per_minute / 60 + 1e-6


def test_keys_do_not_share_a_bucket():
    """One caller who has used everything up leaves the others theirs."""
    buckets = Buckets(1, now=Ticks())

    assert (buckets.take("a"), buckets.take("b")) == (None, None)
    assert buckets.take("a") is not None


def test_a_refused_request_costs_nothing():
    """Who goes on asking while refused is not kept out for longer."""
    ticks = Ticks()
    buckets = Buckets(1, now=ticks)
    buckets.take("a")
    for _ in range(1000):
        buckets.take("a")
    ticks.now += 60

    assert buckets.take("a") is None


def test_made_up_keys_do_not_fill_the_memory():
    """Only so many keys are kept, and the one in use is not the one that is forgotten."""
    buckets = Buckets(2, now=Ticks(), max_keys=10)
    buckets.take("busy")
    buckets.take("busy")
    for number in range(1000):
        buckets.take(f"made-up-{number}")
        assert buckets.take("busy") is not None

    assert len(buckets) == 10
