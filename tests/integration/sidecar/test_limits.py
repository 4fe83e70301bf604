"""Clients that are slow, silent, greedy, or dead: nobody holds the sidecar."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import time
from contextlib import ExitStack, suppress
from statistics import median

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from git_credential_relay.relay.sidecar.log import MAX_TRACES
from tests.fakes.agent import ask, readable_python
from tests.fakes.api import issues
from tests.fakes.resident import until
from tests.fakes.sidecar import (
    OTHER_UID,
    SidecarProcess,
    connect,
    git_cache,
    looks_inside,
    read_all,
    socket_directory,
    workspace_environ,
)
from tests.integration.test_hostile_requests import REQUESTS

TOKEN = "tok-to-be-lured"
KIB = 1024
CONNECTIONS = 10_000
# Threads for names that are asked about at a time, and what Python itself may keep.
SPARE_FILES = 12


@pytest.fixture
def sidecar(directory, api):
    """A sidecar with a token for o/r in its memory."""
    api.script(issues(TOKEN))
    with SidecarProcess(directory, workspace_environ(api.url)) as sidecar:
        assert sidecar.get("o/r")["password"] == TOKEN
        api.requests.clear()
        yield sidecar


@pytest.fixture(scope="class")
def lured():
    """A sidecar whose API would give the token to anybody, for a whole class of tests."""
    with socket_directory() as directory:
        environ = workspace_environ("http://127.0.0.1:9")
        environ |= {"GIT_CREDENTIAL_RELAY_DEADLINE": "1", "GIT_TOKEN": TOKEN}
        environ["GIT_CREDENTIAL_RELAY_FALLBACK"] = "GIT_TOKEN"
        with SidecarProcess(directory, environ) as sidecar:
            assert sidecar.get("o/r")["password"] == TOKEN
            yield sidecar


class TestHostileRequests:
    """The helper's own hostile requests, and bytes of any kind."""

    @pytest.mark.parametrize("action", ["get", "erase", "store", "exit", "unknown", "GET"])
    def test_no_token_and_no_word(self, lured, action):
        """What lures nothing out of the helper lures nothing out of the sidecar."""
        for name, request_bytes in REQUESTS.items():
            with lured.connect() as connection:
                try:
                    connection.sendall(f"action={action}\n".encode() + request_bytes)
                    connection.shutdown(socket.SHUT_WR)
                    answer = read_all(connection)
                except (BrokenPipeError, ConnectionResetError):
                    answer = b""  # cut off, for saying too much
            assert answer == b"", name

    @settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.sampled_from([b"", b"action=get\n", b"action=erase\n", b"action=get\nrelay=why\n"]),
        st.lists(
            st.one_of(
                st.binary(max_size=40),
                st.sampled_from(
                    [
                        *(b"\n", b"protocol=https\n", b"host=evil.example\n", b"path=o/r\n"),
                        *(b"url=https://evil.example/o/r\n", b"relay=credential\n", b"use=api\n"),
                        *(b"capability[]=state\n", b"state[]=git-credential-relay:AAAA\n"),
                    ]
                ),
            ),
            max_size=12,
        ),
    )
    def test_any_bytes(self, lured, head, parts):
        """No bytes without our host's name get a token, and none of them ends the sidecar."""
        data = head + b"".join(parts)
        answer = lured.ask(data)

        assert b"github.com" in data or TOKEN.encode() not in answer
        assert b"Traceback" not in answer

    def test_it_still_serves(self, lured):
        """After all of that an honest request is answered: the tests above could fail."""
        assert lured.get("o/r")["password"] == TOKEN
        assert len(lured.lines) == 1


