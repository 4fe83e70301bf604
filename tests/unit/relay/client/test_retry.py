"""Trying again: how often, after what waits, and never past the deadline."""

import pytest

from git_credential_relay.errors import RelayError, UnavailableError
from git_credential_relay.relay.client.classify import Retry
from git_credential_relay.relay.client.retry import backoff, keep_trying
from tests.fakes.fake_clock import FakeClock

WAITS = [2.0, 4.0, 8.0]


class Api:
    """Answers the given outcomes one after the other, each after `seconds`."""

    def __init__(self, clock: FakeClock, outcomes: list[object], seconds: float = 0.01) -> None:
        self.clock = clock
        self.outcomes = list(outcomes)
        self.seconds = seconds
        self.attempts = 1  # the first one is made before anything is tried again
        self.waits: list[tuple[int, float]] = []

    def attempt(self) -> object:
        self.attempts += 1
        self.clock.advance(self.seconds)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def keep_trying(self, first: Retry, seconds: float = 20.0) -> object:
        deadline = self.clock.deadline(seconds)
        self.clock.advance(self.seconds)
        return keep_trying(
            first, self.attempt, deadline, lambda number, wait: self.waits.append((number, wait))
        )


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def again(after: float | None = None) -> Retry:
    return Retry(UnavailableError("in trouble", retry_after=after), after)


@pytest.mark.parametrize("failures", [1, 2, 3])
def test_served_as_soon_as_it_answers(clock, failures):
    """The first answer that is not a Retry is the result, after waits near 2, 4 and 8 s."""
    api = Api(clock, [again() for _ in range(failures - 1)] + ["token"])
    result = api.keep_trying(again())

    assert result == "token"
    assert clock.slept == [pytest.approx(wait, rel=0.1) for wait in WAITS[:failures]]
    assert api.waits == [(number, wait) for number, wait in enumerate(clock.slept, 1)]


def test_at_most_four_attempts(clock):
    """After the fourth failure the last error is raised and says how often it was tried."""
    api = Api(clock, [again() for _ in range(9)])
    with pytest.raises(UnavailableError) as caught:
        api.keep_trying(again(), seconds=1000)

    assert (api.attempts, len(clock.slept)) == (4, 3)
    assert caught.value.message == "in trouble (tried 4 times)"


def test_a_final_error_ends_it_at_once(clock):
    """What the attempt itself raises is not tried again."""
    api = Api(clock, [again(), RelayError("no"), "token"])
    with pytest.raises(RelayError, match=r"^no$"):
        api.keep_trying(again())

    assert api.attempts == 3


@pytest.mark.parametrize("after", [1.0, 1.5, 5.0, 19.0])
def test_the_servers_own_time_is_waited(clock, after):
    """A Retry-After that fits the deadline replaces our own wait, shorter or longer."""
    api = Api(clock, ["token"])
    result = api.keep_trying(again(after))

    assert (result, clock.slept) == ("token", [after])


def test_a_server_that_says_at_once_gets_a_second(clock):
    """A Retry-After of 0 does not turn four attempts into a burst."""
    api = Api(clock, ["token"])
    api.keep_trying(again(0.0))

    assert clock.slept == [1.0]


@pytest.mark.parametrize("after", [19.6, 20.0, 3600.0, 999_999_999_999.0])
def test_a_time_that_does_not_fit_is_not_waited_for(clock, after):
    """When the server wants us back after the deadline, we give up now and say when."""
    api = Api(clock, ["token"])
    with pytest.raises(UnavailableError) as caught:
        api.keep_trying(again(after))

    assert (clock.slept, api.attempts) == ([], 1)
    assert (caught.value.message, caught.value.retry_after) == ("in trouble", after)


@pytest.mark.parametrize("budget", [1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 20.0, 60.0])
@pytest.mark.parametrize("seconds", [0.01, 1.0, 5.0])
def test_waiting_never_passes_the_deadline(clock, budget, seconds):
    """No wait ends later than the deadline, less the time one more attempt needs."""
    api = Api(clock, [again() for _ in range(9)], seconds)
    started = clock.ticks
    ends: list[float] = []
    sleep = clock.sleep

    def noting_sleep(wait: float) -> None:
        sleep(wait)
        ends.append(clock.ticks - started)

    clock.sleep = noting_sleep
    with pytest.raises(UnavailableError):
        api.keep_trying(again(), budget)

    assert all(end <= budget - 0.5 + 1e-6 for end in ends)


def test_the_first_failure_alone_is_not_counted_in_the_message(clock):
    """With no time for a second attempt the error stays as it is."""
    with pytest.raises(UnavailableError) as caught:
        Api(clock, []).keep_trying(again(), seconds=1.0)

    assert caught.value.message == "in trouble"


@pytest.mark.parametrize(
    ("share", "waits"), [(0.0, [1.8, 3.6, 7.2]), (0.5, WAITS), (1.0, [2.2, 4.4, 8.8])]
)
def test_waits_are_at_most_a_tenth_off(share, waits):
    """2, 4 and 8 seconds, with jitter within a tenth."""

    def rng(low, high):
        return low + share * (high - low)

    assert [backoff(number, rng) for number in (1, 2, 3)] == pytest.approx(waits)


def test_two_agents_do_not_wait_alike():
    """There is jitter: many first waits are not all the same."""
    assert len({backoff(1) for _ in range(20)}) > 1
