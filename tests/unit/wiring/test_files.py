"""Files are replaced the way git does it."""

import contextlib
import os
import stat
import subprocess
import sys
import time

import pytest

from git_credential_relay.errors import WiringError
from git_credential_relay.wiring import files


def test_a_file_is_replaced_in_one_step_with_its_mode(tmp_path):
    """A reader sees the old text or the new one; no lock is left behind."""
    path = tmp_path / "config"
    path.write_text("old")
    inode = path.stat().st_ino
    files.write_text(str(path), "new \udcff\n", 0o640)

    assert path.read_bytes() == b"new \xff\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert path.stat().st_ino != inode
    assert not (tmp_path / "config.lock").exists()


def test_the_lock_of_a_running_git_is_respected(tmp_path):
    """While git writes the file, nobody else does."""
    path = tmp_path / "config"
    path.write_text("old")
    (tmp_path / "config.lock").write_text("")

    with pytest.raises(WiringError) as raised:
        files.write_text(str(path), "new", 0o644)
    assert (raised.value.code, raised.value.retryable) == ("locked", True)
    assert path.read_text() == "old"


NEXT_WRITER = """\
import os, sys
lock, lost, taken = sys.argv[1], 0, 0
print("ready", flush=True)
while not os.path.exists(sys.argv[2]):
    try:
        os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        continue
    taken += 1
    for _ in range(200):  # for as long as somebody writes
        os.path.exists(lock)
    try:
        os.unlink(lock)
    except FileNotFoundError:
        lost += 1
print(taken, lost)
"""


def test_the_lock_of_the_next_writer_is_left_alone(tmp_path):
    """Whoever waits for the file takes the lock the moment that we are done: it is not ours to
    remove."""
    path, stop = tmp_path / "config", tmp_path / "stop"
    with subprocess.Popen(
        [sys.executable, "-c", NEXT_WRITER, f"{path}.lock", str(stop)],
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        written = 0
        end = time.monotonic() + 20
        while written < 300 and time.monotonic() < end:
            with contextlib.suppress(WiringError):
                files.write_text(str(path), "text", 0o644)
                written += 1
        stop.touch()
        taken, lost = writer.stdout.read().split()

    assert int(taken) > 0
    assert int(lost) == 0


def test_bytes_survive_reading_and_writing(tmp_path):
    """What others have in a file stays, UTF-8 or not, with whatever line ends."""
    raw = b"[a]\r\n\tb = \xe9\n"
    (tmp_path / "one").write_bytes(raw)
    text = files.read_text(str(tmp_path / "one")) or ""
    files.write_text(str(tmp_path / "two"), text, 0o644)

    assert (tmp_path / "two").read_bytes() == raw


def test_what_is_no_file_is_refused(tmp_path):
    """A device such as /dev/null, which GIT_CONFIG_GLOBAL may name, is not written to."""
    with pytest.raises(WiringError) as raised:
        files.read_text(os.devnull)
    assert raised.value.code == "not-a-file"


def test_nothing_is_moved_over_something(tmp_path):
    """A name that is taken stays."""
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")

    with pytest.raises(WiringError) as raised:
        files.move(str(tmp_path / "a"), str(tmp_path / "b"))
    assert raised.value.code == "displaced-exists"
    assert (tmp_path / "b").read_text() == "b"


def test_only_directories_that_were_missing_are_made(tmp_path):
    """They are told outermost first, open to all whatever the umask."""
    previous = os.umask(0o077)
    try:
        made = files.make_directories(str(tmp_path / "a" / "b"))
    finally:
        os.umask(previous)

    assert made == [str(tmp_path / "a"), str(tmp_path / "a" / "b")]
    assert {stat.S_IMODE(os.stat(path).st_mode) for path in made} == {0o755}
    assert files.make_directories(str(tmp_path / "a" / "b")) == []
