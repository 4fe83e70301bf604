"""The socket's place: ours alone to make, to replace and to take away."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import subprocess
import sys

import pytest

from git_credential_relay.errors import SidecarError
from git_credential_relay.relay.sidecar.listener import (
    LONGEST_PATH,
    Listener,
    directory_warning,
)
from tests.fakes.sidecar import OTHER_UID, socket_directory

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")


@pytest.fixture
def directory():
    """A directory that is fit for a socket."""
    with socket_directory() as directory:
        yield directory


def listen(path, *, for_others=False):
    """A listener at `path`."""
    return Listener(str(path), for_others=for_others)


def refused(path) -> SidecarError:
    """Why there cannot be one."""
    with pytest.raises(SidecarError) as caught:
        listen(path)
    assert not caught.value.retryable
    assert caught.value.exit_code == 1
    return caught.value


@pytest.mark.parametrize(("for_others", "mode"), [(False, 0o600), (True, 0o666)])
def test_only_the_own_user_can_open_it_unless_others_may_ask(directory, for_others, mode):
    """The mode is right from the first moment on, whatever the umask is."""
    mask = os.umask(0)
    try:
        listener = listen(directory / "s", for_others=for_others)
    finally:
        os.umask(mask)
    found = (directory / "s").stat()
    listener.set_open(for_others=not for_others)
    changed = (directory / "s").stat()
    listener.close()

    assert stat.S_IMODE(found.st_mode) == mode
    assert stat.S_IMODE(changed.st_mode) != mode


def test_missing_directories_are_made_closed_to_writers(directory):
    """Also those on the way there are nobody else's to write, whatever the umask is."""
    mask = os.umask(0)
    try:
        listen(directory / "a" / "b" / "s").close()
    finally:
        os.umask(mask)

    assert [stat.S_IMODE((directory / d).stat().st_mode) for d in ("a", "a/b")] == [0o755] * 2


@as_root
@pytest.mark.parametrize("path", ["link/s", "link/below/s"])
def test_no_link_of_others_leads_to_it(directory, path):
    """They could turn it, and the clients with it, whenever they like; one of root's is fine."""
    (directory / "real").mkdir()
    (directory / "link").symlink_to(directory / "real")
    listen(directory / path).close()
    os.lchown(directory / "link", OTHER_UID, OTHER_UID)

    assert refused(directory / path).code == "socket-directory-open"


def test_a_private_directory_is_opened_for_entering(directory):
    """In a 0700 directory git would start its own daemon whenever the sidecar is away."""
    directory.chmod(0o700)
    listen(directory / "s").close()

    assert stat.S_IMODE(directory.stat().st_mode) == 0o755


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777, 0o1777])
def test_a_directory_that_others_can_write_is_refused(directory, mode):
    """Whoever can write there can put a socket of theirs in place of ours."""
    directory.chmod(mode)

    assert refused(directory / "s").code == "socket-directory-open"


@as_root
def test_a_directory_of_another_user_is_refused(directory):
    """Its owner can rename everything in it."""
    os.chown(directory, OTHER_UID, OTHER_UID)

    assert refused(directory / "s").code == "socket-directory-open"


def test_what_is_no_socket_is_left_alone(directory):
    """A file in the socket's place is somebody's file."""
    (directory / "s").write_text("mine")

    assert refused(directory / "s").code == "socket-unusable"
    assert (directory / "s").read_text() == "mine"


@pytest.mark.parametrize("path", ["relative/s", "/tmp/" + "x" * LONGEST_PATH])
def test_paths_no_socket_can_have(path):
    """A relative path, or one the kernel has no room for, is refused by name."""
    assert refused(path).code == "socket-unusable"


def test_the_longest_path_there_is(directory):
    """The last byte the kernel has room for can be used."""
    path = str(directory / "s").ljust(LONGEST_PATH, "x")
    listen(path).close()

    assert refused(path + "x").code == "socket-unusable"


