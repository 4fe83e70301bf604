"""When a server in trouble is asked again, and what the log says of it."""

import logging

import pytest

from git_credential_relay.broker.cache.breaker import Breaker
from tests.fakes.fake_clock import FakeClock


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def breaker(clock):
    return Breaker("the cache", 2.0, lambda: clock.ticks)


def test_a_server_that_answers_is_always_asked(breaker):
    """Without trouble there is no pause."""
    breaker.succeeded()

    assert breaker.allows()
    assert (breaker.trouble, breaker.is_pausing) == (None, False)


def test_after_a_failure_nobody_asks_for_a_while(breaker, clock):
    """The pause begins with the failure and has an end."""
    breaker.failed("no connection")
    clock.advance(1.999)
    assert not breaker.allows()
    assert breaker.is_pausing
    clock.advance(0.001)
    assert not breaker.is_pausing
    assert breaker.allows()


def test_after_the_pause_one_asks_for_all(breaker, clock):
    """While one finds out, the others go on without; if that takes too long, another one tries."""
    breaker.failed("no connection")
    clock.advance(2)

    assert [breaker.allows() for _ in range(3)] == [True, False, False]
    clock.advance(2)
    assert [breaker.allows() for _ in range(2)] == [True, False]


def test_an_answer_ends_the_trouble(breaker, clock):
    """Once the server answers, everybody asks again."""
    breaker.failed("no connection")
    clock.advance(2)
    breaker.allows()
    breaker.succeeded()

    assert [breaker.allows() for _ in range(3)] == [True] * 3
    assert breaker.trouble is None


def test_the_log_has_one_line_for_each_change(breaker, clock, caplog):
    """A server that is away for long does not fill the log."""
    with caplog.at_level(logging.INFO):
        breaker.succeeded()
        for _ in range(5):
            breaker.failed("no connection")
            clock.advance(2)
        breaker.succeeded()
        breaker.succeeded()

    assert [record.getMessage() for record in caplog.records] == [
        "the cache cannot be used: no connection",
        "the cache can be used again",
    ]
