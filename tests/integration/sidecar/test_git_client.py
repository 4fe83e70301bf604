"""Git's own C client against the sidecar."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack

import pytest

from tests.fakes.agent import ask
from tests.fakes.api import issues, refuses
from tests.fakes.resident import until
from tests.fakes.sidecar import OTHER_UID, SidecarProcess, as_root, git_cache, workspace_environ

GITS = [
    pytest.param("git", id="system-git"),
    pytest.param(os.environ.get("NEWER_GIT", ""), id="newer-git", marks=pytest.mark.newer_git),
]
PERMISSION_DENIED = "fatal: unable to connect to cache daemon: Permission denied\n"


@pytest.mark.parametrize("git", GITS)
def test_get_store_erase(api, sidecar, git):
    """Git gets a token, stores what it got in vain, and has a refused one replaced."""
    api.script(issues("tok-1"), issues("tok-2"))
    request = ask(path="o/r.git")
    first = git_cache(sidecar.socket, "get", request, git=git)
    theirs = ask(path="o/r.git", username="x-access-token", password="y")
    stored = git_cache(sidecar.socket, "store", theirs, git=git)
    second = git_cache(sidecar.socket, "get", request, git=git)
    erase = ask(path="o/r.git", username="x-access-token", password="tok-1")
    erased = git_cache(sidecar.socket, "erase", erase, git=git)
    third = git_cache(sidecar.socket, "get", request, git=git)

    assert [r.password for r in (first, second, third)] == ["tok-1", "tok-1", "tok-2"]
    assert first.attributes["username"] == "x-access-token"
    assert stored.is_silent_success
    assert erased.is_silent_success
    assert [r.exit_code for r in (first, second, third)] == [0, 0, 0]
    assert len(api.requests) == 2


@pytest.mark.parametrize("git", GITS)
def test_exit_ends_nothing(sidecar, git):
    """Whoever may ask for a token may not end everybody's."""
    ended = git_cache(sidecar.socket, "exit", git=git)

    assert ended.is_silent_success
    assert sidecar.get("o/r")["password"]


REFUSED = {
    "empty": b"",
    "an-empty-line": b"\n",
    "malformed": b"nonsense\n",
    "foreign": ask("evil.example"),
    "a-nul": ask("github.com\x00"),
    "a-megabyte": b"x=" + b"y" * 10**6,
}


@pytest.mark.parametrize("git", GITS)
def test_a_refusal_is_silent(sidecar, git):
    """No word of git's about errors or resets: it just goes on to the next helper."""
    for name, request_bytes in REFUSED.items():
        result = git_cache(sidecar.socket, "get", request_bytes, git=git)

        assert (result.stdout, result.stderr) == (b"", ""), name


@pytest.mark.parametrize("git", GITS)
def test_a_failed_api_is_silent_and_explained(api, sidecar, git):
    """Git's client says nothing; `why` tells what happened."""
    api.script(refuses(403, error="no grant", code="REPOSITORY_NOT_GRANTED"))
    result = git_cache(sidecar.socket, "get", ask(path="o/r"), git=git)

    assert result.is_silent_success
    assert "[REPOSITORY_NOT_GRANTED]" in sidecar.question("why", url="https://github.com/o/r")


@pytest.mark.parametrize("git", GITS)
def test_a_full_sidecar_is_silent(sidecar, git):
    """With all its places taken git hears nothing worse than nothing, and later is served."""
    with ExitStack() as stack:
        for _ in range(256):
            stack.enter_context(sidecar.connect())
        full = git_cache(sidecar.socket, "get", ask(path="o/r"), git=git)

    assert (full.stdout, full.stderr) == (b"", "")
    until(lambda: git_cache(sidecar.socket, "get", ask(path="o/r"), git=git).password is not None)


def test_an_ended_sidecar_is_silent(sidecar):
    """Git goes on to its next helper when there is no socket, or nobody listens at it."""
    sidecar.kill()
    stale = git_cache(sidecar.socket, "get", ask())
    sidecar.socket.unlink()
    gone = git_cache(sidecar.socket, "get", ask())

    assert (stale.stdout, stale.stderr) == (b"", "")
    assert gone.is_silent_success


@as_root
@pytest.mark.parametrize("allowed", [None, "12345", str(OTHER_UID), "all"])
def test_other_users(directory, api, allowed):
    """Another uid gets a token if it is allowed, and else nothing, without a word of git's; where
    no other uid is, the socket itself is closed."""
    environ = workspace_environ(api.url)
    if allowed:
        environ["GIT_CREDENTIAL_RELAY_ALLOW_UIDS"] = allowed
    is_allowed = allowed in (str(OTHER_UID), "all")
    with SidecarProcess(directory, environ) as sidecar:
        result = git_cache(sidecar.socket, "get", ask(path="o/r"), user=OTHER_UID)
        status = git_cache(sidecar.socket, "get", b"relay=status\n\n", user=OTHER_UID)
        own = git_cache(sidecar.socket, "get", ask(path="o/r"))

    assert result.password == ("tok-default" if is_allowed else None)
    assert is_allowed or result.stdout == b""
    assert result.stderr == ("" if allowed else PERMISSION_DENIED)
    assert (b"workspace default" in status.stdout) == is_allowed
    assert own.password == "tok-default"
    assert len(api.requests) == 1


@pytest.mark.parametrize("rest", [b"", b"action=exit\n", b"host=evil.example\n" * 10])
def test_what_comes_behind_the_empty_line_does_not_count(sidecar, rest):
    """The request ends there; the answer comes at once, and whole."""
    with sidecar.connect() as connection:
        connection.sendall(b"action=get\n" + ask(path="o/r") + rest)
        answer = connection.recv(65536)
        connection.shutdown(socket.SHUT_WR)

    assert b"password=tok-default\n" in answer
    assert answer.endswith(b"\n\n")
