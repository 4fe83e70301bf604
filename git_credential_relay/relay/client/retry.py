"""Trying again: tenacity, with our waits and one deadline over everything.

The only place that retries: no other layer does, or waits would multiply. Loaded when there
is something to retry, since tenacity costs more to import than a request to loopback.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_result

from git_credential_relay.relay.client.classify import Retry
from git_credential_relay.relay.deadline import Deadline

FIRST_WAIT = 2.0  # seconds; then 4 and 8
ATTEMPTS = 4
SHORTEST_WAIT = 1.0  # also where the server says 0
# An attempt with less time than this cannot get an answer from a server that is in trouble.
SHORTEST_ATTEMPT = 0.5

T = TypeVar("T")


def backoff(attempt: int, rng: Callable[[float, float], float] = random.uniform) -> float:
    """Seconds to wait after the `attempt`-th failure: 2, 4, 8, each up to a tenth off.

    The jitter keeps the agents of one machine from coming back all at once.
    """
    return float(FIRST_WAIT * 2 ** (attempt - 1) * rng(0.9, 1.1))


def keep_trying(
    first: Retry,
    attempt: Callable[[], T | Retry],
    deadline: Deadline,
    on_wait: Callable[[int, float], None],
) -> T:
    """Call `attempt` again after `first` until it gives something else than a Retry.

    Waits as `backoff` says, or as the server said. Gives up after 4 attempts in all, or when
    the next wait does not fit the deadline any more, and raises the last Retry's error.
    """
    pending = [first]

    def step() -> T | Retry:
        # tenacity counts calls: its first one is the attempt that has been made already.
        return pending.pop() if pending else attempt()

    def wait(state: RetryCallState) -> float:
        verdict = _verdict(state)
        if verdict.after is None:
            return backoff(state.attempt_number)
        return max(verdict.after, SHORTEST_WAIT)

    def stop(state: RetryCallState) -> bool:
        room = deadline.remaining() - SHORTEST_ATTEMPT
        return state.attempt_number >= ATTEMPTS or state.upcoming_sleep > room

    def give_up(state: RetryCallState) -> T:
        verdict = _verdict(state)
        if state.attempt_number > 1:
            verdict.error.message += f" (tried {state.attempt_number} times)"
        raise verdict.error

    def before_sleep(state: RetryCallState) -> None:
        on_wait(state.attempt_number, state.upcoming_sleep)

    retrying = Retrying(
        retry=retry_if_result(lambda result: isinstance(result, Retry)),
        wait=wait,
        stop=stop,
        sleep=deadline.clock.sleep,
        before_sleep=before_sleep,
        retry_error_callback=give_up,
    )
    result = retrying(step)
    assert not isinstance(result, Retry)  # noqa: S101 - for the type checker; see retry_if_result
    return result


def _verdict(state: RetryCallState) -> Retry:
    assert state.outcome is not None  # noqa: S101 - tenacity sets it before it asks us
    verdict = state.outcome.result()
    assert isinstance(verdict, Retry)  # noqa: S101 - only a Retry is waited for
    return verdict
