"""The sidecar begins, ends, is killed, and begins again."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from tests.fakes.agent import SECRET, ask
from tests.fakes.api import issues, silent_port
from tests.fakes.program import EXECUTABLE, run_program
from tests.fakes.resident import until
from tests.fakes.sidecar import (
    OTHER_UID,
    SidecarProcess,
    as_root,
    ask_socket,
    git_cache,
    read_all,
    workspace_environ,
)

GET = b"action=get\n" + ask(path="o/r")


def start_asking(
    sidecar: SidecarProcess, path: str = "o/r"
) -> tuple[threading.Thread, list[bytes]]:
    """Somebody who asks, and the answers in time."""
    answers: list[bytes] = []
    message = b"action=get\n" + ask(path=path)
    thread = threading.Thread(target=lambda: answers.append(sidecar.ask(message)))
    thread.start()
    return thread, answers


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_end_answers_those_who_wait(api, sidecar, number):
    """Who has asked is answered, who comes later finds no socket, and the exit status is 0."""
    api.gate.clear()
    thread, answers = start_asking(sidecar)
    until(lambda: api.requests)
    idle = sidecar.connect()
    sidecar.send(number)
    until(lambda: not sidecar.socket.exists())
    late = git_cache(sidecar.socket, "get", ask(path="o/r"))
    api.gate.set()
    thread.join(10)
    status = sidecar.wait()
    idle.close()

    assert b"password=tok-default\n" in answers[0]
    assert late.is_silent_success
    assert status == 0
    assert sidecar.lines[-1].endswith("sidecar: ended")


def test_silent_clients_do_not_delay_the_end(sidecar):
    """A connection that says nothing is not worth waiting for."""
    began_at = time.monotonic()
    with sidecar.connect():
        status = sidecar.stop()

    assert status == 0
    assert time.monotonic() - began_at < 3


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_told_twice_it_ends_at_once(directory, second):
    """Not even a request that hangs at the API is waited for, and the socket is gone."""
    with silent_port() as port:
        environ = workspace_environ(f"http://127.0.0.1:{port}")
        environ["GIT_CREDENTIAL_RELAY_DEADLINE"] = "30"
        with SidecarProcess(directory, environ) as sidecar:
            thread, answers = start_asking(sidecar)
            until(lambda: sidecar.fact("Threads") > 1)
            sidecar.send(signal.SIGTERM)
            until(lambda: not sidecar.socket.exists())
            sidecar.send(second)
            began_at = time.monotonic()
            status = sidecar.wait()
            seconds = time.monotonic() - began_at
            thread.join(10)

    assert status == 0
    assert seconds < 2
    assert answers == [b""]
    assert not sidecar.socket.exists()


def test_killed_and_started_again(api, sidecar):
    """The stale socket is replaced, and nothing is lost but the tokens in memory."""
    api.script(issues("tok-1"), issues("tok-2"))
    first = sidecar.get("o/r")["password"]
    sidecar.kill()
    is_stale = sidecar.socket.exists()
    sidecar.start()

    assert is_stale
    assert (first, sidecar.get("o/r")["password"]) == ("tok-1", "tok-2")
    assert sidecar.lines == [f"git-credential-relay: sidecar: ready on {sidecar.socket}"]


def refused(sidecar: SidecarProcess) -> tuple[int, str]:
    """How a sidecar ends that cannot begin."""
    sidecar.start()
    status = sidecar.wait(10)
    return status, "\n".join(sidecar.lines)


def test_a_second_one_is_refused(directory, api, sidecar):
    """Two cannot be at one path; the first one serves on."""
    status, text = refused(SidecarProcess(directory, workspace_environ(api.url)))

    assert status == 1
    assert "[socket-in-use]" in text
    assert sidecar.get("o/r")["password"]


def test_a_file_in_its_place(directory, api):
    """What is no socket is not removed."""
    (directory / "git.sock").write_text("mine")
    status, text = refused(SidecarProcess(directory, workspace_environ(api.url)))

    assert status == 1
    assert "[socket-unusable]" in text
    assert (directory / "git.sock").read_text() == "mine"


def test_an_open_directory(directory, api):
    """Where others can write, others could answer."""
    directory.chmod(0o777)
    status, text = refused(SidecarProcess(directory, workspace_environ(api.url)))

    assert status == 1
    assert "[socket-directory-open]" in text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("GIT_CREDENTIAL_RELAY_ALLOW_UIDS", "agent"),
        ("GIT_CREDENTIAL_RELAY_DEADLINE", "soon"),
        ("GIT_CREDENTIAL_RELAY_WORKSPACES", "/nowhere/at/all"),
        ("GIT_CREDENTIAL_RELAY_CONFIG", "/nowhere/relay.env"),
    ],
)
def test_a_wrong_setting_is_exit_status_2(directory, api, name, text):
    """It names what is wrong, and shows no secret."""
    environ = {**workspace_environ(api.url), name: text}
    status, said = refused(SidecarProcess(directory, environ))

    assert status == 2
    assert "[bad-config]" in said
    assert SECRET not in said
    assert not (directory / "git.sock").exists()


def test_without_an_api_it_starts(directory):
    """A container starts when nothing is configured yet, and `why` says what is missing."""
    with SidecarProcess(directory, {"GIT_CREDENTIAL_RELAY_FALLBACK": "off"}) as sidecar:
        assert sidecar.get("o/r") == {}
        assert "CLOUD_API_URL" in sidecar.question("why", url="https://github.com/o/r")


@pytest.mark.parametrize("how", ["socket", "directory"])
def test_a_socket_that_was_cleaned_away_is_made_anew(api, sidecar, how):
    """Whatever tidies /run takes it away for a second at most; the tokens stay."""
    sidecar.get("o/r")
    if how == "socket":
        sidecar.socket.unlink()
    else:
        shutil.rmtree(sidecar.directory)
    sidecar.wait_for_line("was made anew")

    assert sidecar.get("o/r")["password"] == "tok-default"
    assert len(api.requests) == 1
    assert sidecar.stop() == 0
    assert not sidecar.socket.exists()


def test_another_server_in_its_place_is_left_alone(sidecar):
    """It is told once, and not taken away at the end."""
    sidecar.socket.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(sidecar.socket))
        other.listen()
        sidecar.wait_for_line("cannot be made anew")
        time.sleep(1.1)
        sidecar.stop()

        assert sum("made anew" in line for line in sidecar.lines) == 1
        assert sidecar.socket.exists()


def test_a_service_manager_is_told(directory, api, tmp_path):
    """READY when clients are served, RELOADING and READY for SIGHUP, STOPPING at the end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(directory / "notify"))
        manager.settimeout(10)
        environ = {**workspace_environ(api.url), "NOTIFY_SOCKET": str(directory / "notify")}
        with SidecarProcess(directory, environ) as sidecar:
            told = [manager.recv(1000)]
            sidecar.send(signal.SIGHUP)
            told += [manager.recv(1000), manager.recv(1000)]
            sidecar.stop()
            told.append(manager.recv(1000))

    states = [state.split(b"\n")[0] for state in told]
    assert states == [b"READY=1", b"RELOADING=1", b"READY=1", b"STOPPING=1"]


