"""How much anybody may ask of the broker: requests per minute, body, time, concurrency."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from git_credential_relay.broker.addresses import (
    Network,
    bucket_key,
    client_address,
    client_scheme,
)
from git_credential_relay.broker.audit.event import AuditEvent
from git_credential_relay.broker.buckets import Buckets
from git_credential_relay.broker.config.model import LimitsModel
from git_credential_relay.broker.errors import BrokerError, TooManyRequestsError
from git_credential_relay.broker.server.http_errors import (
    BodyTooLargeError,
    FramingError,
    OverloadedError,
    TimedOutError,
)
from git_credential_relay.broker.server.routes.context import ADDRESS, request_id_of

PROBES = frozenset({"/healthz", "/readyz"})
BODILESS = frozenset({"GET", "HEAD"})
BODY_SECONDS = 10.0


class Limits:
    """Bounds what requests cost, as ASGI around the routes. Refuses by raising BrokerError.

    Leaves the client's address and scheme in the scope for those inside. `record` puts refusals
    on record; of a flood from one address only one a minute, or it would push everything else
    out of the audit log. Health probes pass: an overloaded
    broker must not be taken for a dead one and be killed.
    """

    def __init__(
        self,
        inner: ASGIApp,
        model: LimitsModel,
        trusted: Sequence[Network],
        *,
        record: Callable[[AuditEvent], None] = lambda event: None,
        now: Callable[[], float] = time.monotonic,
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        self._inner = inner
        self._model = model
        self._trusted = tuple(trusted)
        self._record = record
        self._body_seconds = body_seconds
        self._addresses = Buckets(model.address_requests_per_minute, now=now)
        self._floods = Buckets(1, now=now)
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, within its limits."""
        if scope["path"] in PROBES:
            await self._inner(scope, receive, send)
            return
        scope["scheme"] = client_scheme(scope, self._trusted)
        address = scope[ADDRESS] = client_address(scope, self._trusted)
        try:
            self._admit(scope, bucket_key(address))
        except BrokerError as error:
            self._put_on_record(scope, address, error)
            raise
        if scope["method"] not in BODILESS:
            receive = self._limited(receive)
        self.in_flight += 1
        try:
            await self._in_time(scope, receive, send)
        finally:
            self.in_flight -= 1

    def _admit(self, scope: Scope, key: str) -> None:
        if (wait := self._addresses.take(key)) is not None:
            raise TooManyRequestsError("too many requests from this address", retry_after=wait)
        if self.in_flight >= self._model.concurrent_requests:
            raise _busy()
        lengths = [value for name, value in scope["headers"] if name == b"content-length"]
        if lengths and any(name == b"transfer-encoding" for name, _ in scope["headers"]):
            # RFC 9112 §6.3: a proxy that went by the other one takes the rest for a request of
            # somebody else's.
            raise FramingError
        limit = self._model.body_bytes
        if scope["method"] not in BODILESS and any(
            value.isdigit() and int(value[:19]) > limit for value in lengths
        ):
            raise BodyTooLargeError(limit)

    def _put_on_record(self, scope: Scope, address: str, error: BrokerError) -> None:
        is_flood = error.status == 429
        if is_flood and self._floods.take(bucket_key(address)) is not None:
            return
        self._record(
            AuditEvent(
                at=time.time(),
                request_id=request_id_of(scope),
                kind="limit",
                verdict="denied" if is_flood else "failed",
                code=error.code,
                status=error.status,
                address=address,
                reason=error.message,
            )
        )

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

    def _limited(self, receive: Receive) -> Receive:
        limit = self._model.body_bytes
        give_up_at = asyncio.get_running_loop().time() + self._body_seconds
        read = 0

        async def limited() -> Message:
            nonlocal read
            # Whoever still sends takes nobody's place: one client could hold all of them with
            # bodies that never end.
            self.in_flight -= 1
            try:
                async with asyncio.timeout_at(give_up_at):
                    message = await receive()
            except TimeoutError as error:
                raise TimedOutError("the body was not here in time", retry_after=1) from error
            finally:
                self.in_flight += 1
            read += len(message.get("body", b""))
            if read > limit:
                raise BodyTooLargeError(limit)
            if self.in_flight > self._model.concurrent_requests:
                raise _busy()
            return message

        return limited


def _busy() -> OverloadedError:
    return OverloadedError("the broker is busy", retry_after=1)
