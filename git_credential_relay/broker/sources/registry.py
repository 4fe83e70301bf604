"""All token sources of a configuration, and which of them mints for a grant."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Mapping

import msgspec

from git_credential_relay.broker.config.load import BrokerConfig, ForgeEntry
from git_credential_relay.broker.config.model import (
    ForgejoModel,
    GitHubModel,
    GitLabModel,
    StaticModel,
)
from git_credential_relay.broker.policy import Allowed
from git_credential_relay.broker.sources.forgejo.source import forgejo_source
from git_credential_relay.broker.sources.github_app.source import github_app_source
from git_credential_relay.broker.sources.gitlab.source import gitlab_source
from git_credential_relay.broker.sources.hooks import SourceHooks
from git_credential_relay.broker.sources.interface import TokenSource
from git_credential_relay.broker.sources.static import lent_source, static_source
from git_credential_relay.broker.store.store import Store
from git_credential_relay.credential.forge import Forge
from git_credential_relay.errors import ConfigError

MakeSource = Callable[[ForgeEntry, BrokerConfig, Store | None, SourceHooks], TokenSource]

FACTORIES: Mapping[type, MakeSource] = {
    GitHubModel: github_app_source,
    GitLabModel: gitlab_source,
    ForgejoModel: forgejo_source,
    StaticModel: static_source,
}


class Sources:
    """One source for each `[[forge]]`. Does not change: a reload makes another one."""

    def __init__(
        self,
        entries: Iterable[tuple[ForgeEntry, str, TokenSource]],
        store: Store | None,
        hooks: SourceHooks,
    ) -> None:
        self._entries = {entry.name: (entry, mark, source) for entry, mark, source in entries}
        self._store = store
        self._hooks = hooks

    def for_grant(self, forge: Forge, owner: str, integration: str | None) -> TokenSource | None:
        """The source for repositories of `owner`: the one a grant names, else the closest.

        One that names its owners comes before one for everybody. None where nobody mints.
        """
        serving = [
            (entry, source)
            for entry, _, source in self._entries.values()
            # By the host too where the name is given: a token goes to no other forge.
            if _is_same(entry.forge, forge)
            and integration in (None, entry.name)
            and entry.serves(owner)
        ]
        serving.sort(key=lambda pair: pair[0].model.owners is None)
        return serving[0][1] if serving else None

    def for_allowed(self, allowed: Allowed) -> TokenSource | None:
        """The source for what a policy allowed; the grant's own token comes first."""
        if allowed.token is not None:
            return lent_source(allowed, self._hooks)
        owners = {repository.owner for repository in allowed.scope.repositories}
        found = [self.for_grant(allowed.forge, owner, allowed.integration) for owner in owners]
        return found[0] if len(found) == 1 else None

    def by_name(self, name: str) -> TokenSource | None:
        """The source of this name, if it is still configured."""
        found = self._entries.get(name)
        return found[2] if found else None

    def all(self) -> tuple[TokenSource, ...]:
        """Every source, in the configuration's order."""
        return tuple(source for _, _, source in self._entries.values())

    def updated(self, config: BrokerConfig) -> Sources:
        """The sources of a new configuration; those whose settings and files are as before stay.

        Close the ones that were replaced with `aclose(kept_by=…)`, when nobody uses them any
        more. Raises ConfigError, and then nothing has changed.
        """
        return _build(config, self._store, self._hooks, self._entries)

    async def aclose(self, kept_by: Sources | None = None) -> None:
        """Close the connections, but for those that `kept_by` goes on to use."""
        kept = kept_by.all() if kept_by else ()
        closing = [source.aclose() for source in self.all() if source not in kept]
        await asyncio.gather(*closing, return_exceptions=True)


def build_sources(
    config: BrokerConfig, store: Store | None, hooks: SourceHooks | None = None
) -> Sources:
    """One source for each `[[forge]]`. Raises ConfigError for a key or secret that is none."""
    return _build(config, store, hooks or SourceHooks(), {})


def _build(
    config: BrokerConfig,
    store: Store | None,
    hooks: SourceHooks,
    known: Mapping[str, tuple[ForgeEntry, str, TokenSource]],
) -> Sources:
    entries = []
    for entry in config.forges:
        mark = _mark(entry, config)
        before = known.get(entry.name)
        if before is not None and before[1] == mark:
            source = before[2]
        else:
            source = FACTORIES[type(entry.model)](entry, config, store, hooks)
        entries.append((entry, mark, source))
    return Sources(entries, store, hooks)


def _mark(entry: ForgeEntry, config: BrokerConfig) -> str:
    """Differs when a source has to be made anew: other settings, or another key in a file."""
    settings = msgspec.to_builtins(entry.model)
    parts = [
        msgspec.json.encode(settings),
        str(config.path.parent).encode(),
        entry.api_url.encode(),
    ]
    parts += [_content(config, reference) for reference in _files(settings)]
    return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def _files(settings: Mapping[str, object]) -> list[str]:
    found = []
    for name, value in sorted(settings.items()):
        if name.endswith("_file") and isinstance(value, str):
            found.append(value)
        elif isinstance(value, dict):
            found += _files(value)
    return found


def _content(config: BrokerConfig, reference: str) -> bytes:
    try:
        return config.read_secret(reference).reveal().encode()
    except ConfigError:
        return b""  # the source itself says what is wrong with it


def _is_same(one: Forge, other: Forge) -> bool:
    return (one.kind, one.url) == (other.kind, other.url)
