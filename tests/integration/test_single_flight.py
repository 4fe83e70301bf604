"""Many real helper processes at once: one request to the API answers all of them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.fakes.agent import AgentHome, ask
from tests.fakes.api import Answer, FakeApi, Seen, issues, refuses, silent_port


@dataclass(frozen=True)
class Asked:
    """What one of many processes was told, and how long it took to be told."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    seconds: float


@contextmanager
def crowd(
    agent: AgentHome, count: int, request: bytes, environ: dict[str, str] | None = None
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that have all been started before the first of them gets the request."""
    processes = [agent.start("get", environ=environ) for _ in range(count)]
    try:
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(request)
            process.stdin.flush()
        yield processes
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
                process.communicate()


def collect(processes: list[subprocess.Popen[bytes]]) -> list[Asked]:
    """Wait for all of the processes at once."""
    started = time.monotonic()

    def wait(process: subprocess.Popen[bytes]) -> Asked:
        stdout, stderr = process.communicate(timeout=40)
        return Asked(process.returncode, stdout, stderr, time.monotonic() - started)

    with ThreadPoolExecutor(len(processes)) as pool:
        return list(pool.map(wait, processes))


def until_all_wait(api: FakeApi, processes: list[subprocess.Popen[bytes]]) -> None:
    """Until one process is with the API and all have the lock's file open."""
    limit = time.monotonic() + 20
    waiting = {process.pid for process in processes}
    while (waiting or not api.requests) and time.monotonic() < limit:
        waiting = {pid for pid in waiting if not has_lock_open(pid)}
        time.sleep(0.02)
    assert not waiting
    assert len(api.requests) == 1


def has_lock_open(pid: int) -> bool:
    """Whether the process has come as far as the lock."""
    directory = f"/proc/{pid}/fd"
    try:
        return any(
            os.readlink(f"{directory}/{fd}").endswith(".lock") for fd in os.listdir(directory)
        )
    except OSError:
        return False


@pytest.mark.parametrize(
    ("count", "path", "lifetime"),
    [
        pytest.param(100, "o/r.git", 3600, id="one-hour"),
        pytest.param(30, "o/r.git", 30, id="less-than-we-promise"),
        pytest.param(30, "o/r.git", None, id="unknown-lifetime"),
        pytest.param(30, None, 3600, id="without-a-path"),
    ],
)
def test_one_request_answers_many_processes(api, agent, count, path, lifetime):
    """100 cold `get`s for one repository are one API request, however long the token lives."""
    api.script(issues("tok-1", lifetime=lifetime), issues("tok-2", lifetime=lifetime))
    api.gate.clear()
    with crowd(agent, count, ask(path=path)) as processes:
        until_all_wait(api, processes)
        api.gate.set()
        asked = collect(processes)

    assert [(a.exit_code, a.stderr) for a in asked] == [(0, b"")] * count
    assert {a.stdout.split(b"\n")[1] for a in asked} == {b"password=tok-1"}
    assert len(api.requests) == 1


def test_different_repositories_do_not_wait_for_each_other(api, agent):
    """A slow answer about one repository holds up nobody who asks about another."""

    def answer(seen: Seen) -> Answer:
        is_slow = seen.fields["path"] == "o/slow"
        return issues("tok-slow", delay=1.5) if is_slow else issues("tok-fast")

    api.script(answer)
    with crowd(agent, 1, ask(path="o/slow")) as processes:
        until_all_wait(api, processes)
        result = agent.get("o/fast")
        is_running = processes[0].poll() is None
        [slow] = collect(processes)

    assert result.password == "tok-fast"
    assert is_running
    assert b"password=tok-slow" in slow.stdout


def test_an_outage_is_paid_for_once(api, agent):
    """50 processes during an outage make a few requests, and none waits for all its deadline."""
    api.script(refuses(503, error="database is away"))
    environ = {"GIT_CREDENTIAL_RELAY_DEADLINE": "5", "GIT_CREDENTIAL_RELAY_FALLBACK": "off"}
    with crowd(agent, 50, ask(path="o/r.git"), environ) as processes:
        asked = collect(processes)

    # The first one tries twice within two seconds; all others get what it got.
    assert len(api.requests) <= 4
    assert max(a.seconds for a in asked) < 5
    assert {a.stdout for a in asked} == {b""}
    assert all(b"database is away" in a.stderr for a in asked)


def test_a_black_hole_does_not_add_up(agent):
    """Processes that find the API dead one after the other end together, not in a queue."""
    with silent_port() as port:
        environ = {
            "CLOUD_API_URL": f"http://127.0.0.1:{port}",
            "GIT_CREDENTIAL_RELAY_DEADLINE": "2",
        }
        with crowd(agent, 20, ask(path="o/r.git"), environ) as processes:
            asked = collect(processes)

    assert {a.stdout for a in asked} == {b""}
    assert all(b"[api-timeout]" in a.stderr or b"[deadline-exceeded]" in a.stderr for a in asked)
    assert max(a.seconds for a in asked) < 12  # in a queue it would be 40


def test_a_stopped_process_does_not_hold_the_others(api, agent):
    """A helper stopped (Ctrl-Z) with the lock in hand is waited for until its deadline only."""
    api.script(issues("tok-1"), issues("tok-2"))
    api.gate.clear()
    with crowd(agent, 1, ask(path="o/r"), {"GIT_CREDENTIAL_RELAY_DEADLINE": "2"}) as processes:
        until_all_wait(api, processes)
        os.kill(processes[0].pid, signal.SIGSTOP)
        api.gate.set()
        result = agent.get("o/r", environ={"GIT_CREDENTIAL_RELAY_DEADLINE": "10"})

    assert result.password == "tok-2"
    assert result.seconds < 6
