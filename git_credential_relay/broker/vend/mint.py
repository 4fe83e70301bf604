"""The innermost layer: mints at the source, checks what came, and keeps the lease's record."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from git_credential_relay.broker.errors import (
    BrokerError,
    ForgeRefusedError,
    ForgeUnavailableError,
)
from git_credential_relay.broker.policy import is_within
from git_credential_relay.broker.sources.interface import Lease, Minted, Scope, TokenSource
from git_credential_relay.broker.vend.order import Order
from git_credential_relay.secret import Secret, token_sha256

# The helper gives one attempt 8 seconds: an answer later than this finds nobody waiting.
MINT_SECONDS = 6.5
# How long a forge's copies may take to learn of a new token, and how often they are asked.
FIRST_LOOK_SECONDS = 0.2
UNRESTRICTED = "unrestricted"
# There was a token, and its deletion may have failed.
SCOPE_MISMATCH = "FORGE_SCOPE_MISMATCH"


class Leases(Protocol):
    """The record of what has been minted, of which the store is one."""

    async def add_lease(self, lease: Lease) -> None:
        """Record a lease, before its token is minted or after."""
        ...

    async def finish_lease(
        self,
        lease_id: str,
        handle: str,
        token: Secret | None,
        expires_at: int,
        token_sha256: str,
    ) -> None:
        """Complete the record with what the forge gave."""
        ...

    async def end_lease(self, id: str) -> None:
        """Forget a lease that has no token."""
        ...


class Minter:
    """Mints for orders; every token that is ours is on record before it is handed out."""

    def __init__(
        self,
        leases: Leases,
        *,
        now: Callable[[], float] = time.time,
        on_minted: Callable[[str, float], None] = lambda source, seconds: None,
        seconds: float = MINT_SECONDS,
    ) -> None:
        self._leases = leases
        self._now = now
        self._on_minted = on_minted
        self._seconds = seconds

    async def mint(self, order: Order) -> Minted:
        """A new token for the order's scope.

        Raises ForgeError, StoreError. Whatever does not get out of here alive is revoked.
        """
        source, now = order.source, self._now()
        deadline = time.monotonic() + self._seconds
        first = order.scope.repositories[0]
        lease = Lease(
            secrets.token_hex(8),
            order.workspace.id,
            source.name,
            int(now) + source.lease_seconds(now),
            location=str(first.id or first.name),
        )
        if source.needs_lease_first:
            # A broker that dies in the middle still finds the token by the lease's name.
            await self._leases.add_lease(lease)
        started = time.perf_counter()
        try:
            minted = await source.mint(order.scope, lease, deadline)
        except ForgeRefusedError as error:
            if source.needs_lease_first and error.code != SCOPE_MISMATCH:
                # A clear no: there is no token to look for. After anything else the reaper does.
                await self._leases.end_lease(lease.id)
            raise
        self._on_minted(source.name, time.perf_counter() - started)
        try:
            _check(minted, order.scope)
            await asyncio.gather(
                self._record(source, lease, minted),
                _wait_until_accepted(source, minted, order.scope, deadline),
            )
        except BaseException:
            await self._revoke(source, lease, minted)
            raise
        return minted

    async def _record(self, source: TokenSource, lease: Lease, minted: Minted) -> None:
        if not minted.is_ours:
            return
        expires_at = lease.expires_at if minted.expires_at is None else minted.expires_at
        sha256 = token_sha256(minted.token)
        if source.needs_lease_first:
            await self._leases.finish_lease(
                lease.id, minted.handle, minted.token, expires_at, sha256
            )
            return
        await self._leases.add_lease(
            replace(
                lease,
                expires_at=expires_at,
                handle=minted.handle,
                token=minted.token,
                token_sha256=sha256,
            )
        )

    async def _revoke(self, source: TokenSource, lease: Lease, minted: Minted) -> None:
        if minted.is_ours:
            # What cannot be revoked now the reaper finds by its lease, or expires by itself.
            with contextlib.suppress(BrokerError):
                await source.revoke(replace(lease, handle=minted.handle, token=minted.token))


def _check(minted: Minted, scope: Scope) -> None:
    """Fail closed: the source has checked its forge's answer, and this checks the source."""
    asked = {repository.name.lower() for repository in scope.repositories}
    has_ids = all(repository.id is not None for repository in scope.repositories)
    given = {name.lower() for name in minted.repositories}
    is_known = (given <= asked) or (has_ids and len(given) == len(asked))
    if not given and minted.token_type != UNRESTRICTED:
        is_known = False
    if not is_known or not is_within(minted.permissions, scope.permissions):
        raise ForgeRefusedError(
            "the forge gave a token for more than was asked; it has been revoked",
            code=SCOPE_MISMATCH,
            hint="check the integration's settings at the forge",
            reason=f"repositories {sorted(given)[:20]}, permissions {dict(minted.permissions)}",
        )


async def _wait_until_accepted(
    source: TokenSource, minted: Minted, scope: Scope, deadline: float
) -> None:
    """Return once the forge takes the token: one minted a moment ago may be unknown to a copy."""
    if not source.verifies_fresh:
        return
    pause = FIRST_LOOK_SECONDS
    while not await source.is_accepted(minted.token, scope):
        if time.monotonic() + pause > deadline:
            raise ForgeUnavailableError(
                "the forge does not accept the token it has just issued",
                code="FORGE_TOKEN_NOT_ACCEPTED",
                retry_after=2,
            )
        await asyncio.sleep(pause)
        pause *= 2