@pytest.mark.parametrize(
    ("size", "is_answered"), [(255 * KIB, False), (300 * KIB, False), (20, True)]
)
def test_a_request_has_a_size(sidecar, size, is_answered):
    """Long before its limit a request holds nothing that git would say."""
    with sidecar.connect() as connection:
        try:
            connection.sendall(b"action=get\n" + ask(path="o/r")[:-1])
            line = b"x=" + b"y" * 60_000 + b"\n"
            connection.sendall(line * (size // len(line)) + b"x=" + b"y" * (size % len(line)))
            connection.sendall(b"\n\n")
            answer = read_all(connection)
        except (BrokenPipeError, ConnectionResetError):
            answer = b"cut off"

    assert (TOKEN.encode() in answer) == (is_answered or size < 256 * KIB)


def test_slow_and_silent_clients_are_cut_off(sidecar):
    """Silence, a byte now and then, a half that is closed on one side only: after five seconds
    there is an end, and nobody else has noticed."""
    began_at = time.monotonic()
    with ExitStack() as stack:
        silent = stack.enter_context(sidecar.connect())
        slow = stack.enter_context(sidecar.connect())
        is_slow_open = True
        while time.monotonic() - began_at < 5.5:
            if is_slow_open:
                try:
                    slow.sendall(b"x")
                except (BrokenPipeError, ConnectionResetError):
                    is_slow_open = False
            assert sidecar.get("o/r")["password"] == TOKEN
            time.sleep(0.1)
        silent.settimeout(1)
        try:
            left = silent.recv(1)
        except ConnectionResetError:
            left = b""

    assert left == b""
    assert not is_slow_open


def test_clients_that_never_read_fill_no_memory(sidecar):
    """Reports that nobody takes are dropped at a few MiB, while others are answered."""
    for number in range(400):
        sidecar.ask(b"action=get\n" + ask(path=f"o/r{number}"))
    report = len(sidecar.question("status", format="json"))
    before = sidecar.fact("VmRSS")
    with ExitStack() as stack:
        for _ in range(100):
            connection = stack.enter_context(sidecar.connect())
            connection.sendall(b"action=get\nrelay=status\nformat=json\n\n")
        seconds = []
        for _ in range(30):
            began_at = time.monotonic()
            assert sidecar.get("o/r")["password"] == TOKEN
            seconds.append(time.monotonic() - began_at)
            time.sleep(0.01)
        after = sidecar.fact("VmRSS")

    assert report > 100 * KIB
    assert after - before < 32 * KIB
    assert median(seconds) < 0.2


def test_requests_that_never_end_fill_no_memory(sidecar):
    """A user's unfinished requests are kept up to a few MiB together, and others are answered."""
    before = sidecar.fact("VmRSS")
    with ExitStack() as stack:
        for _ in range(200):
            connection = stack.enter_context(sidecar.connect())
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(b"action=get\n" + b"x=" + b"y" * 250 * KIB)
        assert sidecar.get("o/r")["password"] == TOKEN
        after = sidecar.fact("VmRSS")

    assert after - before < 24 * KIB


def test_an_early_end_tells_nobody(sidecar):
    """A client that goes before it is answered leaves no line in the log."""
    for data in (b"", b"action=get\n", b"action=get\n" + ask(path="o/r")):
        with sidecar.connect() as connection:
            connection.sendall(data)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert sidecar.get("o/r")["password"] == TOKEN
    assert len(sidecar.lines) == 1


@looks_inside
def test_ten_thousand_dead_clients_leave_nothing(api, sidecar):
    """Clients that go in every state, some of them killed gits, cost no file, thread or memory."""
    states = [
        b"",
        b"action=get\n",
        b"action=get\nrelay=status\n\n",
        b"action=get\n" + ask(path="o/r"),
        b"action=get\n" + ask(path="o/waits"),
        b"action=erase\n" + ask(path="o/r", password="other"),
        b"nonsense\n\n",
    ]
    api.gate.clear()
    gits = [start_git(sidecar) for _ in range(8)]
    for number in range(CONNECTIONS):
        with connect(sidecar.socket) as connection:
            connection.sendall(states[number % len(states)])
            if number % 2:
                connection.shutdown(socket.SHUT_WR)
        if number == 500:
            for git in gits:
                git.kill()
                git.communicate()
        if number == 1000:
            until(lambda: sidecar.open_files < 300)
            files, threads, memory = (
                sidecar.open_files, sidecar.fact("Threads"), sidecar.fact("VmRSS"),
            )  # fmt: skip
    api.gate.set()
    until(lambda: sidecar.open_files <= SPARE_FILES + 10)
    assert sidecar.get("o/r")["password"] == TOKEN
    assert sidecar.open_files <= files + 2
    assert sidecar.fact("Threads") <= threads + 2
    assert sidecar.fact("VmRSS") - memory < 8 * KIB
    assert len(sidecar.lines) == 1


def start_git(sidecar: SidecarProcess) -> subprocess.Popen[bytes]:
    """Git's client in the middle of what it says."""
    git = subprocess.Popen(
        ["git", "credential-cache", f"--socket={sidecar.socket}", "get"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert git.stdin is not None
    git.stdin.write(ask(path="o/waits"))
    git.stdin.flush()
    return git


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may limit another process")
def test_out_of_files_it_waits_and_recovers(sidecar):
    """Without a file to be had it takes no CPU and says nothing a thousand times."""
    _, hard = resource.prlimit(sidecar.process.pid, resource.RLIMIT_NOFILE)
    limit = sidecar.open_files + 5
    resource.prlimit(sidecar.process.pid, resource.RLIMIT_NOFILE, (limit, hard))
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(sidecar.connect())
        before = cpu_seconds(sidecar)
        time.sleep(1)
        used = cpu_seconds(sidecar) - before
    resource.prlimit(sidecar.process.pid, resource.RLIMIT_NOFILE, (hard, hard))

    assert sidecar.get("o/r")["password"] == TOKEN
    assert used < 0.3
    assert len(sidecar.lines) < 5


def cpu_seconds(sidecar: SidecarProcess) -> float:
    """The processor time it has used."""
    with open(f"/proc/{sidecar.process.pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# Takes what it can get, is refused, and asks for ever.
REFUSED = """
import socket, sys
def connect():
    client = socket.socket(socket.AF_UNIX)
    client.connect(sys.argv[1])
    return client
held = [connect() for _ in range(400)]
del held
while True:
    with connect() as client:
        try:
            client.sendall(b"action=get\\nprotocol=https\\nhost=github.com\\n\\n")
            client.shutdown(socket.SHUT_WR)
            assert client.recv(100) == b""
        except (BrokenPipeError, ConnectionResetError):
            pass
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_a_refused_user_fills_neither_log_nor_room(directory, api):
    """Thousands of refusals, with the trace on, are a bounded number of lines; the allowed user
    is served meanwhile."""
    python = readable_python()
    if python is None:
        pytest.skip("no interpreter that other users may run")
    environ = {**workspace_environ(api.url), "GIT_CREDENTIAL_DEBUG": "1"}
    with SidecarProcess(directory, environ) as sidecar:
        sidecar.socket.chmod(0o666)
        refused = subprocess.Popen(
            [python, "-I", "-S", "-c", REFUSED, sidecar.socket],
            user=OTHER_UID, group=OTHER_UID, extra_groups=[], cwd="/", env={},
        )  # fmt: skip
        try:
            sidecar.wait_for_line("refused uid=54321", count=2000)
            answers = [sidecar.get("o/r").get("password") for _ in range(20)]
            was_refused = refused.poll() is None
        finally:
            refused.kill()
            refused.wait()

    assert answers == ["tok-default"] * 20
    assert was_refused
    assert len(sidecar.lines) < MAX_TRACES + 100


def test_the_message_of_git_is_complete_without_its_end(sidecar):
    """A client that closes nothing is answered when it has said its empty line."""
    assert git_cache(sidecar.socket, "get", ask(path="o/r")).password == TOKEN
    with sidecar.connect() as connection:
        connection.sendall(b"action=get\n" + ask(path="o/r"))
        assert TOKEN.encode() in read_all(connection)
