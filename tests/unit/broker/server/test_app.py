"""Every request gets one answer in JSON, whatever it is and whatever happens inside."""

from __future__ import annotations

import asyncio
import json
import logging
from base64 import b64encode
from dataclasses import replace

import pytest

from git_credential_relay.broker.errors import (
    CallerUnknownError,
    ForgeUnavailableError,
    GrantMissingError,
)
from git_credential_relay.broker.policy import Denied, NotServed
from git_credential_relay.broker.server.app import build_app
from git_credential_relay.broker.vend.interface import Query
from tests.fakes.asgi import call
from tests.fakes.vending import VENDED, FakeVending

TOKEN = "/api/git/token"
HASH = b64encode(b"\x01" * 32).decode()
FULL = f"{TOKEN}?workspaceId=w1&host=github.com&path=acme%2Fapp&use=api&minLifetime=900"


@pytest.fixture
def broker():
    return FakeVending()


def ask(broker, method="GET", target=f"{TOKEN}?workspaceId=w1", **more):
    return asyncio.run(call(build_app(broker), method, target, **more))


def test_a_vended_token_is_sent_in_the_relay_apis_form(broker):
    """All fields are there, with the expiry as RFC 3339, and no proxy may keep them."""
    answer = ask(broker)

    assert answer.status == 200
    assert answer.json == {
        "token": "ghs_" + "a" * 40,
        "username": "x-access-token",
        "expiresAt": "2030-03-17T17:46:40Z",
        "tokenType": "installation",
        "userToken": None,
        "installationToken": "ghs_" + "a" * 40,
        "host": "github.com",
        "repositories": ["acme/app"],
        "permissions": {"contents": "write"},
    }
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"
    assert int(answer.headers["content-length"]) == len(answer.body)


def test_a_token_of_another_kind_is_no_installation_token(broker):
    """`installationToken` is for GitHub Apps; a token without end has no expiry."""
    broker.answer = replace(VENDED, token_type="static", expires_at=None)
    answer = ask(broker).json

    assert (answer["installationToken"], answer["expiresAt"]) == (None, None)


def test_all_that_a_client_says_arrives_in_the_query(broker):
    """Fields, bearer, no-cache, the refused hash, address and request id reach the chain."""
    ask(
        broker,
        target=FULL,
        headers=[
            ("Authorization", "Bearer the-secret"),
            ("Cache-Control", "max-age=0, No-Cache"),
            ("X-Rejected-Token-SHA256", HASH),
            ("X-Request-Id", "req-1"),
        ],
    )

    assert broker.queries == [
        Query(
            unverified_bearer="the-secret",
            unverified_workspace_id="w1",
            host="github.com",
            path="acme/app",
            use="api",
            min_lifetime=900,
            no_cache=True,
            rejected_sha256=HASH,
            address="192.0.2.7",
            request_id="req-1",
        )
    ]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        pytest.param(
            "application/json",
            b'{"workspaceId": "w1", "host": "github.com", "path": "acme/app", "use": "api",'
            b' "minLifetime": 900, "somethingNew": [1]}',
            id="json",
        ),
        pytest.param(
            "application/x-www-form-urlencoded",
            b"workspaceId=w1&host=github.com&path=acme/app&use=api&minLifetime=900&new=1",
            id="form",
        ),
    ],
)
def test_a_post_says_the_same(broker, content_type, body):
    """A body has the same fields as a query, and unknown ones are left alone."""
    ask(broker, "POST", TOKEN, headers=[("Content-Type", content_type)], body=body)
    ask(broker, target=FULL, headers=[("X-Request-Id", "x")])

    posted, got = (replace(query, request_id="") for query in broker.queries)
    assert posted == got


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        pytest.param(f"{TOKEN}?workspaceId=w1&workspaceId=w2", [], id="field twice"),
        pytest.param(f"{TOKEN}?workspaceId=w1&use=ssh", [], id="use"),
        pytest.param(f"{TOKEN}?workspaceId=w1&minLifetime=soon", [], id="minLifetime"),
        pytest.param(f"{TOKEN}?workspaceId=w1&path=a%00b", [], id="control character"),
        pytest.param(f"{TOKEN}?workspaceId=%ff", [], id="not UTF-8"),
        pytest.param(
            f"{TOKEN}?workspaceId=w1",
            [("Authorization", "Bearer a"), ("Authorization", "Bearer b")],
            id="bearer twice",
        ),
        pytest.param(
            f"{TOKEN}?workspaceId=w1", [("X-Rejected-Token-SHA256", "ghs_token")], id="no hash"
        ),
    ],
)
def test_a_wrong_request_is_refused_and_on_record(broker, target, headers):
    """400 with a code, the chain is not asked, and the audit has it; a token that was put where
    its hash belongs is not shown."""
    answer = ask(broker, target=target, headers=headers)

    assert (answer.status, answer.json["code"]) == (400, "INVALID_REQUEST")
    assert broker.queries == []
    [event] = broker.events
    assert (event.status, event.code, event.address) == (400, "INVALID_REQUEST", "192.0.2.7")
    assert event.request_id == answer.headers["x-request-id"]
    assert b"ghs_token" not in answer.body
    assert "ghs_token" not in str(event)


