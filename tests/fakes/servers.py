"""Real database and cache servers on loopback, from Debian's packages."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import valkey

PASSWORD = "canary-server-password"
_UNPRIVILEGED = 65534  # nobody: PostgreSQL refuses to run as root
_START_SECONDS = 20


class PostgreSQL:
    """A running server. Each database of it is as good as a server of its own."""

    def __init__(self, command: list[str], directory: Path, port: int) -> None:
        self.port = port
        self._server = _Server(command, directory)
        self._numbers = itertools.count(1)

    def start(self) -> None:
        """Start it, again after `stop`, with what is in it."""
        self._server.start(lambda: self.connect().close())

    def stop(self) -> None:
        """End it: its clients lose their connections."""
        # "Fast" shutdown: with SIGTERM it would wait for its clients.
        self._server.end(signal.SIGINT)

    def kill(self) -> None:
        """End it for good: at once, and without the writing that a later start would want."""
        self._server.end(signal.SIGQUIT)

    def create_database(self) -> str:
        """The URL of a new, empty database."""
        name = f"broker_{next(self._numbers)}"
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql://broker:{PASSWORD}@127.0.0.1:{self.port}/{name}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        """A connection for the test itself, of its superuser."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user="broker",
            password=PASSWORD,
            dbname=database,
            autocommit=True,
        )


@contextmanager
def running_postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL of its own; skips the test where there is none. About a second: share it."""
    programs = max(
        Path("/usr/lib/postgresql").glob("*/bin"),
        key=lambda path: int(path.parent.name),
        default=None,
    )
    if programs is None:
        pytest.skip("needs PostgreSQL: apt-get install postgresql")
    with _directory() as directory:
        data, port = directory / "data", free_port()
        _init_cluster(programs / "initdb", data, directory)
        settings = {
            "port": port,
            "listen_addresses": "127.0.0.1",
            "max_connections": 200,
            # Nobody pulls the plug of a test.
            "fsync": "off",
            "full_page_writes": "off",
        }
        command = [str(programs / "postgres"), "-D", str(data), "-k", str(directory)]
        command += [f"--{name}={value}" for name, value in settings.items()]
        server = PostgreSQL(command, directory, port)
        try:
            server.start()
            yield server
        finally:
            server.kill()


class Valkey:
    """A server that can be taken away and brought back."""

    def __init__(
        self, command: list[str], directory: Path, port: int, tls_port: int | None
    ) -> None:
        self.directory = directory
        self.port = port
        self.tls_port = tls_port
        self.url = f"valkey://:{PASSWORD}@127.0.0.1:{port}/0"
        self.socket_url = f"unix://{directory}/socket?password={PASSWORD}"
        self._server = _Server(command, directory)

    def start(self) -> None:
        """Start it, again after `kill`; then it is empty."""
        self._server.start(lambda: self.ask("PING"))

    def kill(self) -> None:
        """End it at once: connections are refused from now on."""
        self._server.end(signal.SIGKILL)

    def hang(self) -> None:
        """Stop it, so that it takes connections and never answers."""
        self._server.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `hang`."""
        self._server.signal(signal.SIGCONT)

    def ask(self, *command: str | bytes) -> Any:
        """What it answers to a command of the test itself."""
        with valkey.Valkey(port=self.port, password=PASSWORD, socket_timeout=5) as client:
            return client.execute_command(*command)


@contextmanager
def running_valkey(tls: tuple[Path, Path] | None = None) -> Iterator[Valkey]:
    """A Valkey, or Redis, of its own; skips the test where there is neither.

    With `tls`, the files of certificate and key, it takes TLS at `tls_port` as well.
    """
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    if program is None:
        pytest.skip("needs Valkey or Redis: apt-get install valkey-server, or redis-server")
    with _directory() as directory:
        port, tls_port = free_port(), free_port() if tls else None
        options = {
            "port": str(port),
            "bind": "127.0.0.1",
            "unixsocket": str(directory / "socket"),
            "requirepass": PASSWORD,
            "save": "",
            "dir": str(directory),
        }
        if tls:
            certificate, key = (str(shutil.copy(path, directory)) for path in tls)
            options |= {
                "tls-port": str(tls_port),
                "tls-cert-file": certificate,
                "tls-key-file": key,
                "tls-ca-cert-file": certificate,
                "tls-auth-clients": "no",
            }
        command = [program, *(text for name in options for text in (f"--{name}", options[name]))]
        server = Valkey(command, directory, port, tls_port)
        try:
            server.start()
            yield server
        finally:
            server.kill()


class _Server:
    """The process; its output goes to `log` in its directory."""

    def __init__(self, command: list[str], directory: Path) -> None:
        self._command = command
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, try_it: Callable[[], object]) -> None:
        """Start it and wait until it answers `try_it`."""
        with open(self._directory / "log", "ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **_as_nobody(),
            )
        give_up_at = time.monotonic() + _START_SECONDS
        while not self._answers(try_it):
            if self._process.poll() is not None or time.monotonic() > give_up_at:
                log_text = (self._directory / "log").read_text(errors="replace")
                pytest.fail(f"the server did not start: {log_text[-2000:]}")
            time.sleep(0.02)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def end(self, number: int) -> None:
        """End it with this signal and wait; nothing, when it has ended."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(_START_SECONDS)

    def _answers(self, try_it: Callable[[], object]) -> bool:
        try:
            try_it()
        except (psycopg.OperationalError, valkey.ConnectionError, valkey.ResponseError):
            return False
        return True


def free_port() -> int:
    """A TCP port of loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _init_cluster(initdb: Path, data: Path, directory: Path) -> None:
    password = directory / "password"
    password.write_text(PASSWORD)
    subprocess.run(
        [
            str(initdb),
            *("--pgdata", str(data), "--username", "broker", "--pwfile", str(password)),
            *("--auth", "scram-sha-256", "--encoding", "UTF8", "--no-locale"),
            *("--no-sync", "--no-instructions"),
        ],
        check=True,
        capture_output=True,
        cwd=directory,
        **_as_nobody(),
    )


def _as_nobody() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    return {"user": _UNPRIVILEGED, "group": _UNPRIVILEGED, "extra_groups": []}


@contextmanager
def _directory() -> Iterator[Path]:
    # Not pytest's: nobody else may enter that one, and its path is too long for a unix socket.
    directory = Path(tempfile.mkdtemp(prefix="relay-server-"))
    try:
        if os.geteuid() == 0:
            os.chown(directory, _UNPRIVILEGED, _UNPRIVILEGED)
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
