"""Where audit events go besides the file: standard output, or a log collector by HTTP.

A sink is a copy. What does not get there is counted and said there later; the file stays the
record, and no answer ever waits for a sink.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

import httpx2

from git_credential_relay import __version__
from git_credential_relay.broker.audit.file import AuditSink
from git_credential_relay.errors import ConfigError
from git_credential_relay.secret import printable, redact

MAX_QUEUED = 10_000  # lines
MAX_BATCH = 500
LINGER_SECONDS = 0.2  # so that many events make few requests
CLOSE_SECONDS = 3.0
FIRST_WAIT_SECONDS = 0.5
MAX_WAIT_SECONDS = 30.0
HTTP_SECONDS = 5.0


class UndeliveredError(Exception):
    """A batch did not get there. `is_final`: nor will it ever."""

    def __init__(self, cause: str, *, is_final: bool = False) -> None:
        super().__init__(cause)
        self.is_final = is_final


class Delivery(Protocol):
    """The way to one place."""

    def deliver(self, batch: bytes) -> None:
        """Send whole lines. Raises UndeliveredError, having sent none or as many as it may."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class QueuedSink:
    """Delivers in a thread of its own; of more lines than it can hold the oldest go.

    Lines may come twice, where an answer was lost. `dropped` counts those that never came.
    """

    def __init__(
        self,
        delivery: Delivery,
        *,
        max_queued: int = MAX_QUEUED,
        linger_seconds: float = LINGER_SECONDS,
        first_wait_seconds: float = FIRST_WAIT_SECONDS,
        close_seconds: float = CLOSE_SECONDS,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._delivery = delivery
        self._linger_seconds = linger_seconds
        self._first_wait_seconds = first_wait_seconds
        self._close_seconds = close_seconds
        self._now = now
        self._queue: deque[bytes] = deque()
        self._max_queued = max_queued
        self._lock = threading.Lock()
        self._has_lines = threading.Event()
        self._closing = threading.Event()
        self._unreported = 0
        self.dropped = 0
        # A daemon: standard output that nobody reads would keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="audit-sink", daemon=True)
        self._thread.start()

    def put(self, line: bytes) -> None:
        """Take a line for later."""
        with self._lock:
            if len(self._queue) >= self._max_queued:
                self._queue.popleft()
                self._count_dropped(1)
            self._queue.append(line)
        if not self._has_lines.is_set():
            self._has_lines.set()

    def close(self) -> None:
        """Give what is left a few seconds to get there."""
        self._closing.set()
        self._has_lines.set()
        self._thread.join(self._close_seconds)
        if not self._thread.is_alive():
            self._delivery.close()

    def _run(self) -> None:
        while True:
            self._has_lines.wait()
            self._closing.wait(self._linger_seconds)
            self._has_lines.clear()
            while batch := self._next_batch():
                self._send(batch)
            if self._closing.is_set():
                return

    def _next_batch(self) -> list[bytes]:
        with self._lock:
            batch = [self._queue.popleft() for _ in range(min(MAX_BATCH, len(self._queue)))]
            if self._unreported:
                batch.insert(0, self._dropped_line(self._unreported))
                self._unreported = 0
        return batch

    def _send(self, batch: list[bytes]) -> None:
        wait = self._first_wait_seconds
        while True:
            try:
                return self._delivery.deliver(b"".join(batch))
            except UndeliveredError as error:
                # On the way out there is one more attempt for each batch, and no waiting.
                if error.is_final or self._closing.wait(wait):
                    return self._drop(batch)
            wait = min(2 * wait, MAX_WAIT_SECONDS)

    def _drop(self, batch: list[bytes]) -> None:
        with self._lock:
            self._count_dropped(len(batch))

    def _count_dropped(self, count: int) -> None:
        self.dropped += count
        self._unreported += count

    def _dropped_line(self, count: int) -> bytes:
        marker = {"at": self._now(), "kind": "dropped", "dropped": count}
        return json.dumps(marker).encode() + b"\n"


class FileDescriptorDelivery:
    """Writes to an open file descriptor: standard output."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def deliver(self, batch: bytes) -> None:
        """Write it all, however long the reader takes."""
        try:
            while batch:
                batch = batch[os.write(self._fd, batch) :]
        except OSError as error:
            raise UndeliveredError(error.strerror or "", is_final=True) from error

    def close(self) -> None:
        """Nothing: the descriptor is the process's own."""


class HttpDelivery:
    """Posts batches as NDJSON. Redirects are not followed: the events are for one place."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = httpx2.Client(
            timeout=HTTP_SECONDS,
            follow_redirects=False,
            headers={
                "Content-Type": "application/x-ndjson",
                "User-Agent": f"git-credential-relay/{__version__}",
            },
        )

    def deliver(self, batch: bytes) -> None:
        """Post it. Final is an answer that says the request itself is wrong."""
        try:
            status = self._client.post(self._url, content=batch).status_code
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise UndeliveredError(type(error).__name__) from error
        if not 200 <= status < 300:
            may_pass = status in (401, 403, 408, 425, 429) or status >= 500
            raise UndeliveredError(f"HTTP {status}", is_final=not may_pass)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def open_sinks(names: Iterable[str]) -> list[AuditSink]:
    """The sinks of `audit_sinks`: `stdout`, or an http(s) URL. Raises ConfigError."""
    return [QueuedSink(_delivery(name)) for name in names]


def _delivery(name: str) -> Delivery:
    if name == "stdout":
        return FileDescriptorDelivery(1)
    if name.startswith(("https://", "http://")):
        try:
            if httpx2.URL(name).host:
                return HttpDelivery(name)
        except httpx2.InvalidURL:
            pass
    raise ConfigError(
        f"not an audit sink: {printable(redact(name))}", hint='"stdout", or an http(s) URL'
    )