def test_a_field_in_query_and_body_is_refused(broker):
    """A proxy may go by the one and we by the other."""
    json_type = [("Content-Type", "application/json")]
    answer = ask(broker, "POST", headers=json_type, body=b'{"workspaceId": "w2"}')

    assert (answer.status, broker.queries) == (400, [])


@pytest.mark.parametrize("header", ["Basic dzE6cw==", "Bearer", "Bearer ", "", "the-secret"])
def test_no_bearer_is_no_bearer(broker, header):
    """Other schemes prove nothing; the chain is told that nothing came."""
    ask(broker, headers=[("Authorization", header)])

    assert broker.queries[0].unverified_bearer is None


def test_not_served_and_denied_are_two_answers(broker):
    """404 HOST_NOT_SERVED keeps helpers silent; 403 says which grant is missing."""
    broker.answer = NotServed()
    absent = ask(broker)
    broker.answer = Denied("USE_NOT_GRANTED", "not for api", "ask the owner")
    denied = ask(broker)

    assert (absent.status, absent.json["code"]) == (404, "HOST_NOT_SERVED")
    assert (denied.status, denied.json) == (
        403,
        {
            "error": "not for api",
            "code": "USE_NOT_GRANTED",
            "hint": "ask the owner",
            "details": None,
            "retryable": False,
        },
    )


@pytest.mark.parametrize(
    ("error", "status", "header"),
    [
        (CallerUnknownError("bad secret"), 401, ("www-authenticate", "Bearer")),
        (GrantMissingError("no"), 403, None),
        (ForgeUnavailableError("limit", retry_after=1.2), 503, ("retry-after", "2")),
        (ForgeUnavailableError("limit", retry_after=0), 503, ("retry-after", "1")),
    ],
)
def test_an_error_of_the_chain_is_told(broker, error, status, header):
    """Its status, code and hint go out, its reason stays inside, Retry-After is whole seconds."""
    broker.answer = error
    answer = ask(broker)

    assert (answer.status, answer.json["code"]) == (status, error.code)
    assert answer.json["retryable"] is error.retryable
    assert b"bad secret" not in answer.body
    if header:
        assert answer.headers[header[0]] == header[1]
    assert broker.events == []  # the chain has recorded it


def test_what_nobody_foresaw_is_told_without_detail(broker, caplog):
    """500 INTERNAL names the request; the cause is in the log under the same id."""
    broker.answer = ValueError("inside: ghs_" + "b" * 40)
    with caplog.at_level(logging.ERROR):
        answer = ask(broker, headers=[("X-Request-Id", "req-7")])

    assert (answer.status, answer.json["code"]) == (500, "INTERNAL")
    assert "req-7" in answer.json["hint"]
    assert b"inside" not in answer.body
    [record] = caplog.records
    assert (record.request_id, record.exc_info[0]) == ("req-7", ValueError)


