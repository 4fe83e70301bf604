"""What a failed attempt means, for every status, trouble and permanent code."""

import json
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.errors import (
    EXIT_AUTH,
    EXIT_FAILED,
    EXIT_TEMPORARY,
    ApiError,
    DeniedError,
    NotFoundError,
    RateLimitedError,
    TlsError,
    TransportError,
    UnauthenticatedError,
    UnavailableError,
)
from git_credential_relay.relay.client.classify import Fail, Retry, classify
from git_credential_relay.relay.client.outcome import Answered, Broken, Outcome, Trouble

NOW = 1_800_000_000.0


def kind(outcome: Outcome) -> tuple[object, ...]:
    """The verdict, and all of its error that a program goes by."""
    verdict = classify(outcome, NOW)
    error = verdict.error
    return (type(verdict), type(error), error.code, error.retryable, error.exit_code)


def answered(status: int, headers: dict[str, str] | None = None, **body: object) -> Answered:
    return Answered(status, json.dumps(body).encode(), headers or {})


REFUSED = (Fail, ApiError, "api-refused", False, EXIT_FAILED)
TROUBLED = (Retry, UnavailableError, "api-unavailable", True, EXIT_TEMPORARY)
NAMED = {
    401: (Fail, UnauthenticatedError, "unauthenticated", False, EXIT_AUTH),
    403: (Fail, DeniedError, "denied", False, EXIT_AUTH),
    404: (Fail, NotFoundError, "not-found", False, EXIT_FAILED),
    408: TROUBLED,
    425: TROUBLED,
    429: (Retry, RateLimitedError, "rate-limited", True, EXIT_TEMPORARY),
}


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        (range(100, 200), REFUSED),
        (range(300, 400), (Fail, ApiError, "redirected", False, EXIT_FAILED)),
        ([s for s in range(400, 500) if s not in NAMED], REFUSED),
        *(([status], expected) for status, expected in NAMED.items()),
        (range(500, 600), TROUBLED),
    ],
    ids=["1xx", "3xx", "the other 4xx", *map(str, NAMED), "5xx"],
)
@pytest.mark.parametrize("body", [b"", b"<html>gateway</html>", b"{}", b"[]", b'"no"'], ids=repr)
def test_status_decides(statuses, expected, body):
    """Only 408, 425, 429 and 5xx are tried again, whatever is in the body."""
    verdicts = {status: kind(Answered(status, body)) for status in statuses}

    assert verdicts == dict.fromkeys(statuses, expected)


@pytest.mark.parametrize(
    ("status", "message", "hint"),
    [
        (
            302,
            "the relay API redirects (HTTP 302), and the secret does not follow",
            "set CLOUD_API_URL to the address it redirects to",
        ),
        (
            400,
            "the relay API did not accept the request (HTTP 400)",
            "check WORKSPACE_ID and the API's version",
        ),
        (
            401,
            "the relay API does not accept the workspace's secret (HTTP 401)",
            "check WORKSPACE_ID and WORKSPACE_TOKEN; the workspace may need to be provisioned anew",
        ),
        (
            403,
            "the relay API denies this (HTTP 403)",
            "ask whoever runs the relay API to grant this workspace the repository",
        ),
        (
            404,
            "the relay API does not know this (HTTP 404)",
            "check the repository's name, CLOUD_API_URL and WORKSPACE_ID",
        ),
        (418, "the relay API answered HTTP 418", None),
        (422, "the relay API could not act on the request (HTTP 422)", None),
        (429, "the relay API has had too many requests (HTTP 429)", None),
        (503, "the relay API is in trouble (HTTP 503)", None),
    ],
)
def test_a_page_instead_of_json_gets_our_own_words(status, message, hint):
    """A proxy's HTML is not shown; the status still says what to do."""
    error = classify(Answered(status, b"<html><h1>Oops</h1></html>"), NOW).error

    assert (error.message, error.hint, error.details) == (message, hint, None)


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        (Trouble.DNS, (Retry, TransportError, "dns-failed", True, EXIT_TEMPORARY)),
        (Trouble.CONNECT, (Retry, TransportError, "connect-failed", True, EXIT_TEMPORARY)),
        (Trouble.TIMEOUT, (Retry, TransportError, "api-timeout", True, EXIT_TEMPORARY)),
        (Trouble.READ, (Retry, TransportError, "read-failed", True, EXIT_TEMPORARY)),
        (Trouble.PROXY, (Retry, TransportError, "proxy-failed", True, EXIT_TEMPORARY)),
        (Trouble.TLS, (Fail, TlsError, "tls-refused", False, EXIT_FAILED)),
    ],
    ids=lambda value: value.value if isinstance(value, Trouble) else "",
)
def test_trouble_on_the_way(trouble, expected):
    """Every trouble may pass, except a certificate that is not accepted."""
    assert kind(Broken(trouble, "something")) == expected


