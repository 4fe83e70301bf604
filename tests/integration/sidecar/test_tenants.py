"""Several workspaces in one sidecar, by uid and by socket: none gets what is another's."""

from __future__ import annotations

import json
import os
import threading

import pytest

from tests.fakes.agent import ask
from tests.fakes.api import Answer, Seen, issues, silent_port
from tests.fakes.resident import until
from tests.fakes.sidecar import (
    OTHER_UID,
    THIRD_UID,
    SidecarProcess,
    ask_socket,
    connect,
    git_cache,
    workspace_environ,
)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")
GET = b"action=get\n" + ask(path="o/r")


def token_of(seen: Seen) -> Answer:
    """A token that tells whom it was given to."""
    secret = seen.headers["Authorization"].removeprefix("Bearer ")
    return issues(f"tok-for-{seen.fields['workspaceId']}-by-{secret}")


def add(root, name: str, *lines: str) -> None:
    """A workspace's file."""
    own = [f"WORKSPACE_ID=id-{name}", f"WORKSPACE_TOKEN=secret-{name}"]
    (root / f"{name}.env").write_text("\n".join([*own, *lines, ""]))


def allow(uid: int) -> str:
    """The line that lets a user in."""
    return f"GIT_CREDENTIAL_RELAY_ALLOW_UIDS={uid}"


@pytest.fixture
def root(tmp_path):
    """Workspaces a and b for two users at one socket, and c at a socket of its own."""
    root = tmp_path / "workspaces"
    root.mkdir()
    add(root, "a", allow(OTHER_UID))
    add(root, "b", allow(THIRD_UID))
    return root


@pytest.fixture
def sidecar(directory, api, root):
    """A sidecar with these workspaces, and with tokens in its environment that are nobody's."""
    api.script(token_of)
    add(root, "c", allow(OTHER_UID), f"GIT_CREDENTIAL_RELAY_SOCKET={directory}/c.sock")
    environ = {
        **workspace_environ(api.url),
        "GIT_CREDENTIAL_RELAY_WORKSPACES": str(root),
        "GH_TOKEN": "tok-of-nobody",
        "GIT_CREDENTIAL_RELAY_FALLBACK": "GH_TOKEN",
    }
    with SidecarProcess(directory, environ) as sidecar:
        yield sidecar


def token(path, uid: int | None, repository: str = "o/r") -> str | None:
    """What a user gets at a socket."""
    return git_cache(path, "get", ask(path=repository), user=uid).password


def says(path, uid: int | None, question: str, *lines: str) -> str:
    """What a user is told at a socket."""
    request = "\n".join([f"relay={question}", *lines, "", ""]).encode()
    return git_cache(path, "get", request, user=uid).stdout.decode()


def test_each_has_its_own_token(sidecar, directory):
    """By uid and by socket; whoever is meant by none gets none."""
    own = directory / "c.sock"

    assert token(sidecar.socket, OTHER_UID) == "tok-for-id-a-by-secret-a"
    assert token(sidecar.socket, THIRD_UID) == "tok-for-id-b-by-secret-b"
    assert token(own, OTHER_UID) == "tok-for-id-c-by-secret-c"
    assert token(own, THIRD_UID) is None
    assert token(sidecar.socket, 54399) is None
    assert token(sidecar.socket, None) is None  # the sidecar's own: which one, nobody can guess
    assert token(own, None) == "tok-for-id-c-by-secret-c"


def test_each_is_told_of_its_own(sidecar):
    """Status and why show a caller one workspace, and the sidecar's own user all of them."""
    token(sidecar.socket, OTHER_UID, "o/of-a")
    token(sidecar.socket, THIRD_UID, "o/of-b")
    mine = says(sidecar.socket, OTHER_UID, "status")
    why = says(sidecar.socket, OTHER_UID, "why", "url=https://github.com/o/of-b")
    every = json.loads(says(sidecar.socket, None, "status", "format=json"))

    assert "o/of-a" in mine
    assert "id-b" not in mine + why
    assert "o/of-b" not in mine
    assert "nobody has asked" in why
    assert [each["name"] for each in every["workspaces"]] == ["a", "b", "c"]
    assert says(sidecar.socket, 54399, "status").count("id-") == 0


def test_one_cannot_drop_the_tokens_of_another(api, sidecar):
    """An erase is for the asker's own tokens, whatever password it names."""
    theirs = token(sidecar.socket, THIRD_UID)
    assert theirs is not None
    erase = ask(path="o/r", password=theirs)
    git_cache(sidecar.socket, "erase", erase, user=OTHER_UID)
    token(sidecar.socket, THIRD_UID)

    assert len(api.requests) == 1


