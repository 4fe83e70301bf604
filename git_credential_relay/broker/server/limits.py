"""How much anybody may ask of the broker: requests per minute, body, time, concurrency."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from git_credential_relay.broker.addresses import Network, bucket_key, client_address
from git_credential_relay.broker.buckets import Buckets
from git_credential_relay.broker.config.model import LimitsModel
from git_credential_relay.broker.errors import TooManyRequestsError
from git_credential_relay.broker.server.http_errors import (
    BodyTooLargeError,
    OverloadedError,
    TimedOutError,
)
from git_credential_relay.broker.server.routes.context import ADDRESS

PROBES = frozenset({"/healthz", "/readyz"})
BODILESS = frozenset({"GET", "HEAD"})


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
