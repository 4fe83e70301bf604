"""A broker that dies in the middle of something: nothing vended without a line, restart clean."""

from __future__ import annotations

import json
import resource
import threading
import time

import pytest

from git_credential_relay.secret import Secret, token_sha256
from tests.fakes.broker import BrokerProcess
from tests.fakes.github_app import MINTS, SECRET, GitHubAppWorld
from tests.fakes.vend_load import ask_at_once


@pytest.fixture
def world():
    with GitHubAppWorld() as found:
        yield found


@pytest.fixture
def directory(world, tmp_path):
    return world.write_broker(tmp_path)


def audited(directory):
    """The hashes of the tokens that whole lines of the audit log hold."""
    lines = (directory / "audit.ndjson").read_bytes().split(b"\n")
    events = []
    for line in lines:
        try:
            events.append(json.loads(line))
        except ValueError:
            continue  # a torn line of the killed writer
    return {event["token_sha256"] for event in events if event.get("token_sha256")}


@pytest.mark.parametrize("moment", [0.05, 1.5])
def test_a_kill_in_the_middle_of_vends_leaves_no_token_off_the_record(world, directory, moment):
    """Whoever got a token before the kill, in mint or in audit, is in the log; a restart serves."""
    world.faults.inject("POST", MINTS, delay_seconds=0.3)
    with BrokerProcess(directory) as broker:
        killer = threading.Timer(moment, broker.kill)
        killer.start()
        answers = []
        while broker.process.poll() is None:
            for repository in ("acme/app", "acme/lib"):
                query = f"workspaceId=w1&host={world.forge.host}&path={repository}"
                answers += ask_at_once([broker.port], 10, query, SECRET)
        killer.join()
        broker.start()
        after = broker.ask("w1", SECRET, host=world.forge.host, path="acme/app")

    vended = {token_sha256(Secret(answer.token)) for answer in answers if answer.token}
    assert vended <= audited(directory)
    assert after.status == 200
    assert token_sha256(Secret(after.json["token"])) in audited(directory)
    if moment > 1:
        assert vended


def test_without_room_for_the_audit_nothing_is_vended_until_there_is(world, directory):
    """A full disk refuses every vend with a code that says to try again; room brings it back."""
    with BrokerProcess(directory) as broker:
        ask = {"host": world.forge.host, "path": "acme/app"}
        first = broker.ask("w1", SECRET, **ask)
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        size = (directory / "audit.ndjson").stat().st_size
        resource.prlimit(broker.process.pid, resource.RLIMIT_FSIZE, (size + 40, hard))
        full = broker.ask("w1", SECRET, **ask)
        not_ready = broker.request("GET", "/readyz")
        resource.prlimit(broker.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        again = broker.ask("w1", SECRET, **ask)

    assert (first.status, again.status) == (200, 200)
    assert (full.status, full.json["code"], full.json["retryable"]) == (
        503,
        "AUDIT_UNAVAILABLE",
        True,
    )
    assert first.json["token"].encode() not in full.body
    assert (not_ready.status, not_ready.json["ready"]) == (503, False)


def test_a_drain_answers_those_who_wait(world, directory):
    """SIGTERM while the forge mints: the answer leaves and is on record; the end is clean."""
    world.faults.inject("POST", MINTS, delay_seconds=0.5)
    with BrokerProcess(directory) as broker:
        answers = []
        asker = threading.Thread(
            target=lambda: answers.append(
                broker.ask("w1", SECRET, host=world.forge.host, path="acme/app")
            )
        )
        asker.start()
        give_up_at = time.monotonic() + 10
        while not world.faults.count("POST", MINTS):
            assert time.monotonic() < give_up_at
            time.sleep(0.01)
        status = broker.stop()
        asker.join()

    assert (status, answers[0].status) == (0, 200)
    assert token_sha256(Secret(answers[0].json["token"])) in audited(directory)
