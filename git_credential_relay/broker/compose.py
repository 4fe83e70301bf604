"""The composition root: makes a running broker of a configuration, and ends it again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path

from git_credential_relay.broker.audit.file import AuditLog
from git_credential_relay.broker.audit.sinks import open_sinks
from git_credential_relay.broker.buckets import Buckets
from git_credential_relay.broker.cache.choose import open_cache
from git_credential_relay.broker.config.load import BrokerConfig
from git_credential_relay.broker.config.watch import ConfigWatch
from git_credential_relay.broker.errors import BrokerError
from git_credential_relay.broker.identity.admin import AdminGate
from git_credential_relay.broker.identity.guesses import Guesses
from git_credential_relay.broker.identity.identify import Identifier
from git_credential_relay.broker.identity.issuers import compile_issuers
from git_credential_relay.broker.identity.tokens import TokenVerifier
from git_credential_relay.broker.metrics import Metrics
from git_credential_relay.broker.reaper import Reaper
from git_credential_relay.broker.sources.hooks import SourceHooks
from git_credential_relay.broker.sources.registry import Sources, build_sources
from git_credential_relay.broker.store.cipher import load_cipher
from git_credential_relay.broker.store.engine import resolve_database_url
from git_credential_relay.broker.store.store import Store
from git_credential_relay.broker.vend.audited import AuditedVending
from git_credential_relay.broker.vend.authorised import AuthorisedVending
from git_credential_relay.broker.vend.cached import CachedVending
from git_credential_relay.broker.vend.interface import Answer, Query
from git_credential_relay.broker.vend.mint import Minter
from git_credential_relay.broker.vend.refresh import RefreshAhead
from git_credential_relay.broker.workspaces.directory import WorkspaceDirectory
from git_credential_relay.broker.workspaces.operations import Workspaces

OK = "ok"
_EDIT_REFUSED = "the newest edit does not count, the last good one is in force: see the log"

_log = logging.getLogger(__name__)


class Broker:
    """All that one broker process has.

    Built, it has checked its configuration and opened its files and its database; raises
    ConfigError, MissingExtraError and StoreError. `start` begins what runs in the background,
    `stop` ends it once no request is under way.
    """

    def __init__(
        self,
        path: Path,
        *,
        cache_url: str | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.watch = ConfigWatch(path)
        config = self.config = self.watch.newest
        model = config.model
        self.metrics = Metrics()
        self._now = now
        self._hooks = SourceHooks(
            now=now, on_rate_limit=self.metrics.rate_limit, on_retry=self.metrics.retried
        )
        cipher = load_cipher(config)
        cache_url = cache_url or model.cache_url
        self.cache = open_cache(cache_url and config.read_url(cache_url), cipher)
        self.metrics.watch_cache(self.cache.size, lambda: self.cache.last_trouble)
        self.verifier = TokenVerifier(compile_issuers(model.issuer, config.resolve))
        session_secret = (
            None
            if model.session_secret_file is None
            else config.read_secret(model.session_secret_file)
        )
        self.admin_gate = AdminGate(config, self.verifier, now, self.watch.current)
        with contextlib.ExitStack() as opened:
            self.audit = AuditLog(
                config.resolve(model.audit_file),
                max_bytes=model.audit_max_bytes,
                keep=model.audit_keep,
                sinks=open_sinks(model.audit_sinks),
            )
            opened.callback(self.audit.close)
            self.store = Store.open(resolve_database_url(config), cipher)
            opened.callback(self.store.close)
            self.sources = build_sources(config, self.store, self._hooks)
            opened.pop_all()
        self.watch.on_change(self._take)
        self.directory = WorkspaceDirectory(self.watch, self.store)
        self.reaper = Reaper(self.store, lambda: self.sources, now)
        self.workspaces = Workspaces(
            self.watch,
            self.directory,
            self.store,
            lambda: self.sources,
            self.reaper.revoke_workspace,
            now=now,
        )
        self._cached = CachedVending(
            self.cache,
            Minter(self.store, now=now, on_minted=self.metrics.minted),
            Buckets(model.limits.workspace_mints_per_minute),
            now=now,
        )
        self._refresh = RefreshAhead(
            self.directory,
            self._cached,
            self.audit,
            now=now,
            is_current=lambda source: self.sources.by_name(source.name) is source,
        )
        authorised = AuthorisedVending(
            self.directory,
            Identifier(self.verifier, session_secret, now),
            Buckets(model.limits.workspace_requests_per_minute),
            Guesses(),
            lambda allowed: self.sources.for_allowed(allowed),
            self._cached.vend,
            min_lifetime=model.min_lifetime,
            on_order=self._refresh.asked,
            on_too_late=self.reaper.revoke_workspace,
        )
        self._audited = AuditedVending(
            self.audit, authorised.vend, now=now, on_vend=self.metrics.vended
        )
        self._background: list[asyncio.Task[None]] = []
        self._closing: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()

    async def start(self) -> None:
        """Begin to reap and to refresh ahead; needs a running loop."""
        self._background = [
            asyncio.ensure_future(self.reaper.run()),
            asyncio.ensure_future(self._refresh.run()),
        ]

    async def stop(self) -> None:
        """Finish the mints under way, and close everything."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._cached.drain()
        self._stopping.set()
        await asyncio.gather(*self._closing, return_exceptions=True)
        await self.sources.aclose()
        await self.verifier.aclose()
        await self.cache.aclose()
        self.store.close()
        self.audit.close()

    async def vend(self, query: Query) -> Answer:
        """The answer to one request for a token, on record. Raises BrokerError."""
        return await self._audited.vend(query)

    def reload(self) -> str | None:
        """Take the configuration anew (SIGHUP); why it was not taken, if so."""
        return self.watch.reload()

    async def readiness(self) -> dict[str, str]:
        """Each part by name: `ok`, or what keeps it from working.

        Not all of them keep the broker from vending; see the probe.
        """
        await self.cache.ping()
        parts = {
            # Everybody may read this, and a mistake is told with the names it is about.
            "configuration": _EDIT_REFUSED if self.directory.trouble else OK,
            "audit": self.audit.trouble or OK,
            "cache": self.cache.last_trouble or OK,
        }
        try:
            await self.store.ping()
            parts["database"] = OK
        except BrokerError as error:
            parts["database"] = error.message
        return parts

    async def _close(self, former: Sources, kept_by: Sources) -> None:
        """Close the sources that were replaced, once no request can be using them any more."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.config.model.limits.request_seconds):
                await self._stopping.wait()
        await former.aclose(kept_by)

    def _take(self, config: BrokerConfig) -> None:
        """Make the sources that an edited configuration names; the others go on.

        What else it says (address, database, limits, issuers) needs a restart.
        """
        self.admin_gate.take(config)
        former, self.sources = self.sources, self.sources.updated(config)
        task = asyncio.ensure_future(self._close(former, kept_by=self.sources))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        former_model, model = self.config.model, config.model
        if any(
            getattr(former_model, name) != getattr(model, name)
            for name in model.__struct_fields__
            if name not in ("admin", "forge", "workspace")
        ):
            _log.warning("some of the edited settings need a restart of the broker")
        self.config = config