def test_two_at_one_path(directory):
    """The second one is refused while the first one is there, and not afterwards."""
    first = listen(directory / "s")
    error = refused(directory / "s")
    first.close()
    listen(directory / "s").close()

    assert error.code == "socket-in-use"


def test_one_that_is_just_beginning_is_in_use_too(directory):
    """Between its look and its socket nobody listens yet: the lock is what tells."""
    with (directory / "s.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        error = refused(directory / "s")

    assert error.code == "socket-in-use"


def test_somebody_elses_server_is_not_replaced(directory):
    """Git's own daemon has no lock of ours; that it listens is enough, also with a full queue."""
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(directory / "s"))
        other.listen(0)
        idle = refused(directory / "s")
        fillers = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(str(directory / "s"))
        busy = refused(directory / "s")
        for filler in fillers:
            filler.close()

    assert (idle.code, busy.code) == ("socket-in-use", "socket-in-use")


def test_a_stale_socket_is_replaced(directory):
    """What a killed sidecar leaves behind is in nobody's way."""
    program = (
        "import os, sys; from git_credential_relay.relay.sidecar.listener import Listener;"
        "kept = Listener(sys.argv[1], for_others=False); os._exit(9)"
    )
    command = [sys.executable, "-c", program, str(directory / "s")]
    assert subprocess.run(command, check=False).returncode == 9
    left = (directory / "s").stat()
    listener = listen(directory / "s")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(directory / "s"))
    listener.close()

    assert stat.S_ISSOCK(left.st_mode)
    assert sorted(p.name for p in directory.iterdir()) == ["s.lock"]


def test_one_killed_while_it_began_is_in_nobodys_way(directory):
    """The socket is made beside its place; what is left there is replaced."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(directory / "s~"))
    listen(directory / "s").close()

    assert sorted(p.name for p in directory.iterdir()) == ["s.lock"]


def test_another_ones_socket_is_not_taken_away(directory):
    """What has been put in our place in the meantime is not ours to remove."""
    listener = listen(directory / "s")
    (directory / "s").unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(directory / "s"))
        was_in_place = listener.is_in_place
        listener.set_open(for_others=True)
        listener.close()
        mode = stat.S_IMODE((directory / "s").stat().st_mode)

    assert not was_in_place
    assert mode != 0o666


def test_the_next_one_may_begin_while_the_last_one_drains(directory):
    """After the withdrawal the place is free, and the old one leaves it alone."""
    old = listen(directory / "s")
    old.withdraw()
    new = listen(directory / "s")
    old.close()
    is_in_place = new.is_in_place
    new.close()

    assert is_in_place


@pytest.mark.parametrize(
    ("mode", "warns"), [(0o755, False), (0o1777, False), (0o777, True), (0o775, True)]
)
def test_a_parent_that_others_can_write_is_warned_of(directory, mode, warns):
    """Every directory above counts, not the nearest one alone."""
    directory.chmod(mode)
    (directory / "a" / "b").mkdir(parents=True)

    assert (directory_warning(str(directory / "a" / "b" / "s")) is not None) == warns


@as_root
def test_a_parent_of_another_user_is_warned_of(directory):
    """Its owner can rename what is in it."""
    (directory / "a").mkdir()
    os.chown(directory, OTHER_UID, OTHER_UID)

    assert str(OTHER_UID) in (directory_warning(str(directory / "a" / "s")) or "")


def test_a_lock_that_leads_elsewhere_is_refused(directory):
    """A symlink in the lock's place would have us write to somebody's file."""
    (directory / "s.lock").symlink_to(directory / "elsewhere")

    assert refused(directory / "s").code == "socket-unusable"
    assert not (directory / "elsewhere").exists()


def test_nothing_is_left_open_by_a_refusal(directory):
    """Files of a listener that could not be made are closed."""
    (directory / "s").write_text("")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        refused(directory / "s")

    assert len(os.listdir("/proc/self/fd")) == before
