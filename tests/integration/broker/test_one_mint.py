"""One mint for however many askers, on one broker and on three that behave as one."""

from __future__ import annotations

import contextlib
import json
import threading
import time

import pytest

from git_credential_relay.broker.store.cipher import new_key
from git_credential_relay.secret import Secret, token_sha256
from tests.fakes.broker import BrokerProcess
from tests.fakes.github_app import MINTS, SECRET, GitHubAppWorld
from tests.fakes.servers import running_valkey
from tests.fakes.vend_load import ask_at_once

TOP = """\
database = "{database}"
encryption_key_file = "{key}"
[limits]
workspace_requests_per_minute = 1000000
[admin]
secret_file = "admin.secret"
"""


def write_broker(world, directory, database, key="broker.key"):
    """A directory with the configuration of one broker; replicas share database and key."""
    world.write_broker(directory, TOP.format(database=database, key=key))
    (directory / "admin.secret").write_text("the secret of the administrator")
    return directory


def question(world, repository="acme/app"):
    return f"workspaceId=w1&host={world.forge.host}&path={repository}"


@pytest.fixture
def world():
    with GitHubAppWorld(has_git=False) as found:
        yield found


@pytest.mark.timeout(120)
def test_a_thousand_askers_of_a_cold_broker_make_one_mint(world, tmp_path):
    """1,000 requests for one key, all at once: one mint, one token, and an event for each."""
    key = tmp_path / "broker.key"
    key.write_text(new_key())
    key.chmod(0o600)
    directory = write_broker(world, tmp_path, "sqlite:///broker.db")
    world.faults.inject("POST", MINTS, delay_seconds=0.3)
    with BrokerProcess(directory) as broker:
        answers = ask_at_once([broker.port], 1000, question(world), SECRET)
        [token] = {answer.token for answer in answers}
        rejected = f"Cache-Control: no-cache\r\nX-Rejected-Token-SHA256: {hashed(token)}\r\n"
        world.forge.tokens.revoke(token)
        anew = ask_at_once([broker.port], 50, question(world), SECRET, rejected)

    assert {answer.status for answer in answers} == {200}
    assert {answer.status for answer in anew} == {200}
    assert len({answer.token for answer in anew} - {token}) == 1
    assert world.github.mints == 2
    events = [json.loads(line) for line in (tmp_path / "audit.ndjson").read_text().splitlines()]
    assert len(events) == 1050
    assert [event["verdict"] for event in events] == ["vended"] * 1050


def hashed(token):
    assert token is not None
    return token_sha256(Secret(token))


@pytest.fixture
def replicas(world, tmp_path, postgresql):
    """Three brokers on one PostgreSQL and one Valkey, with the Valkey."""
    key = tmp_path / "broker.key"
    key.write_text(new_key())
    key.chmod(0o600)
    with contextlib.ExitStack() as stack:
        database = postgresql.create_database()
        valkey = stack.enter_context(running_valkey())
        brokers = [
            BrokerProcess(
                write_broker(world, tmp_path / f"b{n}", database, str(key)),
                "--cache-url",
                valkey.url,
            )
            for n in range(3)
        ]
        starts = [threading.Thread(target=broker.start) for broker in brokers]
        for start in starts:
            start.start()
        for start in starts:
            start.join()
        for broker in brokers:
            stack.enter_context(contextlib.closing(_Ending(broker)))
        assert all(broker.port for broker in brokers), [broker.lines for broker in brokers]
        yield brokers, valkey


class _Ending:
    def __init__(self, broker):
        self._broker = broker

    def close(self):
        self._broker.stop()


@pytest.mark.timeout(180)
def test_three_replicas_behave_as_one(replicas, world):
    """1,000 requests over three brokers: one mint; with Valkey killed in the middle: all answered;
    and an edit through one of them counts for the next request to any other."""
    brokers, valkey = replicas
    ports = [broker.port for broker in brokers]
    world.faults.inject("POST", MINTS, delay_seconds=0.3)

    answers = ask_at_once(ports, 1000, question(world), SECRET)

    assert {answer.status for answer in answers} == {200}
    assert len({answer.token for answer in answers}) == 1
    assert world.github.mints == 1
    _edits_count_everywhere(brokers, world)

    killer = threading.Timer(0.1, valkey.kill)
    world.faults.inject("POST", MINTS, delay_seconds=0.4)
    killer.start()
    in_the_middle = ask_at_once(ports, 300, question(world, "acme/lib"), SECRET)
    afterwards = ask_at_once(ports, 300, question(world, "acme/lib"), SECRET)
    killer.join()

    assert {answer.status for answer in in_the_middle + afterwards} == {200}
    assert valkey_is_gone(valkey)


def _edits_count_everywhere(brokers, world):
    """A workspace made, narrowed and deleted through three brokers is the same at each."""
    admin = {
        "Authorization": "Bearer the secret of the administrator",
        "Content-Type": "application/json",
    }

    def call(broker, method, path, **fields):
        answer = broker.request(
            method, f"/api/workspaces{path}", headers=admin, body=json.dumps(fields).encode()
        )
        assert answer.status < 300, answer.body
        return answer.json

    made = call(brokers[0], "POST", "", id="w2", gitUrl=world.forge.url_of("acme/app"))
    for broker in brokers:
        asked = broker.ask("w2", made["secret"], host=world.forge.host, path="acme/app")
        assert asked.status == 200, asked.body
    other = {"host": world.forge.host, "repositories": ["acme/lib"]}
    call(brokers[1], "PATCH", "/w2", grants=[other])
    statuses = [
        broker.ask("w2", made["secret"], host=world.forge.host, path="acme/app").status
        for broker in brokers
    ]
    call(brokers[2], "DELETE", "/w2")
    gone = [
        broker.ask("w2", made["secret"], host=world.forge.host, path="acme/lib").status
        for broker in brokers
    ]
    assert (statuses, gone) == ([403] * 3, [401] * 3)


def valkey_is_gone(valkey):
    give_up_at = time.monotonic() + 5
    while time.monotonic() < give_up_at:
        try:
            valkey.ask("PING")
        except Exception:  # noqa: BLE001 - whatever the client calls it
            return True
    return False
