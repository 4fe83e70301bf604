"""The real broker in a process of its own, on a free port of loopback."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import ssl
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.fakes.program import EXECUTABLE

READY = re.compile(r"git-credential-relay broker: listening on (https?)://127\.0\.0\.1:(\d+)")
START_SECONDS = 20.0


@dataclass(frozen=True)
class Reply:
    """One answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class BrokerProcess:
    """`git-credential-relay broker serve` with the broker.toml of a directory.

    Entered, it is ready; left, it has ended. `lines` is what it has written to stderr so far.
    """

    def __init__(self, directory: Path, *arguments: str, **environ: str) -> None:
        self.directory = directory
        self.lines: list[str] = []
        self.scheme = "http"
        self.port = 0
        self._arguments = arguments
        self._environ = environ
        self._is_ready = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        if not self.port:
            self.kill()
            raise AssertionError(f"the broker did not start: {self.lines}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.stop()

    @property
    def process(self) -> subprocess.Popen[str]:
        """The process, which has been started."""
        assert self._process is not None
        return self._process

    @property
    def url(self) -> str:
        """The address for CLOUD_API_URL."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def logs(self) -> list[dict[str, Any]]:
        """The lines of its log."""
        return [json.loads(line) for line in self.lines if not READY.match(line)]

    def start(self) -> None:
        """Start it (again), and wait until it is ready or has ended."""
        self.port = 0
        self._is_ready.clear()
        self._process = subprocess.Popen(
            [
                EXECUTABLE, "broker", "serve", "--config", self.directory / "broker.toml",
                "--listen", "127.0.0.1:0", *self._arguments,
            ],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            text=True,
            env=os.environ | self._environ,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._is_ready.wait(START_SECONDS)

    def stop(self, number: int = signal.SIGTERM, seconds: float = 30) -> int:
        """End it by a signal; its exit status, negative for the signal that killed it."""
        self.process.send_signal(number)
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

    def request(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        context: ssl.SSLContext | None = None,
    ) -> Reply:
        """The answer to one request on a connection of its own."""
        connection = self.connect(context)
        with contextlib.closing(connection):
            connection.request(method, target, body=body, headers=dict(headers or {}))
            return reply_of(connection)

    def ask(self, workspace: str, secret: str, **fields: str) -> Reply:
        """The answer to one request for a token."""
        query = "&".join(f"{name}={value}" for name, value in fields.items())
        return self.request(
            "GET",
            f"/api/git/token?workspaceId={workspace}&{query}",
            headers={"Authorization": f"Bearer {secret}"},
        )

    def connect(self, context: ssl.SSLContext | None = None) -> http.client.HTTPConnection:
        """A connection to it, to be closed by the caller."""
        if context is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=20, context=context)

    def wait_for_line(self, text: str, seconds: float = 10) -> None:
        """Return once it has written a line with this text."""
        give_up_at = time.monotonic() + seconds
        while not any(text in line for line in self.lines):
            assert time.monotonic() < give_up_at, self.lines
            time.sleep(0.01)

    def _read(self) -> None:
        stream = self.process.stderr
        assert stream is not None
        with stream:
            for line in stream:
                self.lines.append(line.rstrip("\n"))
                if match := READY.match(line):
                    self.scheme, self.port = match[1], int(match[2])
                    self._is_ready.set()
        self._is_ready.set()


def reply_of(connection: http.client.HTTPConnection) -> Reply:
    """The answer that comes on a connection."""
    response = connection.getresponse()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Reply(response.status, headers, response.read())
