"""What git's configuration must say so that git asks us: pure, no file is touched."""

from __future__ import annotations

import re
from collections.abc import Iterable

from git_credential_relay.credential.forge import Forge
from git_credential_relay.errors import ConfigError

Entries = list[tuple[str, str]]

_IDENTITY = re.compile(r"\s*([^<>\n]*[^<>\s])\s*<([^<>@\s]+@[^<>@\s]+)>\s*")
_SHELL_SPECIAL = re.compile(r"([^\w@%+=:,./-])", re.ASCII)


def helper_entries(forges: Iterable[Forge], helper: str, socket: str | None = None) -> Entries:
    """The keys and values by which git asks the launcher at `helper`, in order.

    With a sidecar at `socket` git's own client asks that one first; the launcher comes behind it
    and says why, where the sidecar had nothing.

    First for every host, because a container may learn its hosts only when it starts; we are
    silent about those that are not ours. Then for each known host with everybody else taken off
    the list, who would be told our tokens by git's `store` and might write them to a disk, and
    with the path, so that a token can be bound to one repository.
    """
    commands = [_as_one_word(helper)]
    if socket is not None:
        commands.insert(0, f"cache --socket={_as_one_word(socket)}")
    entries = [("credential.helper", command) for command in commands]
    for origin in origins(forges):
        entries += [(f"credential.{origin}.helper", value) for value in ("", *commands)]
        entries.append((f"credential.{origin}.useHttpPath", "true"))
    # Without it git >= 2.54 repeats a rate-limited request for ever.
    return [*entries, ("http.maxRetries", "1")]


def rewrite_entries(forges: Iterable[Forge]) -> Entries:
    """The entries that turn the forges' ssh addresses into https ones, which ask a helper."""
    entries = []
    for forge in forges:
        name = forge.host.rpartition(":")[0] or forge.host if ":" in forge.host else forge.host
        entries += [
            (f"url.{forge.url}/.insteadOf", f"git@{name}:"),
            (f"url.{forge.url}/.insteadOf", f"ssh://git@{name}/"),
        ]
    return entries


def identity_entries(identity: str) -> Entries:
    """The entries for an author called `Name <mail>`. Raises ConfigError for anything else."""
    match = _IDENTITY.fullmatch(identity)
    if match is None:
        raise ConfigError(
            "--identity is not a name and an address",
            code="usage",
            hint='give it as --identity "Name <name@example.com>"',
        )
    return [("user.name", match[1]), ("user.email", match[2])]


def _as_one_word(path: str) -> str:
    """`path` as the shell needs it, to which git hands a helper."""
    return _SHELL_SPECIAL.sub(r"\\\1", path)


def origins(forges: Iterable[Forge]) -> list[str]:
    """`scheme://host[:port]` of each forge, once: what git compares a URL with."""
    return list(dict.fromkeys(f"{forge.scheme}://{forge.host}" for forge in forges))
