"""The outermost layer: one event for every request, written before its answer leaves."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from git_credential_relay.broker.audit.event import AuditEvent
from git_credential_relay.broker.errors import BadRequestError, BrokerError
from git_credential_relay.broker.policy import Denied, NotServed
from git_credential_relay.broker.vend.interface import Answer, Query, Vended
from git_credential_relay.errors import ProtocolError

VENDED, DENIED, NOT_SERVED, FAILED = "vended", "denied", "not-served", "failed"
Inner = Callable[[Query, AuditEvent], Awaitable[Answer]]


class AuditWriter(Protocol):
    """Where events go."""

    def write(self, event: AuditEvent) -> None:
        """Put the event on record. Raises AuditError when it is not."""
        ...


class AuditedVending:
    """Records each query with its end, whichever it is; what is not on record is not vended."""

    def __init__(
        self,
        audit: AuditWriter,
        inner: Inner,
        *,
        now: Callable[[], float] = time.time,
        on_vend: Callable[[str, str, str], None] = lambda verdict, source, cache: None,
    ) -> None:
        self._audit = audit
        self._inner = inner
        self._now = now
        self._on_vend = on_vend

    async def vend(self, query: Query) -> Answer:
        """The answer to a query. Raises BrokerError; AuditError when there is no event of it."""
        event = AuditEvent(
            at=self._now(),
            request_id=query.request_id,
            address=query.address,
            host=query.host,
            repository=query.path,
            use=query.use,
            rejected_sha256=query.rejected_sha256,
        )
        started = time.perf_counter()
        try:
            return _close(event, await self._answer(query, event))
        except BrokerError as error:
            event.verdict = DENIED if error.status in (401, 403, 429) else FAILED
            event.code, event.status = error.code, error.status
            event.reason = error.reason or error.message
            raise
        except BaseException as error:
            # A crash, or a client that hung up: `code` still says INTERNAL.
            event.reason = type(error).__name__
            raise
        finally:
            event.ms = round((time.perf_counter() - started) * 1000, 2)
            self._on_vend(event.verdict, event.source or "", event.cache or "")
            # Last, and able to raise: it takes the answer's place, and no token leaves.
            self._audit.write(event)

    async def _answer(self, query: Query, event: AuditEvent) -> Answer:
        try:
            return await self._inner(query, event)
        except ProtocolError as error:
            raise BadRequestError(error.message, reason="host, path or use") from error


def _close(event: AuditEvent, answer: Answer) -> Answer:
    match answer:
        case Vended():
            event.verdict, event.code, event.status = VENDED, None, 200
            event.token_type = answer.token_type
            event.token_sha256 = answer.token_sha256
            event.expires_at = answer.expires_at
            event.repositories = list(answer.repositories)
            event.permissions_given = answer.permissions
        case Denied():
            event.verdict, event.code, event.status = DENIED, answer.code, 403
        case NotServed():
            event.verdict, event.code, event.status = NOT_SERVED, "HOST_NOT_SERVED", 404
    return answer
