"""The sidecar's log: bounded, and never in the way."""

from __future__ import annotations

from git_credential_relay.relay.sidecar.log import SECONDS, Log


def test_a_flood_is_cut_and_counted():
    """After so many lines there is silence, and later the number of those that were left out."""
    written: list[str] = []
    now = [0.0]
    log = Log(written.append, 3, lambda: now[0])
    for number in range(10):
        log.say(f"line {number}")
    in_time = len(written)
    now[0] = SECONDS
    log.say("later")

    assert in_time == 3
    assert written[3:] == [
        "git-credential-relay: sidecar: 7 lines were left out\n",
        "git-credential-relay: sidecar: later\n",
    ]


def test_a_log_that_nobody_reads_costs_nothing():
    """A closed stderr is no reason to fail."""

    def write(line: str) -> None:
        raise BrokenPipeError

    Log(write).say("anything")
