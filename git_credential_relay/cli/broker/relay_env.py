"""The relay.env of a new workspace: what a relay needs to be told, and nothing else."""

from __future__ import annotations

import contextlib
import os
from typing import Any

from git_credential_relay.credential.url import is_loopback, split_url
from git_credential_relay.errors import (
    ConfigError,
    MalformedResponseError,
    ProtocolError,
    RelayError,
)

_ALLOW_HTTP = "GIT_CREDENTIAL_RELAY_ALLOW_HTTP"


def env_lines(made: dict[str, Any], relay_url: str) -> list[str]:
    """The lines for the answer to a creation; `relay_url` is where relays reach the broker.

    Raises ConfigError for an address that is none, MalformedResponseError for a value that
    would be two lines.
    """
    is_plain = needs_http(relay_url)
    env = {**made["relayEnv"], "CLOUD_API_URL": relay_url}
    env.pop(_ALLOW_HTTP, None)
    if is_plain:
        env[_ALLOW_HTTP] = "1"
    if made["secret"]:
        env["WORKSPACE_TOKEN"] = made["secret"]
    for name, value in env.items():
        if not name.isidentifier() or not str(value).isprintable():
            raise MalformedResponseError("the broker's answer has a setting that is not one line")
    return [f"{name}={value}" for name, value in env.items()]


def needs_http(relay_url: str) -> bool:
    """Whether relays reach this address by plain http on another machine. Raises ConfigError."""
    try:
        scheme, host, _ = split_url(relay_url)
    except ProtocolError as error:
        raise ConfigError(f"--relay-url: {error.message}", code="usage") from error
    return scheme == "http" and not is_loopback(host)


class EnvFile:
    """A new file that only its owner reads. Raises ConfigError where there is one already."""

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            # Not through a link that somebody has put there, nor over what somebody relies on.
            self._fd = os.open(
                path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
            )
        except OSError as error:
            raise ConfigError(
                f"--write-env: cannot make {path}: {error.strerror}",
                code="usage",
                hint="name a file that is not there yet",
            ) from error

    def write(self, lines: list[str]) -> None:
        """Write the lines, to the disk, and close the file. Raises RelayError."""
        try:
            with os.fdopen(self._fd, "w", encoding="utf-8") as file:
                file.write("".join(f"{line}\n" for line in lines))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise RelayError(
                f"the workspace is made, but {self._path} cannot be written: {error.strerror}",
                code="not-written",
                hint="make room, and let `broker workspace rotate` give it another secret",
            ) from error

    def discard(self) -> None:
        """Remove what turned out not to be needed."""
        with contextlib.suppress(OSError):
            os.unlink(self._path)
