"""GET and POST /api/git/token: the relay API. A Query comes in, an Answer goes out."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime

import msgspec
from starlette.types import Receive, Scope, Send

from git_credential_relay.broker.audit.event import AuditEvent
from git_credential_relay.broker.errors import BadRequestError, BrokerError
from git_credential_relay.broker.policy import GIT, USES, Denied, NotServed
from git_credential_relay.broker.server.http_errors import MethodNotAllowedError
from git_credential_relay.broker.server.routes.body import read_body
from git_credential_relay.broker.server.routes.context import address_of, request_id_of
from git_credential_relay.broker.server.routes.fields import (
    Fields,
    body_fields,
    find_count,
    find_text,
    query_fields,
    unique,
)
from git_credential_relay.broker.server.routes.reply import Reply, json_reply, refusal
from git_credential_relay.broker.vend.interface import Answer, Query, Vended

PATH = "/api/git/token"
INSTALLATION = "installation"
MAX_LIFETIME = 86_400  # seconds

# What must be there at most once: a proxy may read one of them, and we the other.
_SINGLE = frozenset(
    {b"authorization", b"x-rejected-token-sha256", b"content-type", b"content-length"}
)


class TokenBody(msgspec.Struct, rename="camel", kw_only=True):
    """What a vended token is sent as. `expires_at` is RFC 3339, None for a token without end."""

    token: str
    username: str
    expires_at: str | None
    token_type: str
    user_token: None = None
    installation_token: str | None = None
    host: str
    repositories: tuple[str, ...]
    permissions: Mapping[str, str]

    def __repr__(self) -> str:
        return f"TokenBody({self.host})"


class TokenRoute:
    """Answers requests for a token with what `vend` says.

    `record` puts on record what does not get that far.
    """

    def __init__(
        self,
        vend: Callable[[Query], Awaitable[Answer]],
        record: Callable[[AuditEvent], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._vend = vend
        self._record = record
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises BrokerError."""
        try:
            query = await _read_query(scope, receive)
        except BaseException as error:
            # A client that never ends its body and is cut off leaves its line as well.
            self._record(self._refused(scope, error))
            raise
        await reply_to(await self._vend(query)).send(send)

    def _refused(self, scope: Scope, error: BaseException) -> AuditEvent:
        event = AuditEvent(
            at=self._now(),
            request_id=request_id_of(scope),
            address=address_of(scope),
            reason=type(error).__name__,
        )
        if isinstance(error, BrokerError):
            event.code, event.status, event.reason = error.code, error.status, error.message
        return event


async def _read_query(scope: Scope, receive: Receive) -> Query:
    headers = _headers(scope)
    fields = query_fields(scope["query_string"])
    if scope["method"] == "POST":
        body = await read_body(receive)
        in_body = body_fields(headers.get(b"content-type", b""), body)
        fields = unique([*fields.items(), *in_body.items()])
    elif scope["method"] != "GET":
        raise MethodNotAllowedError("GET, POST")
    return parse_query(fields, headers, address_of(scope), request_id_of(scope))


def parse_query(
    fields: Fields, headers: Mapping[bytes, bytes], address: str | None, request_id: str
) -> Query:
    """The query that the fields and headers are. Raises BadRequestError."""
    use = find_text(fields, "use") or GIT
    if use not in USES:
        raise BadRequestError("use is neither git nor api", hint="use=git")
    return Query(
        unverified_bearer=_bearer(headers.get(b"authorization")),
        unverified_workspace_id=find_text(fields, "workspaceId"),
        host=find_text(fields, "host"),
        path=find_text(fields, "path"),
        use=use,
        min_lifetime=find_count(fields, "minLifetime", MAX_LIFETIME),
        no_cache=_is_no_cache(headers.get(b"cache-control")),
        rejected_sha256=_sha256(headers.get(b"x-rejected-token-sha256")),
        address=address,
        request_id=request_id,
    )


def reply_to(answer: Answer) -> Reply:
    """What an answer is sent as."""
    match answer:
        case Vended():
            return json_reply(200, _body(answer))
        case Denied():
            return refusal(403, answer.code, answer.message, answer.hint)
        case NotServed():
            return refusal(404, "HOST_NOT_SERVED", "this workspace has nothing at this host", None)


def _body(answer: Vended) -> TokenBody:
    token = answer.token.reveal()
    return TokenBody(
        token=token,
        username=answer.username,
        expires_at=None if answer.expires_at is None else _rfc3339(answer.expires_at),
        token_type=answer.token_type,
        installation_token=token if answer.token_type == INSTALLATION else None,
        host=answer.host,
        repositories=answer.repositories,
        permissions=answer.permissions,
    )


def _rfc3339(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _headers(scope: Scope) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in headers:
            if name in _SINGLE:
                raise BadRequestError(f"the header {name.decode('latin-1')} is there twice")
            value = headers[name] + b", " + value
        headers[name] = value
    return headers


def _bearer(header: bytes | None) -> str | None:
    scheme, _, value = (header or b"").strip().partition(b" ")
    if scheme.lower() != b"bearer" or not value.strip():
        return None
    return value.strip().decode(errors="replace")


def _is_no_cache(header: bytes | None) -> bool:
    if not header:
        return False
    return any(part.strip().lower() == b"no-cache" for part in header.split(b","))


def _sha256(header: bytes | None) -> str | None:
    """The hash as this program writes it. A dialect of it would match no token of ours."""
    if header is None:
        return None
    try:
        digest = base64.b64decode(header.strip(), validate=True)
    except binascii.Error:
        digest = b""
    if len(digest) != 32:
        raise BadRequestError("X-Rejected-Token-SHA256 is not the base64 of a SHA-256")
    return base64.b64encode(digest).decode()
