"""The real sidecar in a process of its own, and those who ask it: raw bytes and git's client."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.fakes.agent import SECRET, Result, ask
from tests.fakes.program import EXECUTABLE

READY = "git-credential-relay: sidecar: ready on "
START_SECONDS = 20.0
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


class SidecarProcess:
    """`git-credential-relay sidecar` with its sockets in `directory`.

    Entered, it is ready; left, it has ended. `lines` is what it has written to stderr so far.
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
        self.directory = directory
        self.socket = directory / "git.sock"
        self.gh_socket = directory / "gh.sock"
        self.environ = dict(environ)
        self.lines: list[str] = []
        self._command = [str(executable), "sidecar", "--socket", str(self.socket)]
        self._command += ["--gh-socket", str(self.gh_socket)] if gh else []
        self._command += arguments
        self._user = user
        self._keeps = keeps
        self._is_ready = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        if self.process.poll() is not None or not self.is_ready:
            self.kill()
            raise AssertionError(f"the sidecar did not start: {self.lines}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.stop()
        self.wait()

    @property
    def process(self) -> subprocess.Popen[str]:
        """The process, which has been started."""
        assert self._process is not None
        return self._process

    @property
    def is_ready(self) -> bool:
        """Whether this start of it has come to its line of readiness."""
        return any(line.startswith(READY) for line in self.lines)

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

    def start(self) -> None:
        """Start it (again), and wait until it is ready or has ended."""
        self.lines.clear()
        self._is_ready.clear()
        kept = {n: v for n, v in os.environ.items() if self._keeps is None or n in self._keeps}
        self._process = subprocess.Popen(
            self._command,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            text=True,
            env=kept | self.environ,
            user=self._user,
            group=self._user,
            extra_groups=None if self._user is None else [],
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        self._is_ready.wait(START_SECONDS)

    def send(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM, seconds: float = 30) -> int:
        """End it by a signal; its exit status, negative for the signal that killed it."""
        self.send(number)
        return self.wait(seconds)

    def kill(self) -> None:
        """End it as a crash of the machine would, as far as the process can tell."""
        self.stop(signal.SIGKILL)

    def wait(self, seconds: float = 30) -> int:
        """Its exit status, once it has ended."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            if self._reader is not None:
                self._reader.join(5)

    def wait_for_line(self, text: str, seconds: float = 10, *, count: int = 1) -> None:
        """Return once it has written `count` lines with this text."""
        until(lambda: sum(text in line for line in list(self.lines)) >= count, seconds)

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

    def _read(self, process: subprocess.Popen[str]) -> None:
        stream = process.stderr
        assert stream is not None
        with stream:
            for line in stream:
                self.lines.append(line.rstrip("\n"))
                if line.startswith(READY):
                    self._is_ready.set()
        self._is_ready.set()


def until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Return once something has become so."""
    give_up_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.02)


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
