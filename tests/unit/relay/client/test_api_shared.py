"""One client of the relay API for many threads, as a sidecar has it."""

import gc
import threading
import time

import pytest

from git_credential_relay.errors import RelayError, TransportError
from git_credential_relay.relay.client.api import RelayClient
from git_credential_relay.relay.deadline import Clock, Deadline
from git_credential_relay.relay.workspace import workspace_secret
from git_credential_relay.trace import Trace
from tests.fakes.api import issues, serve_api
from tests.fakes.configs import REPOSITORY, api_config


@pytest.fixture
def api():
    with serve_api() as api:
        yield api


@pytest.fixture
def client(api):
    config = api_config(api.url)
    client = RelayClient(config, lambda: workspace_secret(config), Clock(), Trace())
    yield client
    client.close()


def together(work, count: int = 12) -> list[object]:
    """What `work` gives or raises in so many threads that begin at the same time."""
    results: list[object] = []
    barrier = threading.Barrier(count)

    def run() -> None:
        barrier.wait(10)
        try:
            results.append(work())
        except RelayError as error:
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    return results


def test_threads_share_one_set_of_connections(client):
    """Whoever comes first makes it; none is lost, which an unclosed socket would tell."""
    tokens = together(lambda: client.fetch(REPOSITORY, Deadline(5, Clock())).password.reveal())
    client.close()
    gc.collect()

    assert tokens == ["tok-default"] * 12


def test_an_end_while_it_asks(api, client):
    """Those who wait get an error or their answer, soon; afterwards nobody is asked."""
    api.gate.clear()
    api.script(issues("late"))

    def end() -> None:
        give_up_at = time.monotonic() + 4
        while len(api.requests) < 4 and time.monotonic() < give_up_at:
            time.sleep(0.01)
        client.close()
        api.gate.set()

    ending = threading.Thread(target=end)
    ending.start()
    one_attempt = Deadline(1.5, Clock(), is_patient=False)
    results = together(lambda: client.fetch(REPOSITORY, one_attempt), 4)
    ending.join()
    with pytest.raises(TransportError):
        client.fetch(REPOSITORY, Deadline(5, Clock()))

    assert len(results) == 4
    assert len(api.requests) == 4


@pytest.mark.parametrize(("asked", "expected"), [(None, "600"), (780.9, "780"), (0, "0")])
def test_a_longer_life_can_be_asked_for(api, client, asked, expected):
    """A renewal needs more than the minimum; without a word it is the configured one."""
    client.fetch(REPOSITORY, Deadline(5, Clock()), None, asked)

    assert api.requests[0].fields["minLifetime"] == expected
