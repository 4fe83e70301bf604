"""Secrets are not guessed at line speed, and nobody is locked out by a neighbour's guesses."""

from __future__ import annotations

import pytest

from git_credential_relay.broker.errors import TooManyRequestsError
from git_credential_relay.broker.identity.guesses import ADMINISTRATOR, Guesses
from tests.fakes.fake_clock import FakeClock

FEW = 3


def used_up(address, kind="workspace", id="w1"):
    """Guesses of which this address has made as many as it may."""
    guesses = Guesses(FEW, now=lambda: 1000.0)
    for _ in range(FEW):
        guesses.check(address, kind, id)
        guesses.failed(address, kind, id)
    return guesses


def test_after_too_many_failures_there_is_a_wait_that_ends():
    """The answer says when to come again, and then one more try is allowed."""
    clock = FakeClock()
    guesses = Guesses(FEW, now=lambda: clock.now)
    for _ in range(FEW):
        guesses.failed("192.0.2.1", "workspace", "w1")
    with pytest.raises(TooManyRequestsError) as caught:
        guesses.check("192.0.2.1", "workspace", "w1")

    assert caught.value.retry_after == pytest.approx(60 / FEW)
    clock.now += 60 / FEW
    guesses.check("192.0.2.1", "workspace", "w1")


@pytest.mark.parametrize(
    "other",
    [
        ("192.0.2.2", "workspace", "w1"),
        ("192.0.2.1", "workspace", "w2"),
        ("192.0.2.1", ADMINISTRATOR, ""),
        (None, "workspace", "w1"),
    ],
)
def test_others_may_go_on(other):
    """Another address, another workspace and the administrators have tries of their own."""
    used_up("192.0.2.1").check(*other)


def test_an_ipv6_customer_has_one_share_for_all_addresses():
    """A network of 64 bits has more addresses than anybody could count failures for."""
    with pytest.raises(TooManyRequestsError):
        used_up("2001:db8::1").check("2001:db8::ffff", "workspace", "w1")