@pytest.mark.parametrize("given", ["", "a b", "x" * 101, "a\nb", "<script>", "é"])
def test_a_request_id_that_is_not_sane_is_replaced(broker, given):
    """What goes into logs and headers is harmless; without a sane one there is a new one."""
    answer = ask(broker, headers=[("X-Request-Id", given)])

    assert answer.headers["x-request-id"] != given
    assert len(answer.headers["x-request-id"]) == 16
    assert broker.queries[0].request_id == answer.headers["x-request-id"]


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
@pytest.mark.parametrize("path", [TOKEN, "/metrics", "/openapi.json", "/healthz"])
def test_another_method_is_405(broker, method, path):
    """JSON says which methods there are; HEAD is fine where nothing is minted."""
    answer = ask(broker, method, path)
    if method == "HEAD" and path != TOKEN:
        assert answer.status == 200
        return

    assert (answer.status, answer.json["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert "GET" in answer.headers["allow"]
    assert broker.queries == []


@pytest.mark.parametrize("path", ["/", "/api/git/token/", "/api/git", "//api/git/token", "/x"])
def test_an_unknown_path_is_404(broker, path):
    """JSON, no redirect, and nothing of the path is repeated."""
    answer = ask(broker, target=path)

    assert (answer.status, answer.json["code"]) == (404, "NOT_FOUND")


def test_limits_are_told_like_everything_else(broker):
    """A body over the limit closes the connection; a flood is told when to come again."""
    broker = FakeVending("[limits]\nbody_bytes = 5\naddress_requests_per_minute = 1\n")
    app = build_app(broker)
    large = asyncio.run(call(app, "POST", TOKEN, body=b"0123456789"))
    flood = asyncio.run(call(app, "GET", TOKEN))

    assert (large.status, large.json["code"]) == (413, "BODY_TOO_LARGE")
    assert large.headers["connection"] == "close"
    assert (flood.status, flood.json["code"], flood.headers["retry-after"]) == (
        429,
        "RATE_LIMITED",
        "60",
    )
    assert [event.code for event in broker.events] == ["BODY_TOO_LARGE", "RATE_LIMITED"]
    assert broker.events[0].request_id == large.headers["x-request-id"]


def test_readiness_says_what_is_not_ready(broker):
    """503 names the part and why; a token in the reason is masked."""
    broker.state = {"audit": "ok", "database": "lost, ghs_" + "c" * 40}
    answer = ask(broker, target="/readyz")

    assert answer.status == 503
    assert answer.json == {"ready": False, "checks": {"audit": "ok", "database": "lost, ********"}}


@pytest.mark.parametrize("part", ["configuration", "cache"])
def test_what_does_not_keep_it_from_vending_leaves_it_in_service(broker, part):
    """It is told; but all replicas have it alike, and none would be left."""
    broker.state = {"database": "ok", part: "in trouble"}
    answer = ask(broker, target="/readyz")

    assert (answer.status, answer.json["ready"]) == (200, True)
    assert answer.json["checks"][part] == "in trouble"


def test_readiness_is_asked_once_a_second(broker):
    """However often somebody looks, the database is asked at most once a second."""
    now = [0.0]
    app = build_app(broker, now=lambda: now[0])

    async def look():
        answers = await asyncio.gather(*(call(app, "GET", "/readyz") for _ in range(5)))
        return {answer.status for answer in answers}

    assert asyncio.run(look()) == {200}
    assert broker.looks == 1
    broker.state = {"database": "gone"}
    now[0] = 1.0
    assert asyncio.run(look()) == {503}
    assert broker.looks == 2


def test_health_and_metrics(broker):
    """Health is plain; metrics have the request that was made before, by route and status."""
    app = build_app(broker)
    health = asyncio.run(call(app, "GET", "/healthz"))
    asyncio.run(call(app, "GET", "/unknown/ghs_path"))
    metrics = asyncio.run(call(app, "GET", "/metrics"))

    assert health.json == {"status": "ok"}
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'relay_broker_requests_total{route="/healthz",status="200"} 1.0' in metrics.body.decode()
    assert 'relay_broker_requests_total{route="",status="404"} 1.0' in metrics.body.decode()
    assert "ghs_path" not in metrics.body.decode()


def test_a_client_that_hangs_up_within_its_body_is_no_crash(broker, caplog):
    """The request ends as a wrong one, and nothing is vended."""

    async def run():
        messages = [
            {"type": "http.request", "body": b"{", "more_body": True},
            {"type": "http.disconnect"},
        ]

        async def receive():
            return messages.pop(0)

        async def send(message):
            sent.append(message)

        sent: list[dict[str, bytes]] = []
        scope: dict[str, object] = {
            "type": "http", "method": "POST", "path": TOKEN, "root_path": "",
            "query_string": b"", "headers": [], "client": None,
        }  # fmt: skip
        await build_app(broker)(scope, receive, send)
        return json.loads(sent[1]["body"])

    assert asyncio.run(run())["code"] == "INVALID_REQUEST"
    assert broker.queries == []
    assert caplog.records == []
