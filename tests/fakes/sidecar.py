"""The real sidecar in a process of its own, and those who ask it: raw bytes and git's client."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fakes.agent import SECRET, Result, ask
from tests.fakes.program import EXECUTABLE
from tests.fakes.resident import ResidentProcess

READY = "git-credential-relay: sidecar: ready on "
# Nobody's, in the tests: with root they are other users, without there are none.
OTHER_UID, THIRD_UID = 54321, 54322


@contextmanager
def socket_directory() -> Iterator[Path]:
    """A directory as a sidecar needs it: short, for all to enter and for its owner to write."""
    directory = Path(tempfile.mkdtemp(prefix="relay-"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def workspace_environ(api_url: str, workspace_id: str = "ws-1") -> dict[str, str]:
    """What a sidecar needs to ask a relay API, and it alone."""
    return {
        "CLOUD_API_URL": api_url,
        "WORKSPACE_ID": workspace_id,
        "WORKSPACE_TOKEN": SECRET,
        "GIT_CREDENTIAL_RELAY_FALLBACK": "off",
        "GIT_CREDENTIAL_RELAY_DEADLINE": "5",
    }


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
# It closes its own files and memory to all but root.
looks_inside = pytest.mark.skipif(os.geteuid() != 0, reason="only root can look into a sidecar")


class SidecarProcess(ResidentProcess):
    """`git-credential-relay sidecar` with its sockets in `directory`.

    `user` is another uid to run as: then `executable` must be one that it can read, and
    `directory` its own. Of the test's own environment it gets the variables it `keeps`, or all.
    """

    def __init__(
        self,
        directory: Path,
        environ: Mapping[str, str],
        *arguments: str,
        gh: bool = False,
        user: int | None = None,
        executable: Path = EXECUTABLE,
        keeps: Collection[str] | None = None,
    ) -> None:
        super().__init__()
        self.directory = directory
        self.socket = directory / "git.sock"
        self.gh_socket = directory / "gh.sock"
        self.environ = dict(environ)
        self._command = [str(executable), "sidecar", "--socket", str(self.socket)]
        self._command += ["--gh-socket", str(self.gh_socket)] if gh else []
        self._command += arguments
        self._user = user
        self._keeps = keeps

    def start(self) -> None:
        """Start it (again), and wait until it is ready or has ended."""
        kept = {n: v for n, v in os.environ.items() if self._keeps is None or n in self._keeps}
        self._launch(self._command, kept | self.environ, self._user)

    @property
    def open_files(self) -> int:
        """How many file descriptors it has."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def fact(self, name: str) -> int:
        """A number of its /proc/PID/status: Threads, or VmRSS in KiB."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            key, _, value = line.partition(":")
            if key == name:
                return int(value.split()[0])
        raise AssertionError(name)

    def reload(self, text: str = "configuration read again") -> None:
        """Have it read its configuration again, without waiting until it looks."""
        before = sum(text in line for line in list(self.lines))
        self.send(signal.SIGHUP)
        self.wait_for_line(text, count=before + 1)

    def connect(self, seconds: float = 20) -> socket.socket:
        """A connection to git's socket, to be closed by the caller."""
        return connect(self.socket, seconds)

    def ask(self, message: bytes, seconds: float = 20) -> bytes:
        """What it answers to these very bytes, our half closed behind them."""
        return ask_socket(self.socket, message, seconds)

    def get(self, path: str | None = None, host: str = "github.com", **more: str) -> dict[str, str]:
        """The attributes that answer a `get`; none where nothing is answered."""
        answer = self.ask(b"action=get\ntimeout=900\n" + ask(host, path, **more))
        return dict(line.split("=", 1) for line in answer.decode().splitlines() if line)

    def erase(self, password: str, path: str | None = None, host: str = "github.com") -> None:
        """Say that the forge refused this token."""
        assert self.ask(b"action=erase\n" + ask(host, path, password=password)) == b""

    def question(self, relay: str, **more: str) -> str:
        """The text that answers `relay=why` or `relay=status`."""
        fields = "".join(f"{name}={value}\n" for name, value in more.items())
        return self.ask(f"action=get\nrelay={relay}\n{fields}\n".encode()).decode()

    def _says_ready(self, line: str) -> bool:
        return line.startswith(READY)


def connect(path: Path, seconds: float = 20) -> socket.socket:
    """A connection to the socket at `path`, to be closed by the caller."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(str(path))  # waits for room in the queue, as git does
        connection.settimeout(seconds)
    except BaseException:
        connection.close()
        raise
    return connection


def ask_socket(path: Path, message: bytes, seconds: float = 20) -> bytes:
    """What is answered to these very bytes at the socket, our half closed behind them."""
    with connect(path, seconds) as connection:
        connection.sendall(message)
        connection.shutdown(socket.SHUT_WR)
        return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    """Everything up to the end."""
    chunks = []
    while chunk := connection.recv(65536):
        chunks.append(chunk)
    return b"".join(chunks)


def git_cache(
    path: Path,
    operation: str,
    request: bytes = b"",
    *,
    git: str = "git",
    user: int | None = None,
    seconds: float = 20,
) -> Result:
    """What git's own C client says: `git credential-cache --socket=PATH OPERATION`."""
    started = time.monotonic()
    done = subprocess.run(
        [git, "credential-cache", f"--socket={path}", operation],
        input=request,
        capture_output=True,
        env={"PATH": os.environ["PATH"], "HOME": "/", "LC_ALL": "C", "GIT_CONFIG_NOSYSTEM": "1"},
        cwd="/",
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        timeout=seconds,
        check=False,
    )
    passed = time.monotonic() - started
    return Result(done.returncode, done.stdout, done.stderr.decode(errors="replace"), passed)
