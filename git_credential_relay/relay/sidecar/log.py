"""The sidecar's log: lines on stderr, and not more of them than a person reads."""

from __future__ import annotations

import time
from collections.abc import Callable

from git_credential_relay.messages import PROGRAM

SECONDS = 60.0
# A client can have us write a line by asking nonsense; it must not fill a disk.
MAX_LINES = 100
MAX_TRACES = 6000


class Log:
    """Writes at most `most` lines in `SECONDS`, and then how many were left out."""

    def __init__(
        self,
        write: Callable[[str], object],
        most: int = MAX_LINES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._most = most
        self._clock = clock
        self._began_at = clock()
        self._count = 0

    def say(self, line: str) -> None:
        """One line of the sidecar's own."""
        self.write(f"{PROGRAM}: sidecar: {line}\n")

    def write(self, line: str) -> None:
        """One complete line, as it is."""
        if self._clock() - self._began_at >= SECONDS:
            left_out = self._count - self._most
            self._began_at, self._count = self._clock(), 0
            if left_out > 0:
                self._emit(f"{PROGRAM}: sidecar: {left_out} lines were left out\n")
        self._count += 1
        if self._count <= self._most:
            self._emit(line)

    def _emit(self, line: str) -> None:
        try:
            self._write(line)
        except OSError:
            pass  # nobody reads it, which must not cost an answer
