"""Every request leaves one event, written before its answer; without it there is no answer."""

from __future__ import annotations

import asyncio

import pytest

from git_credential_relay.broker.audit.event import AuditEvent
from git_credential_relay.broker.errors import (
    AuditError,
    BadRequestError,
    CallerUnknownError,
    ForgeUnavailableError,
)
from git_credential_relay.broker.policy import Denied, NotServed
from git_credential_relay.broker.vend.audited import AuditedVending
from git_credential_relay.broker.vend.interface import Query, Vended
from git_credential_relay.errors import ProtocolError
from git_credential_relay.secret import Secret, token_sha256

CANARY = "ghs_canary_in_the_coal_mine_0123456789"
QUERY = Query(CANARY, "w1", "github.com", "acme/app", address="192.0.2.1", request_id="r-1")
VENDED = Vended(
    Secret(CANARY),
    "x-access-token",
    1_800_003_600,
    "installation",
    "github.com",
    ("acme/app",),
    {"contents": "write"},
    "github:github.com",
    token_sha256(Secret(CANARY)),
)


class Record:
    """Keeps events; `fails` makes writing impossible."""

    def __init__(self, *, fails=False):
        self.events: list[AuditEvent] = []
        self.fails = fails

    def write(self, event):
        """Keep it."""
        if self.fails:
            raise AuditError("no room")
        self.events.append(event)


def chain(record, end):
    async def inner(query, event):
        assert record.events == []
        if isinstance(end, BaseException):
            raise end
        return end

    return AuditedVending(record, inner, now=lambda: 1_800_000_000.0)


def run(record, end):
    return asyncio.run(chain(record, end).vend(QUERY))


def test_a_vend_is_recorded_whole_and_its_token_only_as_a_hash():
    """The event says who got what and until when, and nowhere holds the token."""
    record = Record()

    assert run(record, VENDED) is VENDED
    [event] = record.events
    event.ms = None
    assert event == AuditEvent(
        at=1_800_000_000.0,
        request_id="r-1",
        verdict="vended",
        code=None,
        status=200,
        address="192.0.2.1",
        host="github.com",
        repository="acme/app",
        repositories=["acme/app"],
        use="git",
        permissions_given={"contents": "write"},
        token_type="installation",
        token_sha256=token_sha256(Secret(CANARY)),
        expires_at=1_800_003_600,
    )
    assert CANARY not in repr(event)


@pytest.mark.parametrize(
    ("end", "verdict", "code", "status"),
    [
        (Denied("USE_NOT_GRANTED", "m", "h"), "denied", "USE_NOT_GRANTED", 403),
        (NotServed(), "not-served", "HOST_NOT_SERVED", 404),
    ],
)
def test_refusals_are_recorded_like_vends(end, verdict, code, status):
    """A denial and a question for somebody else leave their events."""
    record = Record()

    assert run(record, end) is end
    [event] = record.events
    assert (event.verdict, event.code, event.status) == (verdict, code, status)


@pytest.mark.parametrize(
    ("end", "raised", "verdict", "code", "reason"),
    [
        (
            CallerUnknownError("secret expired"),
            CallerUnknownError,
            "denied",
            "INVALID_WORKSPACE_TOKEN",
            "secret expired",
        ),
        (
            ForgeUnavailableError("down"),
            ForgeUnavailableError,
            "failed",
            "FORGE_UNAVAILABLE",
            "down",
        ),
        (
            ProtocolError("no path"),
            BadRequestError,
            "failed",
            "INVALID_REQUEST",
            "host, path or use",
        ),
        (ZeroDivisionError(CANARY), ZeroDivisionError, "failed", "INTERNAL", "ZeroDivisionError"),
        (
            asyncio.CancelledError(),
            asyncio.CancelledError,
            "failed",
            "INTERNAL",
            "CancelledError",
        ),
    ],
)
def test_every_end_leaves_an_event(end, raised, verdict, code, reason):
    """Errors, crashes and clients that hang up are recorded too, without their texts' secrets."""
    record = Record()

    with pytest.raises(raised):
        run(record, end)
    [event] = record.events
    assert (event.verdict, event.code, event.reason) == (verdict, code, reason)
    assert CANARY not in repr(event)


@pytest.mark.parametrize("end", [VENDED, Denied("X", "m", "h"), ForgeUnavailableError("down")])
def test_without_a_record_there_is_no_answer(end):
    """When the event cannot be written, the caller learns that, and no token leaves."""
    with pytest.raises(AuditError):
        run(Record(fails=True), end)
