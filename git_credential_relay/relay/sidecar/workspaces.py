"""Which workspaces a sidecar serves, by its configuration, and which of them is whose.

One by the usual settings, or one per NAME.env file of a directory; read again when a file changes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from git_credential_relay.config import SYSTEM_FILES, Config, load, user_files
from git_credential_relay.config_layers import Value, file_layer
from git_credential_relay.errors import ConfigError
from git_credential_relay.relay.sidecar.peer import Callers, Peer, callers, is_own
from git_credential_relay.relay.sidecar.watch import Facts, facts
from git_credential_relay.settings import FALLBACK_SOURCES, PREFIX, SETTINGS

DIRECTORY = PREFIX + "WORKSPACES"
GH_SOCKET = PREFIX + "GH_SOCKET"
CONFIG = PREFIX + "CONFIG"
FALLBACK = PREFIX + "FALLBACK"
# Of a user's own files: the sidecar's user's login at a forge is not the agent's to use.
NOT_RESIDENT = ("hosts.yml", "gh")
# Who a workspace is. What all of them have in common is in the environment; this must not be.
IDENTITY = ("WORKSPACE_ID", "WORKSPACE_TOKEN")
_ENDING = ".env"


@dataclass(frozen=True)
class Tenant:
    """One configured workspace: its settings, who may ask for it, and where."""

    name: str
    config: Config
    callers: Callers
    socket: str
    gh_socket: str | None
    ca_facts: Facts | None = None

    @property
    def fingerprint(self) -> tuple[object, ...]:
        """Equal for two readings of one configuration."""
        # The file of authorities is read once for all connections.
        return (self.socket, self.gh_socket, self.ca_facts, *_texts(self.config))

    @property
    def identity(self) -> tuple[str | None, str | None]:
        """Who it is at which API: equal as long as it may know its own past."""
        return (self.config.api_url, self.config.workspace_id)


def read_tenants(
    environ: Mapping[str, str], flags: Mapping[str, str], socket: str, gh_socket: str | None
) -> list[Tenant]:
    """Every workspace that is configured. Raises ConfigError.

    Those that name no socket of their own are at `socket` and `gh_socket`.
    """
    base = load(environ, flags)
    directory = base.path(DIRECTORY)
    if directory is None:
        config = _resident(base, environ, flags)
        found = facts(config.ca_file) if config.ca_file else None
        tenants = [Tenant("default", config, callers(config), socket, gh_socket, found)]
    else:
        files = _configured(base, directory)
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
    try:
        listed = _listed(directory) if directory else []
    except OSError:
        listed = []
    authorities = {config.ca_file, *(_ca_file(path) for path in listed)} - {None}
    return [*files, *([directory] if directory else []), *listed, *sorted(map(str, authorities))]


def choose(tenants: list[Tenant], peer: Peer) -> str | None:
    """The name of the one workspace of those at a socket that `peer` is meant by.

    None where there is none, or no single one: which of two tokens is meant nobody can guess.
    """
    ranks = {tenant.name: tenant.callers.rank(peer) for tenant in tenants}
    best = max(ranks.values(), default=0)
    if not best:
        # Whoever is the sidecar's own user has its secrets anyway.
        return tenants[0].name if len(tenants) == 1 and is_own(peer) else None
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
    for name in IDENTITY:
        if name in flags or f"{name}_FILE" in flags:
            raise ConfigError(
                f"a flag for {name} would make all workspaces one",
                hint=f"put it into each NAME{_ENDING}",
            )
        if name not in own and f"{name}_FILE" not in own:
            raise ConfigError(f"{path} has no {name}", hint="each workspace needs its own")
    config = _with_own_sources(own, load(environ, flags, own_file=path), environ, flags, path)
    own_socket = config.path(PREFIX + "SOCKET") if PREFIX + "SOCKET" in own else None
    own_gh = config.path(GH_SOCKET) if GH_SOCKET in own else None
    return Tenant(
        os.path.basename(path).removesuffix(_ENDING),
        config,
        callers(config),
        own_socket or socket,
        # With a socket of its own it is not at the common one for gh either.
        own_gh or (None if own_socket else gh_socket),
        facts(config.ca_file) if config.ca_file else None,
    )


def _resident(config: Config, environ: Mapping[str, str], flags: Mapping[str, str]) -> Config:
    """The configuration of the one workspace, without a user's logins unless it names them."""
    if config.value(FALLBACK) is not None:
        return config
    return _with_sources(
        [source for source in FALLBACK_SOURCES if source not in NOT_RESIDENT], environ, flags, None
    )


def _with_own_sources(
    own: Mapping[str, Value],
    config: Config,
    environ: Mapping[str, str],
    flags: Mapping[str, str],
    path: str,
) -> Config:
    """The configuration of one of several workspaces, with the local sources that its own file
    has: a token of the common environment would be everybody's."""
    kept = [source for source in config.fallback if source in own or f"{source}_FILE" in own]
    if FALLBACK in own:
        kept += [source for source in config.fallback if source in NOT_RESIDENT]
    return _with_sources(kept, environ, flags, path)


def _with_sources(
    sources: list[str], environ: Mapping[str, str], flags: Mapping[str, str], own_file: str | None
) -> Config:
    return load(environ, {**flags, FALLBACK: ",".join(sources) or "off"}, own_file=own_file)


def _ca_file(path: str) -> str | None:
    """The file of authorities that the workspace file at `path` names."""
    try:
        value = file_layer(path, is_named=True).get(PREFIX + "CA_FILE")
    except ConfigError:
        return None  # the file itself is watched
    return value.text if value else None


def _configured(base: Config, directory: str) -> list[str]:
    try:
        return _listed(directory)
    except OSError as error:
        value = base.value(DIRECTORY)
        raise ConfigError(
            f"{value.origin if value else DIRECTORY}: {directory}: {error.strerror}",
            hint=f"have it name a directory of NAME{_ENDING} files that the sidecar can read",
        ) from error


def _listed(directory: str) -> list[str]:
    names = os.listdir(directory)
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
