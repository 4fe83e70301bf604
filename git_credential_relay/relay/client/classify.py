"""What a failed attempt means: try again, and after how long, or give up, and with what words.

Pure. The table of design §5.4: only transport trouble, 408, 425, 429 and 5xx may pass by
themselves; a permanent code inside a 5xx is final; a broken certificate is never retried.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import assert_never

from git_credential_relay.errors import (
    ApiError,
    DeniedError,
    NotFoundError,
    RateLimitedError,
    RelayError,
    TlsError,
    TransportError,
    UnauthenticatedError,
    UnavailableError,
)
from git_credential_relay.relay.client.outcome import Answered, Broken, Outcome, Trouble
from git_credential_relay.secret import printable, redact

# Sent inside a 500 by agent-relay's cloud: the user must connect the forge again.
PERMANENT_CODES = frozenset({"NANGO_CONNECTION_EXPIRED"})
LONGEST_TEXT = 4096


@dataclass(frozen=True, slots=True)
class Retry:
    """Trying again can help; not before `after` seconds, where the server said so.

    `error` is what to say when there is no time left for it.
    """

    error: RelayError
    after: float | None = None


@dataclass(frozen=True, slots=True)
class Fail:
    """Final: the same request would get the same answer."""

    error: RelayError


def classify(outcome: Outcome, now: float) -> Retry | Fail:
    """The verdict on an outcome that is not a success; `now` is Unix time, for dates in it."""
    match outcome:
        case Broken():
            return _classify_broken(outcome)
        case Answered():
            return _classify_answer(outcome, now)
        case _:
            assert_never(outcome)


def error_body(body: bytes) -> dict[str, object]:
    """The JSON object of an error body; empty when it is something else (HTML of a proxy)."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def text_field(data: dict[str, object], name: str) -> str | None:
    """A field of a body as one safe line of text, or None. Objects are shown as JSON."""
    value = data.get(name)
    if value is None or value == "":
        return None
    # Cut far beyond what is shown: half a secret at the cut would escape its masking later.
    return printable(redact(value if isinstance(value, str) else json.dumps(value)), LONGEST_TEXT)


def refusal(status: int, data: dict[str, object], retry_after: float | None = None) -> ApiError:
    """The error for an API that said no, in its own words where it has some."""
    kind, words = _KINDS.get(status, (ApiError, f"the relay API answered HTTP {status}"))
    if status >= 500 or status in (408, 425):
        kind, words = UnavailableError, f"the relay API is in trouble (HTTP {status})"
    said = text_field(data, "error") or text_field(data, "message")
    code = text_field(data, "code")
    return kind(
        f"{words}: {said}" if said else words,
        code=code if code and len(code) <= 64 and " " not in code else None,
        hint=text_field(data, "hint") or _HINTS.get(status),
        details=text_field(data, "details"),
        retryable=False if code in PERMANENT_CODES or data.get("retryable") is False else None,
        retry_after=retry_after,
    )


_KINDS: dict[int, tuple[type[ApiError], str]] = {
    400: (ApiError, "the relay API did not accept the request (HTTP 400)"),
    401: (UnauthenticatedError, "the relay API does not accept the workspace's secret (HTTP 401)"),
    403: (DeniedError, "the relay API denies this (HTTP 403)"),
    404: (NotFoundError, "the relay API does not know this (HTTP 404)"),
    422: (ApiError, "the relay API could not act on the request (HTTP 422)"),
    429: (RateLimitedError, "the relay API has had too many requests (HTTP 429)"),
}
_HINTS = {
    400: "check WORKSPACE_ID and the API's version",
    401: "check WORKSPACE_ID and WORKSPACE_TOKEN; the workspace may need to be provisioned anew",
    403: "ask whoever runs the relay API to grant this workspace the repository",
    404: "check the repository's name, CLOUD_API_URL and WORKSPACE_ID",
}
_TROUBLES = {
    Trouble.DNS: ("dns-failed", "the relay API's host name cannot be resolved"),
    Trouble.CONNECT: ("connect-failed", "cannot connect to the relay API"),
    Trouble.TIMEOUT: ("api-timeout", "the relay API did not answer in time"),
    Trouble.READ: ("read-failed", "the connection to the relay API broke"),
    Trouble.PROXY: ("proxy-failed", "the proxy did not reach the relay API"),
}


def _classify_broken(outcome: Broken) -> Retry | Fail:
    detail = printable(redact(outcome.detail), 160)
    if outcome.trouble is Trouble.TLS:
        return Fail(
            TlsError(
                f"no trusted TLS connection to the relay API: {detail}",
                hint="set GIT_CREDENTIAL_RELAY_CA_FILE where a company's own authority signs;"
                " check that the port speaks https",
            )
        )
    code, words = _TROUBLES[outcome.trouble]
    hint = "check CLOUD_API_URL, the network and HTTPS_PROXY"
    return Retry(TransportError(f"{words}: {detail}" if detail else words, code=code, hint=hint))


def _classify_answer(outcome: Answered, now: float) -> Retry | Fail:
    status, data = outcome.status, error_body(outcome.body)
    if 300 <= status < 400:
        return Fail(
            ApiError(
                f"the relay API redirects (HTTP {status}), and the secret does not follow",
                code="redirected",
                hint="set CLOUD_API_URL to the address it redirects to",
            )
        )
    after = _retry_after(outcome.headers, now)
    error = refusal(status, data, after)
    may_pass = status in (408, 425, 429) or 500 <= status < 600
    if may_pass and error.retryable:
        return Retry(error, after)
    return Fail(error)


def _retry_after(headers: dict[str, str], now: float) -> float | None:
    """Seconds to wait by Retry-After (a number or a date), else by X-RateLimit-Reset."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    if text:
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - server_now(headers, now))
        except (ValueError, OverflowError):
            return None
    reset = headers.get("x-ratelimit-reset", "").strip()
    if headers.get("x-ratelimit-remaining", "0").strip() == "0" and (
        reset.isascii() and reset.isdigit()
    ):
        return max(0.0, float(reset[:12]) - now)
    return None


def server_now(headers: dict[str, str], now: float) -> float:
    """The server's own time, by which it dates; ours where it does not say."""
    try:
        return parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError, OverflowError):
        return now
