"""The real broker in a process of its own, and its audit log as the evidence of what it did."""

import json
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from git_credential_relay.demo.server import ServerProcess
from git_credential_relay.wiring.launcher import launcher_script

_COMMAND_SECONDS = 60
_READY = "listening on "


@dataclass(frozen=True, slots=True)
class Vend:
    """One answer of the broker; `code` is None when a token was handed out.

    Tokens appear only as their base64 SHA-256.
    """

    at: float
    workspace: str | None
    host: str | None
    path: str | None
    code: str | None
    cache: str | None
    token_sha256: str | None = None
    expires_at: int | None = None
    rejected_sha256: str | None = None


class DemoBroker:
    """`git-credential-relay broker serve` below `directory`, with the given forges.

    `stop` ends it and `start` brings it back at the same address. `observe` is called with each
    answer, when somebody looks (`poll`, `answers`).
    """

    def __init__(
        self,
        directory: Path,
        configuration: str,
        files: Mapping[str, str],
        *,
        observe: Callable[[Vend], None] | None = None,
    ) -> None:
        self.directory = directory
        self.admin_secret = f"admin_{secrets.token_hex(24)}"
        self._observe = observe
        self._address = "127.0.0.1:0"
        self._lock = threading.Lock()
        self._answers: list[Vend] = []
        self._read_bytes = 0
        directory.mkdir(mode=0o700)
        self._process = ServerProcess(directory / "broker.log", _READY)
        self.config = directory / "broker.toml"
        self.config.write_text(
            f'audit_file = "audit.ndjson"\n{configuration}\n[admin]\nsecret_file = "admin.secret"\n'
        )
        self.command = directory / "git-credential-relay"
        self.command.write_text(launcher_script(sys.executable))
        self.command.chmod(0o700)
        secrets_of = {**files, "admin.secret": self.admin_secret}
        self.secret_files = tuple(directory / name for name in secrets_of)
        for file, text in zip(self.secret_files, secrets_of.values(), strict=True):
            with open(file, "x", opener=_open_private) as stream:
                stream.write(text)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The address for CLOUD_API_URL; known once started, and the same ever after."""
        return f"http://{self._address}"

    @property
    def answers(self) -> tuple[Vend, ...]:
        """Every vend and refusal on record, oldest first."""
        self.poll()
        with self._lock:
            return tuple(self._answers)

    @property
    def vends(self) -> tuple[Vend, ...]:
        """Every time a token was handed out, oldest first."""
        return tuple(answer for answer in self.answers if answer.code is None)

    def start(self) -> None:
        """Begin to answer; nothing happens when it does already.

        Raises:
            ServerStartError: It ended at once, or was not ready in time.
        """
        if self._process.pid is not None:
            return
        options = ["--config", str(self.config), "--listen", self._address]
        command = [str(self.command), "broker", "serve", *options]
        url = self._process.start(command, self._environment(), self.directory)
        self._address = url.partition("://")[2]

    def stop(self) -> None:
        """Become unreachable; nothing happens when it is already."""
        self._process.stop()

    def run(self, *arguments: str) -> str:
        """What a command of the program prints, run as an operator does beside the broker.

        Raises:
            subprocess.CalledProcessError: The command failed; stderr says why.
        """
        completed = subprocess.run(
            [self.command, *arguments],
            capture_output=True,
            check=True,
            text=True,
            env=self._environment(),
            cwd=self.directory,
            timeout=_COMMAND_SECONDS,
        )
        return completed.stdout

    def poll(self) -> None:
        """Look what the audit log has that nobody was told of yet."""
        with self._lock:
            fresh = [vend for event in self._new_events() if (vend := _vend(event)) is not None]
            self._answers += fresh
        for vend in fresh:
            if self._observe is not None:
                self._observe(vend)

    def _new_events(self) -> list[dict[str, Any]]:
        try:
            with (self.directory / "audit.ndjson").open("rb") as audit:
                audit.seek(self._read_bytes)
                content = audit.read()
        except FileNotFoundError:
            return []
        whole = content[: content.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        return [json.loads(line) for line in whole.splitlines()]

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.defpath, "HOME": str(self.directory)}


def _vend(event: dict[str, Any]) -> Vend | None:
    if event.get("kind", "vend") != "vend":
        return None
    return Vend(
        event["at"],
        event.get("workspace"),
        event.get("host"),
        event.get("repository"),
        event.get("code"),
        event.get("cache"),
        event.get("token_sha256"),
        event.get("expires_at"),
        event.get("rejected_sha256"),
    )


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