def test_a_closed_log_ends_nothing(directory, api):
    """With nobody at the other end of stderr it serves, reads its settings and ends as ever."""
    path = directory / "git.sock"
    process = subprocess.Popen(
        [EXECUTABLE, "sidecar", "--socket", path],
        stderr=subprocess.PIPE,
        env=os.environ | workspace_environ(api.url),
    )
    assert process.stderr is not None
    with process.stderr as log:
        log.readline()
    process.send_signal(signal.SIGHUP)
    answers = [ask_socket(path, GET) for _ in range(3)]
    process.terminate()

    assert all(b"password=tok-default\n" in answer for answer in answers)
    assert process.wait(10) == 0


@as_root
def test_the_own_user_cannot_read_its_memory(open_directory, executable, api):
    """Another process of the same uid gets at neither environment nor memory, though it may ask."""
    home = open_directory / "dumpable"
    home.mkdir()
    os.chown(home, OTHER_UID, OTHER_UID)
    environ = {**workspace_environ(api.url), "HOME": "/nonexistent", "XDG_CONFIG_HOME": ""}
    kept = {"PATH", "GIT_CREDENTIAL_RELAY_CACHE_DIR"}
    with SidecarProcess(
        home, environ, user=OTHER_UID, executable=executable, keeps=kept
    ) as sidecar:
        pid = sidecar.process.pid
        peek = subprocess.run(
            ["sh", "-c", f"cat /proc/{pid}/environ; head -c1 /proc/{pid}/mem; ls /proc/{pid}/fd"],
            user=OTHER_UID, group=OTHER_UID, extra_groups=[], capture_output=True, check=False,
        )  # fmt: skip
        asked = git_cache(sidecar.socket, "get", ask(path="o/r"), user=OTHER_UID)

    assert peek.stdout == b""
    assert peek.stderr.count(b"Permission denied") == 3
    assert asked.password == "tok-default"


def test_the_command_line_holds_no_secret(sidecar):
    """Arguments are for every process to read."""
    with open(f"/proc/{sidecar.process.pid}/cmdline", "rb") as file:
        assert SECRET.encode() not in file.read()


def test_programs_find_a_sidecar_that_ended(directory, api):
    """The helper that asks a sidecar says that there is none, and that it may come back."""
    path = str(directory / "git.sock")
    environ = {"GIT_CREDENTIAL_RELAY_SOCKET": path, "GIT_CREDENTIAL_RELAY_FALLBACK": "off"}
    done = run_program("get", stdin=ask().decode(), **environ)

    assert done.returncode == 75
    assert done.stdout == ""
    assert "[sidecar-unreachable]" in done.stderr


def test_a_busy_queue_is_waited_for(sidecar):
    """More clients at once than the sidecar takes in are served one after the other."""
    sidecar.get("o/r")
    sidecar.send(signal.SIGSTOP)
    clients = [sidecar.connect() for _ in range(200)]
    for client in clients:
        client.sendall(GET)
        client.shutdown(socket.SHUT_WR)
    sidecar.send(signal.SIGCONT)
    answers = [read_all(client) for client in clients]
    for client in clients:
        client.close()

    assert all(b"password=tok-default\n" in answer for answer in answers)
    assert ask_socket(sidecar.socket, GET)
