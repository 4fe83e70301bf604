"""Sinks: copies that arrive when they can, delay nobody, and say what they lost."""

import json
import os
import threading
from typing import Any

import pytest

from git_credential_relay.broker.audit.file import AuditLog
from git_credential_relay.broker.audit.line import serialize
from git_credential_relay.broker.audit.sinks import (
    FileDescriptorDelivery,
    HttpDelivery,
    QueuedSink,
    UndeliveredError,
    open_sinks,
)
from git_credential_relay.errors import ConfigError
from tests.unit.broker.audit.events import AT, event

QUICK: dict[str, Any] = {"linger_seconds": 0.0, "first_wait_seconds": 0.001, "now": lambda: AT}


class Gate:
    """A delivery that fails as told, and waits while it is shut."""

    def __init__(self, *failures):
        self.failures = list(failures)
        self.batches = []
        self.is_open = threading.Event()
        self.is_open.set()
        self.asked = threading.Event()
        self.failed = threading.Event()
        self.delivered = threading.Event()
        self.is_closed = False

    def deliver(self, batch):
        self.asked.set()
        self.is_open.wait(10)
        if self.failures:
            self.failed.set()
            raise self.failures.pop(0)
        self.batches.append(batch)
        self.delivered.set()

    def close(self):
        self.is_closed = True

    @property
    def lines(self):
        return b"".join(self.batches).splitlines(keepends=True)


def lines(*numbers):
    return [b"%d\n" % number for number in numbers]


def test_everything_arrives_in_order():
    """What is left when the broker ends is delivered before."""
    gate = Gate()
    sink = QueuedSink(gate, **QUICK)
    for line in lines(*range(1200)):
        sink.put(line)
    sink.close()

    assert gate.lines == lines(*range(1200))
    assert gate.is_closed
    assert sink.dropped == 0


def test_what_fails_is_tried_again():
    """Trouble that passes loses nothing."""
    gate = Gate(UndeliveredError("x"), UndeliveredError("y"))
    sink = QueuedSink(gate, **QUICK)
    sink.put(b"1\n")
    assert gate.delivered.wait(10)
    sink.close()

    assert gate.lines == lines(1)


def test_a_sink_that_is_stuck_delays_nobody_and_drops_the_oldest():
    """With a full queue the oldest lines go, and later it is said how many."""
    gate = Gate()
    gate.is_open.clear()
    sink = QueuedSink(gate, max_queued=3, **QUICK)
    sink.put(b"0\n")
    assert gate.asked.wait(10)
    for line in lines(*range(1, 10)):
        sink.put(line)
    gate.is_open.set()
    sink.close()

    marker = {"at": AT, "kind": "dropped", "dropped": 6}
    assert gate.lines == [b"0\n", json.dumps(marker).encode() + b"\n", *lines(7, 8, 9)]
    assert sink.dropped == 6


def test_a_batch_that_nobody_will_take_is_dropped_and_said_so():
    """One refusal for good does not stop what comes after it."""
    gate = Gate(UndeliveredError("HTTP 413", is_final=True))
    sink = QueuedSink(gate, **QUICK)
    sink.put(b"0\n")
    assert gate.failed.wait(10)
    sink.put(b"1\n")
    sink.close()

    assert gate.lines[-1:] == lines(1)
    assert json.loads(gate.lines[0])["dropped"] == 1


def test_closing_takes_a_bounded_time():
    """A collector that never answers does not keep the broker from ending."""
    gate = Gate()
    gate.is_open.clear()
    sink = QueuedSink(gate, close_seconds=0.05, **QUICK)
    sink.put(b"0\n")
    sink.close()

    assert not gate.batches
    gate.is_open.set()


def test_the_log_does_not_wait_for_a_sink(tmp_path):
    """Events are on record while a sink is stuck."""
    gate = Gate()
    gate.is_open.clear()
    sink = QueuedSink(gate, max_queued=2, **QUICK)
    log = AuditLog(tmp_path / "audit.ndjson", max_bytes=10_000, keep=1, sinks=[sink])
    for number in range(20):
        log.write(event(str(number)))

    assert len(log.path.read_bytes().splitlines()) == 20
    gate.is_open.set()
    log.close()


def test_standard_output_gets_the_very_lines():
    """Every byte is written, however small the pipe."""
    reader, writer = os.pipe()
    found = []

    def read():
        while chunk := os.read(reader, 1000):
            found.append(chunk)

    thread = threading.Thread(target=read)
    thread.start()
    sink = QueuedSink(FileDescriptorDelivery(writer), **QUICK)
    expected = [serialize(event(str(number), reason="x" * 900)) for number in range(300)]
    for line in expected:
        sink.put(line)
    sink.close()
    os.close(writer)
    thread.join(10)
    os.close(reader)

    assert b"".join(found) == b"".join(expected)


def test_a_reader_that_went_away_is_final():
    """A closed pipe is no reason to try for ever."""
    reader, writer = os.pipe()
    os.close(reader)
    with pytest.raises(UndeliveredError) as caught:
        FileDescriptorDelivery(writer).deliver(b"x\n")
    os.close(writer)

    assert caught.value.is_final


@pytest.fixture
def http_delivery(httpserver):
    delivery = HttpDelivery(httpserver.url_for("/events"))
    yield delivery
    delivery.close()


def test_a_collector_gets_batches_by_http(httpserver, http_delivery):
    """They are posted as NDJSON."""
    httpserver.expect_oneshot_request(
        "/events",
        method="POST",
        headers={"Content-Type": "application/x-ndjson"},
        data="1\n2\n",
    ).respond_with_data("", status=204)

    http_delivery.deliver(b"1\n2\n")
    httpserver.check()


@pytest.mark.parametrize(
    ("status", "is_final"),
    [(500, False), (503, False), (429, False), (401, False), (400, True), (413, True), (302, True)],
)
def test_answers_of_a_collector(httpserver, http_delivery, status, is_final):
    """Trouble is tried again, a refusal is not, and a redirect is one."""
    httpserver.expect_request("/events").respond_with_data(
        "", status=status, headers={"Location": "/elsewhere"}
    )

    with pytest.raises(UndeliveredError) as caught:
        http_delivery.deliver(b"1\n")

    assert caught.value.is_final is is_final
    assert [request.path for request, _ in httpserver.log] == ["/events"]


def test_a_collector_that_is_not_there_may_come():
    """A refused connection is trouble that may pass."""
    delivery = HttpDelivery("http://127.0.0.1:1/")
    with pytest.raises(UndeliveredError) as caught:
        delivery.deliver(b"1\n")
    delivery.close()

    assert not caught.value.is_final


@pytest.mark.parametrize(
    "name", ["stderr", "", "syslog://x", "https://", "file:///tmp/x", "http://[::"]
)
def test_what_is_no_sink_is_refused(name):
    """A mistake in audit_sinks is found at the start."""
    with pytest.raises(ConfigError, match="not an audit sink"):
        open_sinks([name])


def test_sinks_of_the_configuration():
    """Standard output and collectors are opened, and closed again."""
    sinks = open_sinks(["stdout", "https://logs.example/in", "http://127.0.0.1:1/in"])
    for sink in sinks:
        sink.close()

    assert len(sinks) == 3
