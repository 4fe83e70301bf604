"""An edited configuration takes over without anybody noticing who is being served just then."""

from __future__ import annotations

import hashlib
import signal
import threading
import time

import pytest

from tests.fakes.broker import BrokerProcess
from tests.fakes.github_app import MINTS, SECRET, GitHubAppWorld


@pytest.fixture
def world():
    with GitHubAppWorld() as found:
        yield found


@pytest.fixture
def directory(world, tmp_path):
    return world.write_broker(tmp_path)


@pytest.mark.parametrize("is_signal", [True, False], ids=["SIGHUP", "the next request"])
def test_a_mint_under_way_survives_an_edit_of_its_forge(world, directory, is_signal):
    """The former source goes on until nobody uses it: the one who waits gets a token."""
    world.faults.inject("POST", MINTS, delay_seconds=1.0)
    path = directory / "broker.toml"
    with BrokerProcess(directory) as broker:
        ask = {"host": world.forge.host, "path": "acme/app"}
        answers = []
        asker = threading.Thread(target=lambda: answers.append(broker.ask("w1", SECRET, **ask)))
        asker.start()
        give_up_at = time.monotonic() + 10
        while not world.faults.count("POST", MINTS):
            assert time.monotonic() < give_up_at
            time.sleep(0.01)
        path.write_text(path.read_text().replace('"hub"', '"hub"\nclient_id = "Iv1.other"'))
        if is_signal:
            broker.process.send_signal(signal.SIGHUP)
        else:
            broker.ask("w1", SECRET, host=world.forge.host, path="other/denied")
        asker.join()
        logs = broker.logs

    assert [answer.status for answer in answers] == [200], (answers[0].body, logs)


def test_who_is_taken_out_of_admin_is_nobody_at_the_next_request(directory):
    """An administrator's secret counts from the edit that names it to the edit that does not."""
    path = directory / "broker.toml"
    rest = path.read_text()

    def allow(secret):
        digest = hashlib.sha256(secret.encode()).hexdigest()
        path.write_text(f'{rest}\n[admin]\nsecret_sha256 = "{digest}"\n')

    def statuses(broker):
        return [
            broker.request(
                "GET", "/api/workspaces", headers={"Authorization": f"Bearer {secret}"}
            ).status
            for secret in ("the first secret", "the second secret")
        ]

    allow("the first secret")
    with BrokerProcess(directory) as broker:
        before = statuses(broker)
        allow("the second secret")
        after = statuses(broker)
        path.write_text(rest)
        nobody = statuses(broker)

    assert (before, after, nobody) == ([200, 401], [401, 200], [401, 401])
