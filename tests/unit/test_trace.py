"""The trace on stderr."""

import pytest

from git_credential_relay.secret import Secret
from git_credential_relay.trace import Trace


@pytest.mark.parametrize(
    ("step", "facts", "expected"),
    [
        pytest.param("cache", {"outcome": "hit"}, "cache outcome=hit", id="a fact"),
        pytest.param(
            "api", {"outcome": "HTTP 200", "ms": 12}, "api outcome=HTTP 200 ms=12", id="two"
        ),
        pytest.param("done", {}, "done", id="none"),
        pytest.param("x", {"a": Secret("hunter2")}, "x a=********", id="a secret"),
        pytest.param("x", {"a": "ghs_canary"}, "x a=********", id="what looks like a token"),
        pytest.param("x", {"a": "\x1b[2J\nb"}, "x a= [2J b", id="control characters"),
    ],
)
def test_a_step_is_one_redacted_line(step, facts, expected):
    """Each step is one line with its facts, without secrets and control characters."""
    lines: list[str] = []
    trace = Trace(lines.append)
    trace(step, **facts)

    assert lines == [f"git-credential-relay: trace: {expected}\n"]


def test_a_trace_that_is_off_does_nothing():
    """Without a place to write, a step costs nothing: its facts are not even shown as text."""

    class Expensive:
        def __str__(self) -> str:
            raise AssertionError("shown")

    Trace()("step", fact=Expensive())


def test_a_trace_that_nobody_reads_costs_nothing():
    """A closed stderr does not turn an answer into a failure."""

    def closed(text):
        raise BrokenPipeError

    Trace(closed)("step")
