"""Which repositories the remotes of the current directory name, in the order gh prefers them.

A remote names a repository and nothing else: no token is ever sent to its URL from here.
"""

from __future__ import annotations

import os

from git_credential_relay.executables import find_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Final

# gh's order (remoteNameSortScore in its context package); all others come after these.
PREFERRED_NAMES = ("upstream", "github", "origin")
MAX_OUTPUT = 1024 * 1024
_QUERY = r"^(remote\..*\.(url|gh-resolved)|url\..*\.insteadof)$"


class Address:
    """The host and the path that a git URL names.

    `host` is lower case; a port is part of it for http and https, where it is part of the
    forge's name, and dropped for ssh, where it says nothing about the forge.
    """

    __slots__ = ("host", "path")

    def __init__(self, host: str, path: str) -> None:
        self.host: Final = host
        self.path: Final = path

    def __repr__(self) -> str:
        return f"Address({self.host}, {self.path})"


def read_addresses(environ: Mapping[str, str]) -> list[Address]:
    """Where the remotes of the current directory point, best first; none outside of a work tree."""
    return addresses(_ask_git(environ))


def addresses(configuration: bytes) -> list[Address]:
    """The addresses in the output of `git config --null --get-regexp` for remotes.

    Those that `gh repo set-default` chose (`gh-resolved`) come first, then gh's preferred names,
    then the others by name. Like git, `url.<base>.insteadOf` is applied.
    """
    urls: dict[str, str] = {}
    resolved: dict[str, str] = {}
    instead_of: list[tuple[str, str]] = []
    for entry in configuration.decode("utf-8", "replace").split("\0"):
        key, _, value = entry.partition("\n")
        section, _, rest = key.partition(".")
        name, _, variable = rest.rpartition(".")
        if section == "url":
            instead_of.append((value, name))
        elif variable == "url":
            urls.setdefault(name, value)  # the first one is fetched from
        elif variable == "gh-resolved":
            resolved[name] = value
    names = sorted(urls, key=lambda name: (name not in resolved, _rank(name), name))
    found = []
    for name in names:
        address = parse_address(_rewritten(urls[name], instead_of))
        if address is not None:
            chosen = resolved.get(name, "")
            found.append(Address(address.host, chosen) if "/" in chosen else address)
    return found


def parse_address(url: str) -> Address | None:
    """The address in a URL or in ssh's short form `[user@]host:path`; None for anything else."""
    scheme, separator, rest = url.partition("://")
    if separator:
        # Where git and gh let the authority end: behind that an `@` says nothing about the host.
        end = min((n for c in "/?#\\" if (n := rest.find(c)) >= 0), default=len(rest))
        authority, path = rest[:end], rest[end:]
        host = authority.rpartition("@")[2].lower()
        if scheme.lower() in ("http", "https"):
            host = host.removesuffix(":443" if scheme.lower() == "https" else ":80")
        elif scheme.lower() in ("ssh", "git", "git+ssh", "ssh+git"):
            host = host.partition(":")[0]
        else:
            return None
    else:
        authority, colon, path = url.partition(":")
        if not colon or "/" in authority:
            return None  # a path of this machine
        host = authority.rpartition("@")[2].lower()
    path = path.partition("?")[0].partition("#")[0].strip("/").removesuffix(".git")
    host = "github.com" if host == "ssh.github.com" else host.removesuffix(".")
    return Address(host, path) if host and path else None


def _rank(name: str) -> int:
    lower = name.lower()
    return PREFERRED_NAMES.index(lower) if lower in PREFERRED_NAMES else len(PREFERRED_NAMES)


def _rewritten(url: str, instead_of: Iterable[tuple[str, str]]) -> str:
    """`url` with the longest matching prefix replaced: git-config(1), url.<base>.insteadOf."""
    prefix, base = "", ""
    for candidate, replacement in instead_of:
        if url.startswith(candidate) and len(candidate) > len(prefix):
            prefix, base = candidate, replacement
    return base + url[len(prefix) :]


def _ask_git(environ: Mapping[str, str]) -> bytes:
    """What git's configuration says of remotes; nothing without git or outside of a work tree.

    One process, without the standard library's subprocess, which costs more than git itself.
    """
    git = find_program("git", environ.get("PATH"))
    if git is None:
        return b""
    reader, writer = os.pipe()
    try:
        command = [git, "config", "--null", "--get-regexp", _QUERY]
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, writer, 1),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ]
        pid = os.posix_spawn(git, command, environ, file_actions=actions)
        os.close(writer)
        writer = -1
        output = b""
        while len(output) < MAX_OUTPUT and (chunk := os.read(reader, 65536)):
            output += chunk
    except OSError:
        return b""
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)
    os.waitpid(pid, 0)
    return output
