"""Tokens out of the cache, else minted once for everybody who asks, on however many replicas."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import msgspec

from git_credential_relay.broker.audit.event import AuditEvent
from git_credential_relay.broker.buckets import Buckets
from git_credential_relay.broker.cache.interface import TokenCache
from git_credential_relay.broker.errors import (
    ForgeRefusedError,
    ForgeUnavailableError,
    StoreError,
    TooManyRequestsError,
)
from git_credential_relay.broker.vend.flight import SingleFlight
from git_credential_relay.broker.vend.interface import Vended
from git_credential_relay.broker.vend.mint import MINT_SECONDS, Minter
from git_credential_relay.broker.vend.order import MAX_MIN_LIFETIME, Entry, Order, entry_of, vended
from git_credential_relay.secret import Secret

# A refusal this soon after the mint is the forge's copies lagging behind, more likely than not.
LAG_SECONDS = 5.0
# A token without an end is one that a person changes; the change must arrive.
ENDLESS_SECONDS = 60.0
# The least life with which a token is better than none while the forge cannot mint.
LAST_RESORT_SECONDS = 30.0
POLL_SECONDS = 0.05

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Entry).decode


class CachedVending:
    """Answers orders from the cache where it can.

    Knows no permission to ask about: whoever calls has authorised the order. `mints` are those
    that a workspace may cause: with `no-cache`, or one name after the other, it could otherwise
    use up what the forge allows the App of all workspaces.
    """

    def __init__(
        self,
        cache: TokenCache,
        minter: Minter,
        mints: Buckets,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._cache = cache
        self._minter = minter
        self._mints = mints
        self._now = now
        self._flight: SingleFlight[tuple[Entry, bool]] = SingleFlight()

    async def vend(self, order: Order, event: AuditEvent) -> Vended:
        """A token for the order. Raises ForgeError, TooManyRequestsError and StoreError."""
        entry = await self._read(order.key)
        if entry is not None and await self._is_good(entry, order):
            event.cache = "hit"
            return vended(order, entry)
        since = self._now()
        try:
            (fresh, is_own), has_joined = await self._flight.run(
                order.key,
                lambda: self._mint_as_one(order, lambda e: self._is_good(e, order), since),
            )
        except (ForgeUnavailableError, StoreError, TooManyRequestsError) as error:
            if entry is None or not self._is_last_resort(entry, order):
                raise
            event.cache, event.reason = "stale", error.code
            return vended(order, entry)
        event.cache = "joined" if has_joined or not is_own else "miss"
        return vended(order, fresh)

    async def renew(self, order: Order, seconds_left: float) -> Entry | None:
        """Mint ahead where the order's token has less than `seconds_left`; None where not."""

        async def lives_on(entry: Entry) -> bool:
            # Or a forge of short lives would be asked for a new one all the time.
            half = entry.seconds_left(entry.minted_at) / 2
            return entry.seconds_left(self._now()) > min(seconds_left, half)

        entry = await self._read(order.key)
        if entry is None or await lives_on(entry):
            return None
        (fresh, is_own), has_joined = await self._flight.run(
            order.key, lambda: self._mint_as_one(order, lives_on, self._now())
        )
        return fresh if is_own and not has_joined else None

    async def drain(self) -> None:
        """Wait for the mints under way."""
        await self._flight.drain()

    async def _read(self, key: str) -> Entry | None:
        raw = await self._cache.get(key)
        if raw is None:
            return None
        try:
            return _decode(raw)
        except msgspec.MsgspecError:
            return None  # written by another version: as good as none

    async def _is_good(self, entry: Entry, order: Order) -> bool:
        now = self._now()
        if entry.seconds_left(now) < min(order.min_lifetime, MAX_MIN_LIFETIME):
            return False
        is_young = now - entry.minted_at < LAG_SECONDS
        if order.rejected_sha256 is not None:
            # Another token than the refused one is what that refusal has brought about already:
            # each refused token makes for one mint, whoever and however many report it.
            if entry.token_sha256 != order.rejected_sha256:
                return True
            return is_young and await order.source.is_accepted(Secret(entry.token), order.scope)
        return is_young or not order.no_cache

    def _is_last_resort(self, entry: Entry, order: Order) -> bool:
        is_refused = entry.token_sha256 == order.rejected_sha256
        return not is_refused and entry.seconds_left(self._now()) > LAST_RESORT_SECONDS

    async def _mint_as_one(
        self, order: Order, is_good: Callable[[Entry], Awaitable[bool]], since: float
    ) -> tuple[Entry, bool]:
        """A token minted here (True), or by another replica or flight meanwhile (False).

        One that was minted after `since` is as fresh as any that we could mint, however short
        the lives are that the forge gives.
        """
        give_up_at = time.monotonic() + MINT_SECONDS
        lead = None
        try:
            while True:
                lead = lead or await self._cache.lead(order.key, MINT_SECONDS + 1)
                entry = await self._read(order.key)
                if entry is not None and (entry.minted_at >= since or await is_good(entry)):
                    return entry, False
                if lead is not None or time.monotonic() > give_up_at:
                    return await self._mint(order), True
                # The other replica's token comes, or its failure, which leaves the lead to us.
                await asyncio.sleep(POLL_SECONDS)
        finally:
            if lead is not None:
                await lead.release()

    async def _mint(self, order: Order) -> Entry:
        if (wait := self._mints.take(order.workspace.id)) is not None:
            raise TooManyRequestsError(
                "this workspace asks for new tokens too often",
                hint="see why the ones it has are not used again",
                retry_after=wait,
            )
        if order.rejected_sha256 is not None:
            await order.source.reject(order.rejected_sha256)
        minted = await self._minter.mint(order)
        now = self._now()
        entry = entry_of(minted, now)
        if entry.token_sha256 == order.rejected_sha256 and not await order.source.is_accepted(
            minted.token, order.scope
        ):
            raise ForgeRefusedError(
                "the forge refuses the token that the broker holds for it",
                code="FORGE_TOKEN_REJECTED",
                hint="renew the token of this integration",
            )
        seconds = min(entry.seconds_left(now), ENDLESS_SECONDS if entry.expires_at is None else 1e9)
        if seconds > 0:
            await self._cache.put(order.key, _encode(entry), seconds)
        return entry