def test_every_trouble_has_words():
    """No trouble there is lacks a message of its own, with the library's words behind it."""
    messages = {classify(Broken(trouble, "broken"), NOW).error.message for trouble in Trouble}

    assert len(messages) == len(Trouble)
    assert all(message.endswith(": broken") for message in messages)


AGENT_RELAY: list[tuple[int, dict[str, object], type, str]] = [
    (400, {"error": "workspaceId is required"}, Fail, "api-refused"),
    (
        401,
        {
            "error": "Invalid workspace token",
            "code": "INVALID_WORKSPACE_TOKEN",
            "hint": "may need reprovisioning or SESSION_SECRET changed",
        },
        Fail,
        "INVALID_WORKSPACE_TOKEN",
    ),
    (
        403,
        {"error": "CSRF token mismatch", "code": "CSRF_MISMATCH"},
        Fail,
        "CSRF_MISMATCH",
    ),
    (
        404,
        {"error": "Workspace not found", "code": "WORKSPACE_NOT_FOUND", "hint": "check the id"},
        Fail,
        "WORKSPACE_NOT_FOUND",
    ),
    (
        404,
        {"error": "No app", "code": "NO_GITHUB_APP_CONNECTION", "hint": "connect", "repoCount": 0},
        Fail,
        "NO_GITHUB_APP_CONNECTION",
    ),
    (429, {"error": "Too many requests"}, Retry, "rate-limited"),
    (
        500,
        {"error": "Connection expired", "code": "NANGO_CONNECTION_EXPIRED", "hint": "reconnect"},
        Fail,
        "NANGO_CONNECTION_EXPIRED",
    ),
    (
        500,
        {"error": "Fetch failed", "code": "NANGO_TOKEN_FETCH_FAILED", "hint": "temporary"},
        Retry,
        "NANGO_TOKEN_FETCH_FAILED",
    ),
    (
        500,
        {"error": "Unexpected", "code": "UNEXPECTED_ERROR", "details": "stack"},
        Retry,
        "UNEXPECTED_ERROR",
    ),
    (500, {"error": "Session unavailable"}, Retry, "api-unavailable"),
]


@pytest.mark.parametrize(
    ("status", "body", "verdict", "code"),
    AGENT_RELAY,
    ids=[f"{status} {body.get('code', body['error'])}" for status, body, _, _ in AGENT_RELAY],
)
def test_agent_relays_own_errors(status, body, verdict, code):
    """What agent-relay's cloud sends is judged by status and code, and its words are kept."""
    found = classify(answered(status, **body), NOW)
    error = found.error

    assert (type(found), error.code, error.retryable) == (verdict, code, verdict is Retry)
    assert error.message.endswith(f" (HTTP {status}): {body['error']}")
    assert error.details == body.get("details")
    assert error.hint == body.get("hint", error.hint)


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [
        (answered(503, retryable=False), Fail),
        (answered(429, retryable=False), Fail),
        (answered(503, retryable=True), Retry),
        (answered(503, retryable="no"), Retry),
        (answered(503, retryable=None), Retry),
        (answered(403, retryable=True), Fail),
        (answered(502, code="NANGO_CONNECTION_EXPIRED"), Fail),
    ],
    ids=["503 no", "429 no", "503 yes", "503 text", "503 null", "403 yes", "code in a 502"],
)
def test_the_server_may_only_make_it_final(outcome, verdict):
    """`retryable: false` and a permanent code end it; `retryable: true` does not reopen a 403."""
    found = classify(outcome, NOW)

    assert (type(found), found.error.retryable) == (verdict, verdict is Retry)


