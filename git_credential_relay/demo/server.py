"""A server of ours in a process of its own: started, waited for, ended, and started again."""

import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_START_SECONDS = 60
# Longer than their own drain: killed, a broker would leave a request without its record.
_STOP_SECONDS = 30


class ServerStartError(Exception):
    """The server did not start; says what it said."""


class ServerProcess:
    """A process that writes what it says to `log`, and `ready` in it when it serves."""

    def __init__(self, log: Path, ready: str) -> None:
        self.log = log
        self._ready = ready
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process's number while it is there."""
        return None if self._process is None else self._process.pid

    def start(self, command: Sequence[str], environment: Mapping[str, str], directory: Path) -> str:
        """Start it and return the word after `ready`.

        Raises:
            ServerStartError: It ended at once, or was not ready in time.
        """
        with self.log.open("ab") as log:
            begin = log.tell()
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(environment),
                cwd=directory,
                start_new_session=True,
            )
        return self._wait_until_ready(begin)

    def stop(self) -> None:
        """Have it end well; nothing happens when it is not there."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self) -> None:
        """End it with no time to do anything about it."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def _wait_until_ready(self, begin: int) -> str:
        deadline = time.monotonic() + _START_SECONDS
        said = ""
        while time.monotonic() < deadline:
            said = self.log.read_bytes()[begin:].decode(errors="replace")
            if self._ready in said and said.endswith("\n"):
                return said.split(self._ready)[1].split()[0]
            if self._process is None or self._process.poll() is not None:
                break
            time.sleep(0.02)
        self.stop()
        raise ServerStartError(said.strip() or "the server did not start in time")
