"""Ends tokens whose time is over, and those of a workspace that is deleted.

Some forges let a token live for ever: what is not deleted here stays. Replicas do the same work
at the same time, which is harmless: a token that is gone already is no error.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from git_credential_relay.broker.errors import BrokerError, ForgeUnavailableError
from git_credential_relay.broker.sources.interface import Lease, TokenSource

INTERVAL_SECONDS = 60.0
BATCH = 200
MAX_LEASES = 100_000
AT_ONCE = 8  # per forge
FIRST_WAIT_SECONDS = 30.0
MAX_WAIT_SECONDS = 3600.0

_log = logging.getLogger(__name__)


class LeaseRecords(Protocol):
    """The leases on record, as the store has them."""

    async def due_leases(self, now: int, limit: int) -> list[Lease]:
        """Up to `limit` leases whose time is over, the oldest first."""
        ...

    async def leases_of(self, workspace_id: str) -> list[Lease]:
        """All leases of a workspace."""
        ...

    async def end_lease(self, id: str) -> None:
        """Forget a lease whose token is no more."""
        ...


class KnownSources(Protocol):
    """The sources as they are configured now."""

    def by_name(self, name: str) -> TokenSource | None:
        """The source of this name, if there is one."""
        ...

    def all(self) -> Iterable[TokenSource]:
        """Every source."""
        ...


@dataclass(slots=True)
class _Waits:
    """Until when something that failed is left alone; each failure doubles the wait.

    What fails while it waits was asked at the same time as what began the wait, and is no other.
    """

    _until: dict[str, tuple[float, int]] = field(default_factory=dict)

    def is_over(self, key: str, now: float) -> bool:
        return key not in self._until or self._until[key][0] <= now

    def failed(self, key: str, now: float, at_least: float = 0.0) -> None:
        until, failures = self._until.get(key, (0.0, 0))
        seconds = min(at_least, MAX_WAIT_SECONDS)
        if until <= now:
            seconds = max(seconds, FIRST_WAIT_SECONDS * 2 ** min(failures, 10))
            failures += 1
        self._until[key] = (max(until, now + min(seconds, MAX_WAIT_SECONDS)), failures)

    def succeeded(self, key: str) -> None:
        self._until.pop(key, None)

    def prune(self, now: float) -> None:
        # What was not tried again since its wait was over, another replica has ended.
        self._until = {k: v for k, v in self._until.items() if v[0] > now - MAX_WAIT_SECONDS}


class Reaper:
    """Looks after leases at their end. `sources` gives those of the configuration of now."""

    def __init__(
        self,
        records: LeaseRecords,
        sources: Callable[[], KnownSources],
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._records = records
        self._sources = sources
        self._now = now
        self._sleep = sleep
        self._forge_waits = _Waits()
        self._lease_waits = _Waits()
        self._owed: dict[str, Lease] = {}  # of deleted workspaces, not due yet

    async def run(self, interval: float = INTERVAL_SECONDS) -> None:
        """Do it at once and then every `interval` seconds, until cancelled. Survives errors."""
        while True:
            try:
                await self.run_once()
            except Exception as error:  # noqa: BLE001 - tokens must end whatever went wrong before
                _warn("leases cannot be ended now", error)
            await self._sleep(interval)

    async def run_once(self) -> int:
        """End what is due and can be ended now; how many tokens that were.

        Raises StoreError. What a forge does not let us end waits, the longer the more often.
        """
        ended = 0
        self._lease_waits.prune(self._now())
        ended += await self._end_all(self._ready(self._owed.values()))
        while leases := await self._find_ready():
            ended += await self._end_all(leases)
        for source in self._sources().all():
            ended += await self._reap(source)
        return ended

    async def revoke_workspace(self, workspace_id: str) -> tuple[int, int]:
        """Revoke every living token of a workspace; how many were revoked, and how many not.

        Those that were not are tried again by the next runs. Raises StoreError.
        """
        leases = await self._records.leases_of(workspace_id)
        revoked = 0
        for some in _in_parts(leases):
            revoked += sum(
                await asyncio.gather(*(self._end(lease, is_owed=True) for lease in some))
            )
        return revoked, len(leases) - revoked

    async def _find_ready(self) -> list[Lease]:
        """Leases to be ended now: behind any number of those that have to wait."""
        limit = BATCH
        while True:
            due = await self._records.due_leases(int(self._now()), limit)
            ready = self._ready(due)
            if ready or len(due) < limit or limit >= MAX_LEASES:
                return ready
            limit *= 4

    def _ready(self, leases: Iterable[Lease]) -> list[Lease]:
        now = self._now()
        return [
            lease
            for lease in leases
            if self._lease_waits.is_over(lease.id, now)
            and self._forge_waits.is_over(lease.source, now)
        ]

    async def _end_all(self, leases: list[Lease]) -> int:
        by_source: dict[str, list[Lease]] = {}
        for lease in leases:
            by_source.setdefault(lease.source, []).append(lease)
        return sum(await asyncio.gather(*(self._end_some(some) for some in by_source.values())))

    async def _end_some(self, leases: list[Lease]) -> int:
        """End leases of one source, which is left alone once it is in trouble."""
        ended = 0
        for some in _in_parts(leases):
            if not self._forge_waits.is_over(leases[0].source, self._now()):
                break
            ended += sum(await asyncio.gather(*(self._end(lease) for lease in some)))
        return ended

    async def _end(self, lease: Lease, is_owed: bool = False) -> bool:
        """Revoke the token of a lease and forget it. False where it has to be tried again.

        `is_owed`: that is before the lease's own end.
        """
        if is_owed:
            self._owed[lease.id] = lease
        source = self._sources().by_name(lease.source)
        now = self._now()
        if source is None:
            _log.error(
                "the token of lease %s lives on: no forge is called %s any more",
                lease.id,
                lease.source,
            )
            self._lease_waits.failed(lease.id, now, MAX_WAIT_SECONDS)
            return False
        try:
            # A token that expires by itself is gone by now.
            if source.needs_lease_first or lease.expires_at > now:
                await source.revoke(lease)
        except Exception as error:  # noqa: BLE001 - one lease must not keep the others alive
            self._keep(lease, error)
            return False
        await self._records.end_lease(lease.id)
        self._lease_waits.succeeded(lease.id)
        self._forge_waits.succeeded(lease.source)
        self._owed.pop(lease.id, None)
        return True

    def _keep(self, lease: Lease, error: Exception) -> None:
        _warn(f"the token of lease {lease.id} at {lease.source} cannot be revoked now", error)
        now = self._now()
        self._lease_waits.failed(lease.id, now)
        if isinstance(error, ForgeUnavailableError):
            self._forge_waits.failed(lease.source, now, error.retry_after or 0.0)

    async def _reap(self, source: TokenSource) -> int:
        """Delete what the forge still has of ours, and no lease tells of."""
        key = f"reap {source.name}"
        now = self._now()
        if not self._forge_waits.is_over(key, now):
            return 0
        try:
            ended = await source.reap(now)
        except Exception as error:  # noqa: BLE001 - one forge must not keep the others' alive
            _warn(f"old tokens at {source.name} cannot be looked for now", error)
            after = error.retry_after if isinstance(error, BrokerError) else None
            self._forge_waits.failed(key, now, after or 0.0)
            return 0
        self._forge_waits.succeeded(key)
        if ended:
            _log.info("deleted %d tokens at %s that no lease told of", ended, source.name)
        return ended


def _in_parts(leases: list[Lease]) -> Iterable[list[Lease]]:
    return (leases[start : start + AT_ONCE] for start in range(0, len(leases), AT_ONCE))


def _warn(what: str, error: Exception) -> None:
    # Not the text of an unexpected error: nobody knows what is in it.
    if isinstance(error, BrokerError):
        _log.warning("%s: %s (%s)", what, error.message, error.code)
    else:
        _log.error("%s: %s", what, type(error).__name__)
