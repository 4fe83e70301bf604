"""gh's own way to the sidecar: a socket that it sends its requests to, without a token."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Mapping

from git_credential_relay.config import Config
from git_credential_relay.doctor.report import Check, fail, ok, warn
from git_credential_relay.settings import PREFIX

GH_SOCKET = "gh-socket"
# Where `install` puts gh's settings that lead there, in the system or in a user's own place.
OWN_DIRECTORY = "/git-credential-relay/gh"
CONNECT_SECONDS = 5.0


def check_gh_socket(config: Config | None, environ: Mapping[str, str]) -> Check:
    """Whether gh gets to the sidecar by the socket that is configured for it."""
    path = config.path(f"{PREFIX}GH_SOCKET") if config is not None else None
    if path is None:
        return ok(GH_SOCKET, "none is configured")
    try:
        _connect(path)
    except PermissionError:
        return fail(
            GH_SOCKET,
            "gh-socket-refused",
            f"{path} is closed to this user, so gh fails; have the sidecar's"
            f" GIT_CREDENTIAL_RELAY_ALLOW_UIDS name {os.geteuid()}, in a directory of mode 0755",
        )
    except OSError as error:
        return fail(
            GH_SOCKET,
            "gh-socket-missing",
            f"no sidecar for gh at {path} ({error.strerror or error}), so gh fails; start the"
            f" sidecar with --gh-socket {path}",
        )
    directory = environ.get("GH_CONFIG_DIR", "")
    if directory and not directory.rstrip("/").endswith(OWN_DIRECTORY):
        return warn(
            GH_SOCKET,
            "gh-config-elsewhere",
            f"GH_CONFIG_DIR is {directory}: gh takes its settings there, and not the sidecar's"
            " socket",
            "unset GH_CONFIG_DIR",
        )
    return ok(GH_SOCKET, f"answers at {path}")


def _connect(path: str) -> None:
    """Whether gh can be answered at `path`. Raises OSError where it cannot."""
    if not stat.S_ISSOCK(os.stat(path).st_mode):
        raise OSError(errno.ENOTSOCK, "it is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(CONNECT_SECONDS)
        connection.connect(path)
