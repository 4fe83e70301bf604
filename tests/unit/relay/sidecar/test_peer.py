"""Who is at the other end, and who may be there."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from git_credential_relay.config import load
from git_credential_relay.errors import ConfigError
from git_credential_relay.relay.sidecar.peer import OVERFLOW_ID, Callers, Peer, callers
from git_credential_relay.relay.sidecar.peer import peer_of as find_peer
from tests.fakes.agent import readable_python

UIDS = "GIT_CREDENTIAL_RELAY_ALLOW_UIDS"
GIDS = "GIT_CREDENTIAL_RELAY_ALLOW_GIDS"


def peer(uid: int, *gids: int, pid: int = 1) -> Peer:
    """A process of this user and these groups."""
    return Peer(pid, uid, frozenset(gids))


def test_the_peer_of_a_socket_is_this_process():
    """The kernel tells pid, uid and every group."""
    here, there = socket.socketpair()
    with here, there:
        found = find_peer(here)

    assert (found.pid, found.uid) == (os.getpid(), os.geteuid())
    assert {os.getegid(), *os.getgroups()} <= found.gids


CONNECT = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(chr(0) + sys.argv[1])"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take other groups")
def test_supplementary_groups_count():
    """A member of an allowed group is one, also when it is not the first of its groups."""
    python = readable_python()
    if python is None:
        pytest.skip("no interpreter that other users may run")
    name = f"relay-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"\0{name}")
        listening.listen()
        listening.settimeout(10)
        command = [python, "-I", "-S", "-c", CONNECT, name]
        groups = [54400, 54401]
        subprocess.run(
            command, user=54321, group=54321, extra_groups=groups, cwd="/", env={}, check=True
        )
        connection, _ = listening.accept()
        with connection:
            found = find_peer(connection)

    assert found.uid == 54321
    assert found.gids == {54321, *groups}


@pytest.mark.parametrize(
    ("who", "rank"),
    [
        (peer(1000, 5), 3),
        (peer(1001, 5, 50), 2),
        (peer(1000, 50), 3),
        (peer(1001, 5), 0),
        (peer(50), 0),
    ],
)
def test_a_uid_is_plainer_than_a_group(who, rank):
    """Who is named by uid is meant before who is a member, and nobody else at all."""
    assert Callers(frozenset({1000}), frozenset({50})).rank(who) == rank


def test_everybody_is_meant_least():
    """`all` is for whom nothing plainer is said."""
    assert Callers(frozenset(), frozenset({50}), everybody=True).rank(peer(7)) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize(("before", "expected"), [([], "True"), (["unshare", "--user"], "False")])
def test_a_user_without_a_number_here_is_never_our_own(before, expected):
    """65534 is a user where all have numbers; else it stands for the many that have none."""
    if not before and Path("/proc/self/uid_map").read_text().split() != ["0", "0", "4294967295"]:
        pytest.skip("not all users have a number here")
    become = "" if before else f"os.setresuid({OVERFLOW_ID}, {OVERFLOW_ID}, {OVERFLOW_ID});"
    program = "import os; from git_credential_relay.relay.sidecar.peer import Peer, is_own;"
    program += f"{become} print(is_own(Peer(1, {OVERFLOW_ID}, frozenset())))"
    done = subprocess.run(
        [*before, sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    if before and "unshare" in done.stderr:
        pytest.skip("no user namespaces here")

    assert (done.stdout.strip(), done.stderr) == (expected, "")


@pytest.mark.parametrize(
    ("uids", "gids", "expected"),
    [
        (None, None, Callers(frozenset(), frozenset())),
        ("1000", None, Callers(frozenset({1000}), frozenset())),
        (" 1000 ,1001,", "7", Callers(frozenset({1000, 1001}), frozenset({7}))),
        ("all", "7", Callers(frozenset(), frozenset({7}), everybody=True)),
        ("ALL", None, Callers(frozenset(), frozenset(), everybody=True)),
        ("0", None, Callers(frozenset({0}), frozenset())),
    ],
)
def test_callers_by_configuration(uids, gids, expected):
    """Numbers with commas between them, or `all`."""
    environ = {name: text for name, text in ((UIDS, uids), (GIDS, gids)) if text}

    assert callers(load(environ, files=[])) == expected


@pytest.mark.parametrize("name", [UIDS, GIDS])
@pytest.mark.parametrize("text", ["agent", "-1", "1000 1001", "4294967295", "0x3e8", "١٢", "1,*"])
def test_what_is_no_list_of_numbers_is_refused(name, text):
    """A name or a sign is a mistake, and a mistake about who may ask is an error."""
    with pytest.raises(ConfigError) as caught:
        callers(load({name: text}, files=[]))

    assert name in caught.value.message
    assert caught.value.exit_code == 2


def test_all_groups_is_no_list():
    """Everybody is said by uid."""
    with pytest.raises(ConfigError):
        callers(load({GIDS: "all"}, files=[]))