@pytest.mark.parametrize(
    ("headers", "after"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 7 "}, 7.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "9" * 40}, 999_999_999_999.0),
        ({"retry-after": formatdate(NOW + 5, usegmt=True)}, 5.0),
        ({"retry-after": formatdate(NOW - 500, usegmt=True)}, 0.0),
        ({"retry-after": "Fri, 15 Jan 2027 08:00:05 +0000"}, 5.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "1.5"}, None),
        ({"retry-after": "٣"}, None),
        ({"retry-after": "Fri, 99 Jan 2027 99:00:05 GMT"}, None),
        ({"retry-after": "soon", "x-ratelimit-reset": str(int(NOW) + 9)}, None),
        ({"retry-after": "7", "x-ratelimit-reset": str(int(NOW) + 9)}, 7.0),
        ({"x-ratelimit-reset": str(int(NOW) + 9)}, 9.0),
        ({"x-ratelimit-reset": str(int(NOW) + 9), "x-ratelimit-remaining": "0"}, 9.0),
        ({"x-ratelimit-reset": str(int(NOW) + 9), "x-ratelimit-remaining": "12"}, None),
        ({"x-ratelimit-reset": str(int(NOW) - 9)}, 0.0),
        ({"x-ratelimit-reset": "later"}, None),
    ],
    ids=repr,
)
@pytest.mark.parametrize("status", [429, 503])
def test_when_to_come_back(status, headers, after):
    """Retry-After in either form, else the rate limit's reset; nothing for what is neither."""
    verdict = classify(answered(status, headers), NOW)

    assert isinstance(verdict, Retry)
    assert (verdict.after, verdict.error.retry_after) == (after, after)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("one\r\ntwo\x1b[31m\x00three\x7f", "one two [31m three"),
        ("\u202egnp.exe \x85\u2028 x", "gnp.exe x"),
        ("half \ud800 pair", "half pair"),
        ("token ghs_0123456789abcdefABCDEF is bad", "token ******** is bad"),
        ("github_pat_11AAAA_bbbb refused", "******** refused"),
        ("glpat-AbCdEf012345-xyz", "********"),
        ("Authorization: Bearer 0011223344aabb", "Authorization: Bearer ********"),
        ("at https://me:hunter2@relay.example/x", "at https://********@relay.example/x"),
        ("x" * 5000, "x" * 4095 + "…"),
        ({"why": "ghs_0123456789"}, '{"why": "********"}'),
        (["a", 1], '["a", 1]'),
        (17, "17"),
    ],
    ids=[
        "control characters",
        "direction and line separators",
        "surrogate",
        "installation token",
        "fine-grained token",
        "GitLab token",
        "bearer",
        "user info",
        "long",
        "object",
        "list",
        "number",
    ],
)
@pytest.mark.parametrize("field", ["hint", "details"])
def test_what_a_server_says_is_made_safe(field, said, shown):
    """Its words cannot steer a terminal, show a token or fill a cache."""
    error = classify(answered(400, **{field: said}), NOW).error

    assert getattr(error, field) == shown


@pytest.mark.parametrize(
    ("code", "kept"),
    [
        ("SOME_CODE", "SOME_CODE"),
        ("", "api-refused"),
        (None, "api-refused"),
        ("with spaces in it", "api-refused"),
        ("X" * 65, "api-refused"),
        ("two\nlines", "api-refused"),
    ],
    ids=["usual", "empty", "null", "spaces", "long", "lines"],
)
def test_a_code_is_one_short_word(code, kept):
    """What could not be a code is not taken for one."""
    assert classify(answered(400, code=code), NOW).error.code == kept


def test_message_stands_in_for_error():
    """A server that calls its text `message` is understood too."""
    error = classify(answered(400, message="no such thing"), NOW).error

    assert error.message == "the relay API did not accept the request (HTTP 400): no such thing"


@pytest.mark.parametrize("depth", [10, 300, *range(900, 1000, 7), 5000, 200_000])
@pytest.mark.parametrize("opening", [b"[", b'{"a":'], ids=["lists", "objects"])
def test_deep_nesting_is_only_a_bad_body(depth, opening):
    """Nesting beyond what Python recurses does not break the verdict."""
    closing = b"]" if opening == b"[" else b"}"
    body = b'{"details":' + opening * depth + b"1" + closing * depth + b"}"

    assert kind(Answered(503, body)) == TROUBLED


@given(
    st.integers(100, 599).filter(lambda status: not 200 <= status < 300),
    st.one_of(
        st.binary(max_size=200),
        st.dictionaries(
            st.sampled_from(["error", "code", "hint", "details", "retryable", "message"]),
            st.recursive(
                st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
                lambda inner: st.lists(inner, max_size=2),
                max_leaves=3,
            ),
        ).map(lambda body: json.dumps(body).encode()),
    ),
    st.dictionaries(
        st.sampled_from(["retry-after", "x-ratelimit-reset", "x-ratelimit-remaining"]),
        st.text(st.characters(max_codepoint=255), max_size=20)
        | st.from_regex(r"\A[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,5} \d+:\d+(:\d+)? .{0,6}\Z"),
    ),
)
def test_nothing_a_server_sends_breaks_the_verdict(status, body, headers):
    """Any bytes and headers give a verdict whose words are printable and short."""
    error = classify(Answered(status, body, headers), NOW).error
    texts = [error.message, error.hint or "", error.details or "", error.code]

    assert all(text.isprintable() and len(text) < 600 for text in texts)
