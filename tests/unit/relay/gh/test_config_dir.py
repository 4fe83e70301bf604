"""gh's private configuration: what is in it, who may read it, and that it goes."""

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from git_credential_relay.errors import RelayError
from git_credential_relay.relay.gh import config_dir

TOKEN = 'it\'s: a "token" # of sorts'
# A process that makes a configuration, says where, and then becomes another program.
PROGRAM = """\
import os, sys
from git_credential_relay.relay.gh import config_dir
place = [sys.argv[1]]
found = config_dir.provide("ghe.example", {token!r}, os.environ, place, is_explicit=True)
print(found["GH_CONFIG_DIR"], flush=True)
os.execv("/bin/sh", ["sh", "-c", sys.argv[2]])
"""


def start(place: Path, then: str) -> subprocess.Popen[str]:
    """A process that has made a configuration in `place` and goes on with the script `then`."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(token=TOKEN), str(place), then],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until_gone(directory: Path) -> None:
    """Until the watcher has done its work."""
    deadline = time.monotonic() + 10
    while directory.exists():
        assert time.monotonic() < deadline, "still there"
        time.sleep(0.01)


def test_it_holds_one_token_for_one_host(tmp_path, monkeypatch):
    """hosts.yml names the one host with the token, and the user's settings are beside it."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "config.yml").write_text("editor: vi\naliases:\n    co: pr checkout\n")
    monkeypatch.setenv("GH_CONFIG_DIR", str(own))
    with start(tmp_path, "read x") as process:
        assert process.stdout is not None
        directory = Path(process.stdout.readline().strip())
        hosts = yaml.safe_load((directory / "hosts.yml").read_text())
        config = yaml.safe_load((directory / "config.yml").read_text())
        modes = [stat.S_IMODE(p.stat().st_mode) for p in (directory, *directory.iterdir())]
        process.communicate("\n", timeout=20)

    user = {"oauth_token": TOKEN}
    assert hosts == {
        "ghe.example": {
            "user": "x-access-token",
            "oauth_token": TOKEN,
            "users": {"x-access-token": user},
        }
    }
    assert config == {"version": "1", "editor": "vi", "aliases": {"co": "pr checkout"}}
    assert modes == [0o700, 0o600, 0o600]
    wait_until_gone(directory)


def test_it_stays_as_long_as_what_was_started(tmp_path):
    """A child that outlives gh still has its configuration, and its end is the end of it."""
    release = tmp_path / "release"
    os.mkfifo(release)
    with start(tmp_path, f'(read x <"{release}") >/dev/null 2>&1 & exit 0') as process:
        out, err = process.communicate(timeout=20)  # so nobody's pipe hangs on the watcher
    directory = Path(out.strip())

    assert err == ""
    assert directory.is_dir()
    release.write_text("\n")
    wait_until_gone(directory)


def test_watcher_holds_nothing(tmp_path):
    """The watcher keeps no file of its caller's, no work tree and no terminal."""
    inherited, _ = os.pipe()
    os.set_inheritable(inherited, True)
    with start(tmp_path, "read x") as process:
        assert process.stdout is not None
        directory = Path(process.stdout.readline().strip())
        [watcher] = [
            entry
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit()
            and int(entry.name) != process.pid
            and str(directory.parent).encode() in read_bytes(entry / "cmdline")
        ]
        deadline = time.monotonic() + 10
        while os.readlink(watcher / "cwd") != "/":  # the last thing it does before it waits
            assert time.monotonic() < deadline, "the watcher holds the work tree"
            time.sleep(0.01)
        held = {os.readlink(fd) for fd in (watcher / "fd").iterdir()}
        session = os.getsid(int(watcher.name))
        process.communicate("\n", timeout=20)

    assert session != os.getsid(0)
    assert len(held) == 2
    assert os.devnull in held
    wait_until_gone(directory)


def read_bytes(path: Path) -> bytes:
    """What a file of a process says that may end at any moment."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_only_memory_will_do(tmp_path):
    """On a disk there is no place for a token, unless somebody has named it."""
    with pytest.raises(RelayError, match="no memory-backed directory"):
        config_dir.provide("h", "t", {}, [str(tmp_path / "cache")], is_explicit=False)

    assert list(tmp_path.glob("*gh.*")) == []


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"GH_CONFIG_DIR": "/private", config_dir.ORIGINAL: "/own"}, {"GH_CONFIG_DIR": "/own"}),
        ({"GH_CONFIG_DIR": "/private", config_dir.ORIGINAL: ""}, {}),
        ({"GH_CONFIG_DIR": "/own"}, {"GH_CONFIG_DIR": "/own"}),
        ({}, {}),
    ],
)
def test_restore(environ, expected):
    """A gh started below ours begins with the user's own configuration again."""
    config_dir.restore(environ)

    assert environ == expected
