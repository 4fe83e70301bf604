"""The audit log: the record without which nothing is vended.

A file of NDJSON that is only ever appended to, one os.write for each event, and that several
processes may share. An event that was written outlives the process, however that ends; only a
machine that loses its power may lose the last moments. No logging is involved, so no level
filters it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from git_credential_relay.broker.audit.event import AuditEvent
from git_credential_relay.broker.audit.line import serialize
from git_credential_relay.broker.audit.rotation import rotate
from git_credential_relay.broker.errors import AuditError
from git_credential_relay.errors import ConfigError

# A process that was stopped (SIGSTOP) while it holds the lock must not stop us for good.
LOCK_SECONDS = 2.0
_LOCK_POLL_SECONDS = 0.0002
_ATTEMPTS = 10  # at a file that others rotate under our hands


class AuditSink(Protocol):
    """Somewhere else that written events go to as well. Gates nothing, delays nothing."""

    def put(self, line: bytes) -> None:
        """Take a line, newline included, for later; never blocks and never raises."""
        ...

    def close(self) -> None:
        """Give what is left a bounded time to get there."""
        ...


class AuditLog:
    """Writes events to `path`, `path.1` … `path.<keep>` of about `max_bytes` each.

    Raises ConfigError where the file cannot be opened.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int,
        keep: int,
        sinks: Iterable[AuditSink] = (),
        lock_seconds: float = LOCK_SECONDS,
    ) -> None:
        # Of a symbolic link the target is rotated, not the link.
        self.path = path.resolve()
        self._path = str(self.path)
        self._max_bytes = max_bytes
        self._keep = keep
        self._sinks = tuple(sinks)
        self._lock_seconds = lock_seconds
        self._lock = threading.Lock()
        self._fd = -1
        self._inode = (-1, -1)
        self._clean_size = -1  # up to which the file is known to consist of whole lines
        self.trouble: str | None = None
        try:
            self._open_file()
        except OSError as error:
            raise ConfigError(
                f"the audit log {path} cannot be written: {error.strerror}",
                hint="check audit_file, and who may write to its directory",
            ) from error
        self._close_torn_line()

    def write(self, event: AuditEvent) -> None:
        """Record the event. Raises AuditError where it is not whole in the file afterwards.

        `trouble` then says why, as it does while the file cannot be rotated; else it is None.
        """
        line = serialize(event)
        try:
            with self._lock:
                self.trouble = None
                self._append(line)
        except OSError as error:
            self.trouble = f"{self._path}: {error.strerror or error}"
            raise AuditError(
                "the request cannot be recorded, and without that nothing is vended",
                hint="whoever runs the broker should look at audit_file and the space left there",
                reason=self.trouble,
            ) from error
        for sink in self._sinks:
            sink.put(line)

    def close(self) -> None:
        """Close the file, and the sinks after what they still hold."""
        for sink in self._sinks:
            sink.close()
        with self._lock:
            self._close_file()

    def _append(self, line: bytes) -> None:
        for _ in range(_ATTEMPTS):
            self._open_file()
            self._acquire()
            try:
                size = self._find_size()
                if size is not None and (self._has_room(size, line) or not self._rotate()):
                    self._write_line(line, size)
                    return
            finally:
                fcntl.flock(self._fd, fcntl.LOCK_UN)
            # Somebody, maybe we, gave the name to a new file.
            self._close_file()
        raise OSError("the file changes all the time")

    def _open_file(self) -> None:
        if self._fd >= 0:
            return
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        fd = os.open(self._path, flags, 0o600)
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "not a regular file")
        self._fd, self._inode, self._clean_size = fd, (info.st_dev, info.st_ino), -1

    def _close_file(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _acquire(self) -> None:
        deadline = time.monotonic() + self._lock_seconds
        while True:
            try:
                return fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_LOCK_POLL_SECONDS)

    def _find_size(self) -> int | None:
        """The file's size; None where its name belongs to another file by now."""
        try:
            info = os.stat(self._path)
        except FileNotFoundError:
            return None
        return info.st_size if (info.st_dev, info.st_ino) == self._inode else None

    def _has_room(self, size: int, line: bytes) -> bool:
        return not size or size + len(line) <= self._max_bytes

    def _rotate(self) -> bool:
        try:
            rotate(self._path, self._keep)
        except OSError as error:
            # A file that grows too long is the lesser evil, while there is room for it.
            self.trouble = f"{self._path} cannot be rotated: {error.strerror or error}"
            return False
        return True

    def _write_line(self, line: bytes, size: int) -> None:
        if size != self._clean_size and size and os.pread(self._fd, 1, size - 1) != b"\n":
            # Of a writer that was killed, or had no room: it must not spoil our line.
            line = b"\n" + line
        if os.write(self._fd, line) != len(line):
            raise OSError(errno.ENOSPC, "there is no room for a whole line")
        self._clean_size = size + len(line)

    def _close_torn_line(self) -> None:
        try:
            self._acquire()
            size = self._find_size()
            if size and os.pread(self._fd, 1, size - 1) != b"\n":
                os.write(self._fd, b"\n")
        except OSError:
            return  # the next event tries it again, and says so
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)
