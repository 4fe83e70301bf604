"""Meeting a sidecar: who is at its socket, and what it tells about itself."""

from __future__ import annotations

import json
import os
import socket
import stat
from dataclasses import dataclass, field
from typing import Any

from git_credential_relay.credential.forge import Target
from git_credential_relay.errors import SidecarError
from git_credential_relay.relay.cache_socket.client import PROMPT_SECONDS, SidecarClient
from git_credential_relay.relay.cache_socket.message import STATUS
from git_credential_relay.relay.deadline import Clock
from git_credential_relay.relay.inquiry import inquire
from git_credential_relay.relay.sidecar.peer import peer_of


@dataclass(frozen=True, slots=True)
class Met:
    """What came of calling at the socket `path`.

    `uid` is whose process listens there, by the kernel's word, None where nobody does;
    `status` what it tells as JSON, or `error` why it does not.
    """

    path: str
    uid: int | None = None
    status: dict[str, Any] = field(default_factory=dict)
    error: SidecarError | None = None

    @property
    def is_there(self) -> bool:
        """Whether something that is a socket, or cannot be looked at, is in its place."""
        try:
            return stat.S_ISSOCK(os.lstat(self.path).st_mode)
        except PermissionError:
            return True
        except OSError:
            return False

    @property
    def workspaces(self) -> list[dict[str, Any]]:
        """The workspaces that it tells us about."""
        found = self.status.get("workspaces")
        return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []

    def keys(self, target: Target) -> list[dict[str, Any]]:
        """Its history of `target`'s repository, and of the forge as a whole."""
        names = (None, target.repository)
        return [
            key
            for workspace in self.workspaces
            for key in workspace.get("keys", [])
            if key["forge"] == target.forge.url and key["repository"] in names
        ]


def meet(path: str, clock: Clock, seconds: float = PROMPT_SECONDS) -> Met:
    """Call at the socket `path`, within `seconds`: nobody is asked for a token."""
    uid = _listener(path, seconds)
    try:
        answer = inquire(SidecarClient(path, clock), STATUS, [("format", "json")], seconds)
        status = json.loads(answer)
    except SidecarError as error:
        return Met(path, uid, error=error)
    except (ValueError, RecursionError):
        status = None
    if not isinstance(status, dict):
        other = SidecarError(f"what answers at {path} is not a sidecar", code="not-a-sidecar")
        return Met(path, uid, error=other)
    return Met(path, uid, status)


def _listener(path: str, seconds: float) -> int | None:
    """The uid of the process that listens at `path`: unix(7), SO_PEERCRED."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(seconds)
            connection.connect(path)
            return peer_of(connection).uid
    except OSError:
        return None
