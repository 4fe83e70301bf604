"""Mints ahead for what is asked for, so that nobody waits for the forge when a token runs out."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from git_credential_relay.broker.audit.event import AuditEvent
from git_credential_relay.broker.errors import BrokerError
from git_credential_relay.broker.sources.interface import TokenSource
from git_credential_relay.broker.vend.audited import AuditWriter
from git_credential_relay.broker.vend.authorised import Directory
from git_credential_relay.broker.vend.cached import CachedVending
from git_credential_relay.broker.vend.order import MAX_MIN_LIFETIME, Order

ASKED_WITHIN_SECONDS = 3600.0
# Ahead of the moment from which a token is not handed out any more.
MARGIN_SECONDS = 300.0
INTERVAL_SECONDS = 20.0
AT_ONCE = 4
MAX_ORDERS = 100_000

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Asked:
    order: Order
    at: float


class RefreshAhead:
    """Remembers the orders of the last hour and renews their tokens in the background.

    Authorises again each time: what a workspace may not have any more is not renewed.
    `is_current` tells a source from one that an edited configuration has replaced.
    """

    def __init__(
        self,
        directory: Directory,
        cached: CachedVending,
        audit: AuditWriter,
        *,
        now: Callable[[], float] = time.time,
        is_current: Callable[[TokenSource], bool] = lambda source: True,
    ) -> None:
        self._directory = directory
        self._cached = cached
        self._audit = audit
        self._now = now
        self._is_current = is_current
        self._asked: dict[str, _Asked] = {}

    def asked(self, order: Order) -> None:
        """Somebody has asked for this just now."""
        if not order.source.refreshes_ahead:
            return
        known = self._asked.get(order.key)
        if known is not None and known.order.source is order.source:
            known.at = self._now()
        elif known is not None or len(self._asked) < MAX_ORDERS:
            plain = replace(order, no_cache=False, rejected_sha256=None)
            self._asked[order.key] = _Asked(plain, self._now())

    async def run(self) -> None:
        """Renew until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            await self.run_once()

    async def run_once(self) -> int:
        """Renew what is due; how many tokens were minted."""
        oldest = self._now() - ASKED_WITHIN_SECONDS
        for key in [key for key, asked in self._asked.items() if asked.at < oldest]:
            del self._asked[key]
        gate = asyncio.Semaphore(AT_ONCE)

        async def renew(order: Order) -> bool:
            async with gate:
                return await self._renew(order)

        renewed = await asyncio.gather(*(renew(asked.order) for asked in self._asked.values()))
        return sum(renewed)

    async def _renew(self, order: Order) -> bool:
        try:
            if not self._is_current(order.source) or not await self._is_allowed(order):
                self._asked.pop(order.key, None)
                return False
            started = time.perf_counter()
            minimum = min(order.min_lifetime, MAX_MIN_LIFETIME)
            fresh = await self._cached.renew(order, minimum + MARGIN_SECONDS)
            if fresh is None:
                return False
            self._audit.write(
                AuditEvent(
                    at=self._now(),
                    request_id="",
                    kind="refresh",
                    verdict="vended",
                    code=None,
                    workspace=order.workspace.id,
                    host=order.forge.host,
                    repositories=list(fresh.repositories),
                    use=order.scope.use,
                    permissions_asked=order.scope.permissions,
                    permissions_given=fresh.permissions,
                    source=order.source.name,
                    token_sha256=fresh.token_sha256,
                    expires_at=fresh.expires_at,
                    ms=round((time.perf_counter() - started) * 1000, 2),
                )
            )
        except BrokerError as error:
            # The next asker mints, and is told what is wrong.
            _log.warning("not renewed: %s", error.code, extra={"source": order.source.name})
            return False
        except Exception as error:  # noqa: BLE001 - the other tokens run out all the same
            # Not its text: nobody knows what is in it.
            _log.error("not renewed: %s", type(error).__name__, extra={"source": order.source.name})
            return False
        return True

    async def _is_allowed(self, order: Order) -> bool:
        workspace = await self._directory.find(order.workspace.id)
        return workspace is not None and workspace.is_same_as(order.workspace)
