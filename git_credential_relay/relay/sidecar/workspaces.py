"""Which workspaces a sidecar serves, by its configuration, and which of them is whose.

One by the usual settings, or one per NAME.env file of a directory; read again when a file changes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from git_credential_relay.config import SYSTEM_FILES, Config, load, user_files
from git_credential_relay.config_layers import file_layer
from git_credential_relay.errors import ConfigError
from git_credential_relay.relay.sidecar.peer import Callers, Peer, callers
from git_credential_relay.settings import FALLBACK_SOURCES, PREFIX, SETTINGS

DIRECTORY = PREFIX + "WORKSPACES"
GH_SOCKET = PREFIX + "GH_SOCKET"
CONFIG = PREFIX + "CONFIG"
FALLBACK = PREFIX + "FALLBACK"
# Of a user's own files: the sidecar's user's login at a forge is not the agent's to use.
NOT_RESIDENT = ("hosts.yml", "gh")
_ENDING = ".env"


@dataclass(frozen=True)
class Tenant:
    """One configured workspace: its settings, who may ask for it, and where."""

    name: str
    config: Config
    callers: Callers
    socket: str
    gh_socket: str | None

    @property
    def fingerprint(self) -> tuple[object, ...]:
        """Equal for two readings of one configuration."""
        return (self.socket, self.gh_socket, *_texts(self.config))


def read_tenants(
    environ: Mapping[str, str], flags: Mapping[str, str], socket: str, gh_socket: str | None
) -> list[Tenant]:
    """Every workspace that is configured. Raises ConfigError.

    Those that name no socket of their own are at `socket` and `gh_socket`.
    """
    base = load(environ, flags)
    directory = base.path(DIRECTORY)
    if directory is None:
        config = _without(environ, flags, None, FALLBACK_SOURCES, NOT_RESIDENT)
        tenants = [Tenant("default", config, callers(config), socket, gh_socket)]
    else:
        files = _listed(directory)
        tenants = [_tenant(path, environ, flags, socket, gh_socket) for path in files]
        if not tenants:
            raise ConfigError(
                f"{directory} has no workspace", hint=f"write one as {directory}/NAME{_ENDING}"
            )
    _refuse_ambiguous(tenants)
    return tenants


def watched_files(environ: Mapping[str, str], flags: Mapping[str, str]) -> list[str]:
    """The files whose change may change the answer of `read_tenants`; some may not exist."""
    named = flags.get(CONFIG) or environ.get(CONFIG)
    files = [named] if named else [*SYSTEM_FILES, *user_files(environ)]
    try:
        config = load(environ, flags)
        directory = config.path(DIRECTORY)
    except ConfigError:
        return files  # one of them has to change for it to become right
    listed = [directory, *_listed(directory, or_none=True)] if directory else []
    return [*files, *listed, *([config.ca_file] if config.ca_file else [])]


def choose(tenants: list[Tenant], peer: Peer) -> str | None:
    """The name of the one workspace of those at a socket that `peer` is meant by.

    None where there is none, or no single one: which of two tokens is meant nobody can guess.
    """
    ranks = {tenant.name: tenant.callers.rank(peer) for tenant in tenants}
    best = max(ranks.values(), default=0)
    if not best:
        # Whoever is the sidecar's own user has its secrets anyway.
        is_own = peer.uid == os.geteuid() and len(tenants) == 1
        return tenants[0].name if is_own else None
    names = [name for name, rank in ranks.items() if rank == best]
    return names[0] if len(names) == 1 else None


def _tenant(
    path: str,
    environ: Mapping[str, str],
    flags: Mapping[str, str],
    socket: str,
    gh_socket: str | None,
) -> Tenant:
    own = file_layer(path, is_named=True)
    for name in ("WORKSPACE_ID", "WORKSPACE_TOKEN"):
        if name not in own and f"{name}_FILE" not in own:
            # What all files have in common is in the environment; who they are must not be.
            raise ConfigError(f"{path} has no {name}", hint="each workspace needs its own")
    config = _without(environ, flags, path, FALLBACK_SOURCES, FALLBACK_SOURCES)
    own_socket = config.path(PREFIX + "SOCKET") if PREFIX + "SOCKET" in own else None
    own_gh = config.path(GH_SOCKET) if GH_SOCKET in own else None
    name = os.path.basename(path).removesuffix(_ENDING)
    # With a socket of its own it is not at the common one for gh either.
    return Tenant(
        name,
        config,
        callers(config),
        own_socket or socket,
        own_gh or (None if own_socket else gh_socket),
    )


def _without(
    environ: Mapping[str, str],
    flags: Mapping[str, str],
    own_file: str | None,
    sources: Iterable[str],
    dropped: Iterable[str],
) -> Config:
    """The configuration; where it names no local sources, `sources` without `dropped`."""
    config = load(environ, flags, own_file=own_file)
    if config.value(FALLBACK) is not None:
        return config
    kept = ",".join(source for source in sources if source not in dropped)
    return load(environ, {**flags, FALLBACK: kept or "off"}, own_file=own_file)


def _listed(directory: str, *, or_none: bool = False) -> list[str]:
    try:
        names = os.listdir(directory)
    except OSError as error:
        if or_none:
            return []
        raise ConfigError(f"{directory}: {error.strerror}") from error
    # Hidden ones are what editors and Kubernetes leave beside the files they swap.
    return sorted(
        f"{directory}/{name}"
        for name in names
        if name.endswith(_ENDING) and not name.startswith(".")
    )


def _refuse_ambiguous(tenants: list[Tenant]) -> None:
    seen: dict[tuple[str, str, object], str] = {}
    for tenant in tenants:
        who = tenant.callers
        ways = [("uid", each) for each in who.uids] + [("gid", each) for each in who.gids]
        ways += [("everybody", 0)] if who.everybody else []
        for socket in filter(None, (tenant.socket, tenant.gh_socket)):
            for kind, number in ways:
                other = seen.setdefault((socket, kind, number), tenant.name)
                if other != tenant.name:
                    raise ConfigError(
                        f"workspaces {other} and {tenant.name} are both for {kind} {number}"
                        f" at {socket}",
                        hint="give one of them a socket of its own",
                    )


def _texts(config: Config) -> list[str | None]:
    values = [config.value(name) for setting in SETTINGS for name in setting.names]
    return [value.text if value else None for value in values]
