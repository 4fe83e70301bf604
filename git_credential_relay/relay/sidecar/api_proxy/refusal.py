"""Errors as gh gets them: a status, and JSON whose `message` it prints. Pure.

gh prints `gh: MESSAGE (HTTP STATUS)` or `HTTP STATUS: MESSAGE (URL)`; after a 401 it advises
`gh auth login`, which helps nobody here, so no error of ours is a 401.
"""

from __future__ import annotations

import json
import math

from git_credential_relay.errors import EXIT_AUTH, RelayError
from git_credential_relay.messages import error_lines

RETRY_SECONDS = 5.0
_NAMES = {
    400: b"Bad Request",
    403: b"Forbidden",
    500: b"Internal Server Error",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
}


class BadRequestError(RelayError):
    """The request has a shape that two programs could read differently, or that nobody needs."""

    code = "bad-http-request"
    exit_code = 2


class ForeignUrlError(RelayError):
    """A request to somebody whom this sidecar does not speak for."""

    code = "foreign-url"
    exit_code = EXIT_AUTH


class UpstreamError(RelayError):
    """The forge, or where it redirected to, cannot be reached or does not speak HTTP."""

    code = "forge-unreachable"
    exit_code = 75
    retryable = True


class BusyError(RelayError):
    """Too many connections."""

    code = "sidecar-busy"
    exit_code = 75
    retryable = True


def status_of(error: RelayError) -> int:
    """Which status tells best what `error` means for the one who asked."""
    if isinstance(error, BadRequestError):
        return 400
    if isinstance(error, UpstreamError):
        return 502
    if error.code == RelayError.code:
        return 500
    if error.retryable:
        return 503
    return 403 if error.exit_code == EXIT_AUTH else 502


def reason_of(status: int) -> bytes:
    """The words that go with a status of ours."""
    return _NAMES[status]


def error_body(error: RelayError) -> bytes:
    """The JSON that says it, as GitHub does."""
    message = " ".join(error_lines(error, lists_sources=False))
    return json.dumps({"message": message, "code": error.code}).encode()


def error_headers(error: RelayError, body: bytes) -> list[tuple[bytes, bytes]]:
    """The headers that go with `body`."""
    headers = [
        (b"Content-Type", b"application/json; charset=utf-8"),
        (b"Content-Length", str(len(body)).encode()),
        (b"Connection", b"close"),
    ]
    if status_of(error) == 503:
        seconds = math.ceil(error.retry_after or RETRY_SECONDS)
        headers.append((b"Retry-After", str(seconds).encode()))
    return headers
