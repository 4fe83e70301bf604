"""How much anybody may ask of the broker: requests per minute, body, time, concurrency.

Buckets are for the vending chain as well, which counts by authenticated workspace: counted by
the workspace that a caller merely names, anybody could use up what belongs to another.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from git_credential_relay.broker.addresses import Network, bucket_key, client_address
from git_credential_relay.broker.config.model import LimitsModel
from git_credential_relay.broker.errors import TooManyRequestsError
from git_credential_relay.broker.http_errors import (
    BodyTooLargeError,
    OverloadedError,
    TimedOutError,
)
from git_credential_relay.broker.routes.context import ADDRESS

MAX_KEYS = 100_000
PROBES = frozenset({"/healthz", "/readyz"})
BODILESS = frozenset({"GET", "HEAD"})


class Buckets:
    """Token buckets, one per key: `per_minute` requests at once, refilled evenly.

    `now` is any clock in seconds that never goes back. At most `max_keys` are remembered; the
    one that was used longest ago gives way, so that made-up keys cannot fill the memory.
    """

    def __init__(
        self,
        per_minute: int,
        *,
        now: Callable[[], float] = time.monotonic,
        max_keys: int = MAX_KEYS,
    ) -> None:
        self._interval = 60.0 / per_minute
        self._slack = (per_minute - 1) * self._interval
        self._now = now
        self._max_keys = max_keys
        # When the key's bucket is full again; the least recently used key is the first.
        self._full_at: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: str) -> float | None:
        """Take one from the key's bucket; seconds until there is one, where it is empty."""
        now = self._now()
        full_at = max(self._full_at.pop(key, now), now)
        wait = full_at - now - self._slack
        is_empty = wait > self._interval * 1e-6  # else it is the arithmetic's own rounding
        self._full_at[key] = full_at if is_empty else full_at + self._interval
        if len(self._full_at) > self._max_keys:
            del self._full_at[next(iter(self._full_at))]
        return wait if is_empty else None

    def owed(self, key: str) -> float | None:
        """Seconds until the key's bucket has one again; None where it has. Takes nothing."""
        full_at = self._full_at.get(key)
        if full_at is None:
            return None
        wait = full_at - self._now() - self._slack
        return wait if wait > self._interval * 1e-6 else None


class Limits:
    """Bounds what requests cost, as ASGI around the routes. Refuses by raising BrokerError.

    Leaves the client's address in the scope for those inside. Health probes pass: an overloaded
    broker must not be taken for a dead one and be killed.
    """

    def __init__(
        self,
        inner: ASGIApp,
        model: LimitsModel,
        trusted: Sequence[Network],
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner = inner
        self._model = model
        self._trusted = tuple(trusted)
        self._addresses = Buckets(model.address_requests_per_minute, now=now)
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, within its limits."""
        if scope["path"] in PROBES:
            await self._inner(scope, receive, send)
            return
        address = scope[ADDRESS] = client_address(scope, self._trusted)
        if (wait := self._addresses.take(bucket_key(address))) is not None:
            raise TooManyRequestsError("too many requests from this address", retry_after=wait)
        if self.in_flight >= self._model.concurrent_requests:
            raise OverloadedError("the broker is busy", retry_after=1)
        if scope["method"] not in BODILESS:
            receive = self._limited(scope, receive)
        self.in_flight += 1
        try:
            await self._in_time(scope, receive, send)
        finally:
            self.in_flight -= 1

    async def _in_time(self, scope: Scope, receive: Receive, send: Send) -> None:
        seconds = self._model.request_seconds
        try:
            async with asyncio.timeout(seconds) as timer:
                await self._inner(scope, receive, send)
        except TimeoutError as error:
            if not timer.expired():
                raise
            raise TimedOutError(
                f"the request was not done within {seconds} s", retry_after=1
            ) from error

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        limit = self._model.body_bytes
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value[:19]) > limit:
                raise BodyTooLargeError(limit)
        read = 0

        async def limited() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:
                raise BodyTooLargeError(limit)
            return message

        return limited
