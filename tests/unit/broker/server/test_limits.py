"""Nobody can ask for more than their share, and nobody can use up another's."""

from __future__ import annotations

import asyncio

import pytest

from git_credential_relay.broker.audit.event import AuditEvent
from git_credential_relay.broker.config.model import LimitsModel
from git_credential_relay.broker.errors import BrokerError, TooManyRequestsError
from git_credential_relay.broker.server.http_errors import (
    BodyTooLargeError,
    FramingError,
    OverloadedError,
    TimedOutError,
)
from git_credential_relay.broker.server.limits import Limits
from git_credential_relay.broker.server.routes.body import read_body
from git_credential_relay.broker.server.routes.context import address_of
from git_credential_relay.broker.server.routes.reply import json_reply
from tests.fakes.asgi import call


class Ticks:
    """Seconds that a test winds on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def limits(inner, networks=(), now=None, body_seconds=10.0, **settings):
    model = LimitsModel(**settings)
    return Limits(inner, model, networks, now=now or Ticks(), body_seconds=body_seconds)


async def answer(scope, receive, send):
    if scope["method"] == "POST":
        await read_body(receive)
    await json_reply(200, {"address": address_of(scope)}).send(send)


def refusal(app, *arguments, **more) -> BrokerError:
    with pytest.raises(BrokerError) as caught:
        asyncio.run(call(app, *arguments, **more))
    return caught.value


def test_a_body_of_the_allowed_size_passes():
    """The limit itself is allowed."""
    app = limits(answer, body_bytes=10)

    assert asyncio.run(call(app, "POST", "/", body=b"0123456789")).status == 200


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        pytest.param([("content-length", "11")], b"", id="announced"),
        pytest.param([("content-length", "9" * 400)], b"", id="absurdly announced"),
        pytest.param([], b"0" * 11, id="at once"),
        pytest.param([], [b"0" * 4] * 3, id="in pieces"),
        pytest.param([("content-length", "3")], [b"0" * 4] * 3, id="more than announced"),
    ],
)
def test_a_larger_body_is_refused(headers, body):
    """However it arrives, a body over the limit is 413 and final."""
    error = refusal(limits(answer, body_bytes=10), "POST", "/", headers=headers, body=body)

    assert isinstance(error, BodyTooLargeError)
    assert (error.status, error.retryable) == (413, False)


def test_an_address_has_its_own_share():
    """One address that asks too often is told when to come again; another is served."""
    app = limits(answer, address_requests_per_minute=2)

    async def run():
        for _ in range(2):
            assert (await call(app, "GET", "/", client=("192.0.2.1", 1))).status == 200
        with pytest.raises(TooManyRequestsError) as caught:
            await call(app, "GET", "/", client=("192.0.2.1", 2))
        assert caught.value.retry_after == pytest.approx(30)
        assert (await call(app, "GET", "/", client=("192.0.2.2", 1))).status == 200

    asyncio.run(run())


def test_more_requests_at_once_than_allowed_are_told_to_come_again():
    """Beyond the limit requests are refused at once, and the place of one that ended is free."""
    gate = asyncio.Event()

    async def slow(scope, receive, send):
        await gate.wait()
        await json_reply(200, {}).send(send)

    app = limits(slow, concurrent_requests=2)

    async def run():
        under_way = [asyncio.ensure_future(call(app, "GET", "/")) for _ in range(2)]
        await asyncio.sleep(0)
        assert app.in_flight == 2
        with pytest.raises(OverloadedError) as caught:
            await call(app, "GET", "/")
        assert (caught.value.retryable, caught.value.retry_after) == (True, 1)
        gate.set()
        await asyncio.gather(*under_way)
        assert (await call(app, "GET", "/")).status == 200
        assert app.in_flight == 0

    asyncio.run(run())


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_pass_whatever_else_is_going_on(path):
    """An overloaded broker still answers its supervisor."""
    app = limits(answer, address_requests_per_minute=1, concurrent_requests=1)

    async def run():
        return [(await call(app, "GET", path)).status for _ in range(5)]

    assert asyncio.run(run()) == [200] * 5


def test_a_request_ends_in_time():
    """A request that takes too long is ended, with words that say so."""
    ended = []

    async def endless(scope, receive, send):
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    # Less than the file can say, so that nobody waits here.
    app = limits(endless, request_seconds=0)

    error = refusal(app, "GET", "/")

    assert isinstance(error, TimedOutError)
    assert (error.status, error.retryable, ended, app.in_flight) == (503, True, [True], 0)


def test_a_time_out_of_somebody_elses_stays_what_it_is():
    """A TimeoutError from inside is not taken for the limit."""

    async def broken(scope, receive, send):
        raise TimeoutError("the database's")

    with pytest.raises(TimeoutError, match="the database's"):
        asyncio.run(call(limits(broken), "GET", "/"))


def test_bodies_that_never_end_take_nobodys_place():
    """Who still sends is not counted as under way, and is cut off before long."""
    silence = asyncio.Event()
    app = limits(answer, concurrent_requests=2, body_seconds=0.05)

    async def silent():
        await silence.wait()

    async def post():
        scope: dict[str, object] = {
            "type": "http", "method": "POST", "path": "/", "headers": [], "client": None,
            "scheme": "http",
        }  # fmt: skip
        with pytest.raises(TimedOutError):
            await app(scope, silent, silent)

    async def run():
        slow = [asyncio.ensure_future(post()) for _ in range(5)]
        await asyncio.sleep(0.01)
        assert app.in_flight == 0
        assert (await call(app, "GET", "/")).status == 200
        await asyncio.gather(*slow)
        assert app.in_flight == 0

    asyncio.run(run())


def test_a_body_that_comes_when_all_places_are_taken_waits_for_another_time():
    """Sending slowly is no way around the limit."""
    gate = asyncio.Event()
    served = []

    async def slow(scope, receive, send):
        if scope["method"] == "POST":
            await read_body(receive)
        served.append(scope["method"])
        await gate.wait()
        await json_reply(200, {}).send(send)

    app = limits(slow, concurrent_requests=2)

    async def run():
        first = asyncio.ensure_future(call(app, "GET", "/"))
        second = asyncio.ensure_future(call(app, "POST", "/", body=b"x"))
        await asyncio.sleep(0)
        late = asyncio.Event()

        async def receive():
            await late.wait()
            return {"type": "http.request", "body": b"", "more_body": False}

        app.in_flight -= 1  # as if there had been room when its headers came
        scope: dict[str, object] = {
            "type": "http", "method": "POST", "path": "/", "headers": [], "client": None,
            "scheme": "http",
        }  # fmt: skip
        third = asyncio.ensure_future(app(scope, receive, receive))
        await asyncio.sleep(0)
        app.in_flight += 1
        late.set()
        with pytest.raises(OverloadedError):
            await third
        gate.set()
        await asyncio.gather(first, second)

    asyncio.run(run())
    assert served == ["GET", "POST"]


def test_two_ends_of_a_body_are_none():
    """A proxy that goes by the other length would take what follows for another's request."""
    error = refusal(
        limits(answer), "POST", "/", headers=[("content-length", "4"), ("transfer-encoding", "x")]
    )

    assert isinstance(error, FramingError)


def test_refusals_are_on_record_and_a_flood_is_one_line_a_minute():
    """Each refusal has its event; those of a flood from one address must not fill the log."""
    events: list[AuditEvent] = []
    app = Limits(
        answer,
        LimitsModel(body_bytes=10, address_requests_per_minute=2),
        (),
        record=events.append,
        now=Ticks(),
    )
    for _ in range(2):
        refusal(app, "POST", "/", headers=[("content-length", "11")])
    for _ in range(5):
        refusal(app, "GET", "/")

    told = [(event.kind, event.verdict, event.code, event.status) for event in events]
    assert told == [
        ("limit", "failed", "BODY_TOO_LARGE", 413),
        ("limit", "failed", "BODY_TOO_LARGE", 413),
        ("limit", "denied", "RATE_LIMITED", 429),
    ]
    assert {event.address for event in events} == {"192.0.2.7"}
