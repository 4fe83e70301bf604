"""The audit's side of an admin request: no change without its event.

The event is written when everything is checked and the change is about to be made, because the
store and the audit cannot be written at once: a crash in between leaves an event of a change
that was not made, never a change without its event. A change that fails after its event gets a
second one, of the same request id, that says so.
"""

from __future__ import annotations

import time
from typing import Protocol

from git_credential_relay.broker.audit.event import AuditEvent
from git_credential_relay.broker.errors import BrokerError

ADMIN = "admin"
ALLOWED, DENIED, FAILED = "allowed", "denied", "failed"


class AuditWriter(Protocol):
    """Where events go."""

    def write(self, event: AuditEvent) -> None:
        """Put the event on record. Raises AuditError when it is not."""
        ...


class Record:
    """One admin request; `event` is filled in by whoever learns something about it."""

    def __init__(self, audit: AuditWriter, event: AuditEvent) -> None:
        self._audit = audit
        self._started = time.perf_counter()
        self._is_written = False
        self.event = event

    def allow(self, status: int = 200) -> None:
        """Put on record that it is being done; once. Raises AuditError: then do nothing."""
        if self._is_written:
            return
        self.event.verdict, self.event.code, self.event.status = ALLOWED, None, status
        self._write()
        self._is_written = True

    def fail(self, error: BaseException) -> None:
        """Put on record that it was refused, or that it failed. Raises AuditError."""
        if isinstance(error, BrokerError):
            refused = error.status in (401, 403, 429)
            self.event.verdict = DENIED if refused else FAILED
            self.event.code, self.event.status = error.code, error.status
            self.event.reason = error.reason or error.message
        else:
            self.event.verdict, self.event.code, self.event.status = FAILED, "INTERNAL", 500
            self.event.reason = type(error).__name__
        self._write()

    def add(self, event: AuditEvent) -> None:
        """Another event of the same request. Raises AuditError."""
        self._audit.write(event)

    def _write(self) -> None:
        self.event.ms = round((time.perf_counter() - self._started) * 1000, 2)
        self._audit.write(self.event)
