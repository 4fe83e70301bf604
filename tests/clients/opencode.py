"""A real `opencode serve` on a wired machine, and the ways in which it runs commands."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx2

from tests.clients.provider import ASK, MODEL, NAME, Provider
from tests.fakes.wired import WiredMachine

# Whatever else it may do of itself, it does not try to reach out.
QUIET = {
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
}
UID = 1000
# The names of the methods below by which it runs a command.
WAYS = ("shell", "terminal", "agent")
START_SECONDS = 60
RUN_SECONDS = 45

Found = TypeVar("Found")


@dataclass(frozen=True)
class OpenCode:
    """A running server. `home` is its user's, `log` what it has said, `pid` its process."""

    pid: int
    home: Path
    log: Path
    http: httpx2.Client

    def shell(self, script: str, directory: Path) -> str:
        """Run a script by a session's shell, as a user does with `!`; its output."""
        path = self._script(script)
        asked = {"agent": "build", "command": f"sh {path}"}
        answer = self._post(f"/session/{self._session(directory)}/shell", directory, asked)
        return self._output(answer)

    def terminal(self, script: str, directory: Path) -> str:
        """Run a script in a terminal, as a user types it there; its output, and that of `tty`."""
        path = self._script(script)
        output = Path(f"{path}.out")
        run = self._script(f"{{ tty; sh {path}; }} >{path}.part 2>&1; mv {path}.part {output}")
        typed = {"command": "/bin/sh", "args": [run], "cwd": str(directory)}
        self._post("/pty", directory, typed)
        wait_until(output.exists, RUN_SECONDS)
        return output.read_text()

    def agent(self, script: str, directory: Path) -> str:
        """Have the model ask for a script by its tool bash; the tool's output."""
        session = self._session(directory)
        asked = {
            "model": {"providerID": NAME, "modelID": MODEL},
            "agent": "build",
            "parts": [{"type": "text", "text": f"{ASK}sh {self._script(script)}"}],
        }
        self._post(f"/session/{session}/message", directory, asked)
        answered = self.http.get(
            f"/session/{session}/message", params={"directory": str(directory)}
        ).json()
        [output] = [
            self._output(message)
            for message in answered
            if any(part.get("tool") == "bash" for part in message["parts"])
        ]
        return output

    def environ(self) -> bytes:
        """The environment that it was started with."""
        return Path(f"/proc/{self.pid}/environ").read_bytes()

    def _script(self, script: str) -> str:
        """A file with the script: the session's shell would expand what is in a command."""
        path = self.home / f"script-{len(list(self.home.glob('script-*')))}"
        path.write_text(script)
        return str(path)

    def _session(self, directory: Path) -> str:
        return str(self._post("/session", directory, {"title": "test"})["id"])

    def _post(self, path: str, directory: Path, asked: dict[str, Any]) -> dict[str, Any]:
        answer = self.http.post(path, params={"directory": str(directory)}, json=asked)
        assert answer.is_success, (path, answer.status_code, answer.text)
        return dict(answer.json())

    @staticmethod
    def _output(message: dict[str, Any]) -> str:
        [state] = [part["state"] for part in message["parts"] if part["type"] == "tool"]
        assert state["status"] == "completed", state
        return str(state["output"])


@contextmanager
def serve(
    machine: WiredMachine, program: Path, provider: Provider, directory: Path
) -> Iterator[OpenCode]:
    """`opencode serve` as an ordinary user of the machine; it and its children end with it.

    Its environment has no token and no word of the relay. Its files are below `directory`.
    """
    home, scratch, log = (directory / name for name in ("home", "tmp", "log"))
    configuration = home / ".config/opencode/opencode.json"
    configuration.parent.mkdir(parents=True)
    scratch.mkdir()
    configuration.write_text(json.dumps(provider.configuration()))
    subprocess.run(["chown", "-R", str(UID), str(home), str(scratch)], check=True)
    environ = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "TMPDIR": str(scratch),
        **QUIET,
    }
    command = [
        *("nsenter", f"--target={machine.pid}", "--mount", f"--wd={home}"),
        # A PID namespace: when its first process ends, every other in it is ended.
        *("unshare", "--pid", "--fork", "--mount-proc"),
        *("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--no-new-privs"),
        *("env", "-i", *(f"{name}={value}" for name, value in environ.items())),
        *(str(program), "serve", "--hostname", "127.0.0.1", "--port", "0", "--print-logs"),
    ]
    with (
        log.open("wb") as written,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=written, stderr=written
        ) as parent,
    ):
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
        pid = int(wait_until(children.read_text, START_SECONDS))
        try:
            address = re.compile(r"listening on (http://[\w.:]+)")
            [url] = wait_until(lambda: address.findall(log.read_text()), START_SECONDS)
            with httpx2.Client(base_url=url, timeout=RUN_SECONDS, trust_env=False) as http:
                yield OpenCode(pid, home, log, http)
        finally:
            os.kill(pid, signal.SIGKILL)
            print(log.read_text())  # shown where it did not come up


def wait_until(find: Callable[[], Found], seconds: float) -> Found:
    """What `find` gives once that is true."""
    end = time.monotonic() + seconds
    while not (found := find()):
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.02)
    return found
