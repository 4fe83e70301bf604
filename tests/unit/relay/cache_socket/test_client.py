"""Asking a sidecar: every way in which it may answer, or not."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import contextmanager

import pytest

from git_credential_relay.credential.attributes import serialize
from git_credential_relay.credential.forge import GITHUB, Forge, Target
from git_credential_relay.errors import DeniedError, RelayError, SidecarError, SourceError
from git_credential_relay.relay.cache_socket.client import MAX_ANSWER, SidecarClient
from git_credential_relay.relay.cache_socket.message import failure_attributes
from git_credential_relay.relay.deadline import Clock, Deadline
from git_credential_relay.secret import Secret
from tests.fakes.sidecar import read_all, socket_directory

TARGET = Target(Forge(GITHUB, "https", "github.com"), "o/r")
TOKEN = b"username=x-access-token\npassword=tok-1\npassword_expiry_utc=2000000000\n\n"


@contextmanager
def sidecar(answer: bytes | None):
    """A server that reads a message and says `answer`, or nothing and stays; what it has read."""
    heard: list[bytes] = []
    with socket_directory() as directory, socket.socket(socket.AF_UNIX) as listening:
        path = str(directory / "s")
        listening.bind(path)
        listening.listen()
        gone = threading.Event()

        def serve() -> None:
            client, _ = listening.accept()
            with client:
                heard.append(read_all(client))
                if answer is None:
                    gone.wait(10)
                else:
                    try:
                        client.sendall(answer)
                    except OSError:
                        return

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield SidecarClient(path, Clock()), heard
        finally:
            gone.set()
            thread.join(10)


def get(client: SidecarClient, seconds: float = 5):
    """What it gives for the target."""
    return client.get(TARGET, Deadline(seconds, Clock()))


def test_a_token():
    """The token, whose it is, and how long it lives; asked for as git would ask."""
    with sidecar(TOKEN) as (client, heard):
        credential = get(client)

    assert credential.username == "x-access-token"
    assert credential.password.reveal() == "tok-1"
    assert credential.expires_at == 2_000_000_000
    assert heard[0].startswith(b"action=get\ntimeout=0\nrelay=credential\n")
    assert b"host=github.com\n" in heard[0]
    assert b"path=o/r\n" in heard[0]


def test_nothing_for_the_target():
    """An empty answer is no trouble of the sidecar's: there is nothing to be had."""
    with sidecar(b"") as (client, _), pytest.raises(SourceError) as caught:
        get(client)

    assert caught.value.code == "no-token"


def test_its_failure_is_ours():
    """What failed there is raised here, with its advice and its exit code."""
    told = DeniedError("no grant", code="REPOSITORY_NOT_GRANTED", hint="ask the owner")
    answer = serialize(failure_attributes(told))
    with sidecar(answer) as (client, _), pytest.raises(RelayError) as caught:
        get(client)

    assert (caught.value.code, caught.value.hint) == (told.code, told.hint)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("answer", [TOKEN[:-1], TOKEN[:40], b"x" * MAX_ANSWER + b"\n\n"])
def test_half_an_answer_is_none(answer):
    """A token that is cut off must not be tried at the forge; nor has an answer no end."""
    with sidecar(answer) as (client, _), pytest.raises(SidecarError) as caught:
        get(client)

    assert "broke off" in caught.value.message
    assert caught.value.retryable
    assert caught.value.exit_code == 75


@pytest.mark.parametrize("answer", [b"nonsense\n\n", b"password=a\x00b\n\n"])
def test_what_is_no_answer(answer):
    """Whoever says such things is no sidecar, and no traceback."""
    with sidecar(answer) as (client, _), pytest.raises(RelayError) as caught:
        get(client)

    assert "\x00" not in caught.value.message


def test_silence_ends_in_time():
    """A sidecar that does not answer is waited for as long as was said."""
    began_at = time.monotonic()
    with sidecar(None) as (client, _), pytest.raises(SidecarError) as caught:
        client.ask("get", [("relay", "status")], 0.2)

    assert time.monotonic() - began_at < 2
    assert caught.value.code == "sidecar-unreachable"


def test_a_full_queue_is_waited_for():
    """As git's client waits, which has no time limit of its own."""
    with socket_directory() as directory, socket.socket(socket.AF_UNIX) as listening:
        path = str(directory / "s")
        listening.bind(path)
        listening.listen(0)
        fillers = [socket.socket(socket.AF_UNIX) for _ in range(2)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(path)
        client = SidecarClient(path, Clock())
        with pytest.raises(SidecarError) as caught:
            client.ask("get", [], 0.1)
        thread = threading.Timer(0.1, lambda: serve_all(listening))
        thread.start()
        answer = client.ask("get", [], 5)
        for filler in fillers:
            filler.close()
        thread.join()

    assert "does not answer" in caught.value.message
    assert answer == b"fine"


def serve_all(listening: socket.socket) -> None:
    """Answer those who wait, up to the first one who says something."""
    while True:
        client, _ = listening.accept()
        with client:
            client.settimeout(0.05)
            try:
                if client.recv(100):
                    client.sendall(b"fine")
                    return
            except OSError:
                continue


def test_no_sidecar_at_all(tmp_path):
    """No socket, or one that nobody listens at: the same error, which may pass."""
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / "stale"))
    for name in ("none", "stale"):
        with pytest.raises(SidecarError) as caught:
            get(SidecarClient(str(tmp_path / name), Clock()))

        assert caught.value.code == "sidecar-unreachable"
        assert caught.value.exit_code == 75


def test_erase_tells_the_password_to_the_sidecar_alone():
    """What the forge refused is named as git names it."""
    with sidecar(b"") as (client, heard):
        client.forget(TARGET, Secret("tok-1"))

    assert heard[0].startswith(b"action=erase\n")
    assert b"password=tok-1\n" in heard[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="every socket is open to root")
def test_a_closed_socket_is_a_refusal(tmp_path):
    """A socket that this user may not open is no matter of trying again."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        (tmp_path / "s").chmod(0)
        with pytest.raises(SidecarError) as caught:
            get(SidecarClient(str(tmp_path / "s"), Clock()))

    assert caught.value.code == "sidecar-refused"
    assert not caught.value.retryable
