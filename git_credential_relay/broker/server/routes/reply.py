"""An answer of the broker's: status, JSON body, headers. Pure, but for sending it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec
from starlette.types import Send

from git_credential_relay.broker.errors import BrokerError
from git_credential_relay.broker.server.http_errors import (
    BodyTooLargeError,
    FramingError,
    MethodNotAllowedError,
    TimedOutError,
)

Headers = tuple[tuple[bytes, bytes], ...]
_JSON = b"application/json"
_encode = msgspec.json.Encoder().encode


class ErrorBody(msgspec.Struct, kw_only=True):
    """What every refusal says: what happened, a stable code, what to do, whether to try again."""

    error: str
    code: str
    hint: str | None
    details: str | None = None
    retryable: bool


@dataclass(frozen=True, slots=True)
class Reply:
    """What is sent; `headers` are those besides content type and length."""

    status: int
    body: bytes
    headers: Headers = ()
    content_type: bytes = _JSON

    async def send(self, send: Send) -> None:
        """Send it, whole."""
        headers = [
            (b"content-type", self.content_type),
            (b"content-length", str(len(self.body)).encode()),
            *self.headers,
        ]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


def json_reply(status: int, content: object, headers: Headers = ()) -> Reply:
    """`content` as JSON."""
    return Reply(status, _encode(content), headers)


def refusal(status: int, code: str, message: str, hint: str | None, headers: Headers = ()) -> Reply:
    """A "no" that trying again does not change."""
    body = ErrorBody(error=message, code=code, hint=hint, retryable=False)
    return Reply(status, _encode(body), headers)


def error_reply(error: BrokerError) -> Reply:
    """What a caller is told of an error: never its `reason`, which is for the audit."""
    body = ErrorBody(
        error=error.message,
        code=error.code,
        hint=error.hint,
        details=error.details,
        retryable=error.retryable,
    )
    return Reply(error.status, _encode(body), tuple(_headers(error)))


def _headers(error: BrokerError) -> list[tuple[bytes, bytes]]:
    headers = []
    if error.retry_after is not None:
        headers.append((b"retry-after", str(max(1, math.ceil(error.retry_after))).encode()))
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, MethodNotAllowedError):
        headers.append((b"allow", error.allowed.encode()))
    if isinstance(error, BodyTooLargeError | FramingError | TimedOutError):
        # The rest of the body may still be on its way, and nobody is going to read it.
        headers.append((b"connection", b"close"))
    return headers
