"""A program of ours that stays until it is told to end, in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Self

START_SECONDS = 20.0


class ResidentProcess(ABC):
    """Entered, it is ready; left, it has ended. `lines` is what it has written to stderr so far."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._has_begun = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        if self.process.poll() is not None or not self.is_ready:
            self.kill()
            raise AssertionError(f"it did not start: {self.lines}")
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.send(signal.SIGCONT)
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
        return any(self._says_ready(line) for line in list(self.lines))

    @abstractmethod
    def start(self) -> None:
        """Start it (again), and wait until it is ready or has ended."""

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

    @abstractmethod
    def _says_ready(self, line: str) -> bool:
        """Whether this is its line of readiness."""

    def _launch(
        self, command: Sequence[str], environ: Mapping[str, str], user: int | None = None
    ) -> None:
        self.lines.clear()
        self._has_begun.clear()
        self._process = subprocess.Popen(
            command,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            text=True,
            env=environ,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        self._has_begun.wait(START_SECONDS)

    def _read(self, process: subprocess.Popen[str]) -> None:
        stream = process.stderr
        assert stream is not None
        with stream:
            for line in stream:
                self.lines.append(line.rstrip("\n"))
                if self._says_ready(line):
                    self._has_begun.set()
        self._has_begun.set()


def until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Return once something has become so."""
    give_up_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.02)
