"""How long the demo's tokens live."""

from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.demo.pace import Pace, measure_start


def test_a_usual_machine_does_not_wait_longer_than_it_has_to():
    """Where the program starts at once, tokens live as short as the story allows."""
    assert Pace.of(0.05) == Pace.of(0.3) == Pace(8, 3.0, 1)


def test_tokens_live_longer_on_a_slow_machine():
    """Where everything takes twice as long, every life is twice as long."""
    assert Pace.of(0.6) == Pace(16, 6.0, 2)


@given(st.floats(0, 1e6))
def test_every_pace_lets_a_token_be_used_and_end(seconds):
    """A fresh token is comfortable, a comfortable one is handed out, and each ends some time."""
    pace = Pace.of(seconds)

    assert 0 < pace.min_lifetime_seconds < pace.comfort_seconds < pace.token_seconds - 1
    assert pace.token_seconds <= 64


def test_measuring_starts_the_program():
    """What is measured takes time, and not much of it."""
    assert 0 < measure_start() < 30
