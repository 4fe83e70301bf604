"""What a wiring for the sidecar needs to know: its sockets, and gh's settings that lead there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from git_credential_relay.errors import ConfigError
from git_credential_relay.settings import DEFAULT_SOCKET

# sun_path of unix(7), without the NUL behind it.
_LONGEST_PATH_BYTES = 107
# What gh sends until the sidecar puts the token in its place; without any it would not even ask.
PLACEHOLDER = "held-by-the-sidecar"


@dataclass(frozen=True)
class Sidecar:
    """The sockets of the sidecar. Without `gh_socket` gh gets its token from the other one."""

    socket: str
    gh_socket: str | None = None


def checked(path: str, option: str) -> str:
    """`path`, if it can be a socket's and stand in every file we write.

    Raises ConfigError naming `option`.
    """
    if not path.startswith("/") or not (path.isascii() and path.isprintable()):
        raise _unusable(option, "must be an absolute path of plain characters")
    # One more quote or backslash, and git's shell, YAML and relay.env read different paths.
    if any(character in path for character in "'\"\\`$#"):
        raise _unusable(option, "must be a path without quotes, $, # and backslashes")
    if path != path.strip() or path.endswith("/"):
        raise _unusable(option, "must be the path of a socket, not of a directory")
    if len(path) > _LONGEST_PATH_BYTES:
        raise _unusable(option, f"must have at most {_LONGEST_PATH_BYTES} bytes, as a socket's")
    return path


def _unusable(option: str, why: str) -> ConfigError:
    return ConfigError(
        f"{option} {why}", code="usage", hint=f"give it as {option} {DEFAULT_SOCKET}"
    )


def gh_config_yml(gh_socket: str) -> str:
    """gh's config.yml that sends its requests to `gh_socket`.

    Without a version newer ones of gh would rewrite both files, which are not theirs.
    """
    return f"version: \"1\"\nhttp_unix_socket: '{gh_socket}'\n"


def gh_hosts_yml(hosts: Iterable[str]) -> str:
    """gh's hosts.yml with a placeholder for each host: gh knows the hosts, and no token.

    Newer ones of gh read `users`, older ones do not.
    """
    lines = []
    for host in hosts:
        lines += [
            f"'{host}':",
            "    user: x-access-token",
            f"    oauth_token: {PLACEHOLDER}",
            "    users:",
            "        x-access-token:",
            f"            oauth_token: {PLACEHOLDER}",
        ]
    return "".join(f"{line}\n" for line in lines)