def test_an_api_down_for_one_is_no_loan_from_another(api, sidecar, root):
    """With its API away a workspace gets nothing, not even what the environment has."""
    with silent_port() as port:
        lines = [f"CLOUD_API_URL=http://127.0.0.1:{port}", "GIT_CREDENTIAL_RELAY_DEADLINE=1"]
        add(root, "a", allow(OTHER_UID), *lines)
        sidecar.reload()

        assert token(sidecar.socket, THIRD_UID) == "tok-for-id-b-by-secret-b"
        assert token(sidecar.socket, OTHER_UID) is None


def test_workspaces_come_and_go(api, sidecar, root, directory):
    """A new file is a new workspace; one that has gone is served no more, and forgotten, while
    who had asked for it is still answered."""
    before = token(sidecar.socket, OTHER_UID)
    api.gate.clear()
    answers: list[str | None] = []
    waiting = threading.Thread(
        target=lambda: answers.append(token(sidecar.socket, OTHER_UID, "o/waits"))
    )
    waiting.start()
    until(lambda: len(api.requests) == 2)
    (root / "a.env").rename(root / "a.away")
    add(root, "d", allow(54388))
    sidecar.reload()
    gone = token(sidecar.socket, OTHER_UID)
    api.gate.set()
    waiting.join(10)
    new = token(sidecar.socket, 54388)
    (root / "a.away").rename(root / "a.env")
    sidecar.reload()
    count = len(api.requests)
    again = token(sidecar.socket, OTHER_UID)

    assert (before, gone) == ("tok-for-id-a-by-secret-a", None)
    assert answers == ["tok-for-id-a-by-secret-a"]
    assert new == "tok-for-id-d-by-secret-d"
    assert again == before
    assert len(api.requests) == count + 1


def test_a_socket_can_be_changed(sidecar, root, directory):
    """The new one is there, the old one has gone, and the tokens have stayed."""
    token(directory / "c.sock", OTHER_UID)
    add(root, "c", allow(OTHER_UID), f"GIT_CREDENTIAL_RELAY_SOCKET={directory}/d.sock")
    sidecar.reload()

    assert not (directory / "c.sock").exists()
    assert token(directory / "d.sock", OTHER_UID) == "tok-for-id-c-by-secret-c"


def test_a_socket_that_cannot_be_had_changes_nothing(sidecar, root, directory):
    """An edit is taken whole or not at all."""
    (directory / "d.sock").write_text("mine")
    add(root, "c", allow(OTHER_UID), f"GIT_CREDENTIAL_RELAY_SOCKET={directory}/d.sock")
    add(root, "e", allow(54377), f"GIT_CREDENTIAL_RELAY_SOCKET={directory}/e.sock")
    sidecar.reload("stays in force")

    assert not (directory / "e.sock").exists()
    assert token(directory / "c.sock", OTHER_UID) == "tok-for-id-c-by-secret-c"


def test_ambiguity_is_refused_while_it_serves(sidecar, root):
    """An edit that makes two workspaces one user's does not count."""
    add(root, "d", allow(OTHER_UID))
    sidecar.reload("are both for uid")
    sidecar.wait_for_line("stays in force")

    assert token(sidecar.socket, OTHER_UID) == "tok-for-id-a-by-secret-a"


def test_threads_of_one_are_not_anothers(api, sidecar, root):
    """A workspace whose API hangs, with all its threads busy and erases waiting, holds up nobody:
    hits, mints and erases of others are answered promptly."""
    with silent_port() as port:
        lines = [f"CLOUD_API_URL=http://127.0.0.1:{port}", "GIT_CREDENTIAL_RELAY_DEADLINE=30"]
        add(root, "c", *lines, f"GIT_CREDENTIAL_RELAY_SOCKET={sidecar.directory}/c.sock")
        sidecar.reload()
        before = token(sidecar.socket, THIRD_UID)
        held = []
        for number in range(100):
            message = b"action=get\n" if number % 2 else b"action=erase\n"
            connection = connect(sidecar.directory / "c.sock")
            connection.sendall(message + ask(path=f"o/r{number // 2 % 25}", password="x"))
            held.append(connection)
        answers = []
        for number in range(10):
            erase = ask(path="o/r", password=str(before))
            git_cache(sidecar.socket, "erase", erase, user=THIRD_UID, seconds=2)
            answers.append(token(sidecar.socket, THIRD_UID, f"o/r{number}"))
        for connection in held:
            connection.close()

    assert answers == [before] * 10
    assert ask_socket(sidecar.socket, GET) == b""
