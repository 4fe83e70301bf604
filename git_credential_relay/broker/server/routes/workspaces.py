"""/api/workspaces: for administrators, each request with its event in the audit."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import msgspec
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from git_credential_relay.broker.audit.event import AuditEvent
from git_credential_relay.broker.errors import (
    BadRequestError,
    CallerUnknownError,
    WorkspaceNotFoundError,
)
from git_credential_relay.broker.identity.caller import Caller
from git_credential_relay.broker.identity.guesses import ADMINISTRATOR, Guesses
from git_credential_relay.broker.server.http_errors import MediaTypeError, MethodNotAllowedError
from git_credential_relay.broker.server.routes.body import read_body
from git_credential_relay.broker.server.routes.context import address_of, request_id_of
from git_credential_relay.broker.server.routes.fields import find_text, query_fields
from git_credential_relay.broker.server.routes.reply import Headers, Reply, json_reply
from git_credential_relay.broker.workspaces.directory import ID
from git_credential_relay.broker.workspaces.operations import MAX_PAGE, Workspaces
from git_credential_relay.broker.workspaces.record import ADMIN, AuditWriter, Record
from git_credential_relay.broker.workspaces.wire import (
    ChangeRequest,
    CreateRequest,
    RotateRequest,
    WorkspaceView,
)

PATH = "/api/workspaces"
PAGE = 100
_ETAG = re.compile(r'"(\d{1,19})"')
_SINGLE = frozenset({b"authorization", b"content-type", b"content-length", b"if-match", b"host"})
T = TypeVar("T")


class Gate(Protocol):
    """Tells administrators from everybody else."""

    async def identify(self, unverified_bearer: str | None) -> Caller:
        """The administrator who asks. Raises BrokerError."""
        ...


class _Asked:
    """One request, as far as the operations need it."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._scope = scope
        self._receive = receive
        self.address = address_of(scope)
        self.headers = _headers(scope)

    @property
    def id(self) -> str:
        """The workspace that the path names; what cannot be an id is none that there is."""
        id: str = self._scope["path_params"]["id"]
        if not ID.fullmatch(id):
            raise WorkspaceNotFoundError("there is no such workspace")
        return id

    @property
    def bearer(self) -> str | None:
        """What is sent as proof, unchecked."""
        scheme, _, value = self.headers.get(b"authorization", b"").strip().partition(b" ")
        if scheme.lower() != b"bearer" or not value.strip():
            return None
        return value.strip().decode(errors="replace")

    @property
    def api_url(self) -> str:
        """This broker's address, as the administrator has reached it."""
        host = self.headers.get(b"host", b"").decode("latin-1")
        return f"{self._scope.get('scheme', 'http')}://{host}"

    def text(self, name: str) -> str | None:
        """A field of the query."""
        return find_text(query_fields(self._scope["query_string"]), name)

    def if_match(self) -> int | None:
        """The revision that If-Match demands. Raises BadRequestError for another form of it."""
        header = self.headers.get(b"if-match", b"*").decode("latin-1").strip()
        if header == "*":
            return None
        match = _ETAG.fullmatch(header)
        if match is None:
            raise BadRequestError("If-Match is no revision", hint='as in the ETag: "123"')
        return int(match[1])

    async def body(self, kind: type[T]) -> T:
        """The JSON body. Raises BadRequestError that names the place, and no value."""
        media_type = self.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if media_type not in (b"application/json", b""):
            # A form is what a browser sends across sites without asking.
            raise MediaTypeError("the body is not JSON", hint="application/json")
        raw = await read_body(self._receive)
        try:
            return msgspec.json.decode(raw or b"{}", type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BadRequestError(f"the body cannot be read: {_place(error)}") from error


Run = Callable[[_Asked, Record], Awaitable[Reply]]


class _AdminRoute:
    """Asks the gate, runs what the method means, and records how it ended."""

    def __init__(
        self,
        gate: Gate,
        guesses: Guesses,
        audit: AuditWriter,
        now: Callable[[], float],
        methods: dict[str, tuple[str, Run]],
    ) -> None:
        self._gate = gate
        self._guesses = guesses
        self._audit = audit
        self._now = now
        self._methods = methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises BrokerError."""
        action, run = self._methods.get(scope["method"], (None, None))
        event = AuditEvent(
            at=self._now(),
            request_id=request_id_of(scope),
            kind=ADMIN,
            action=action,
            address=address_of(scope),
        )
        record = Record(self._audit, event)
        try:
            if run is None:
                raise MethodNotAllowedError(", ".join(self._methods))
            reply = await self._run(run, _Asked(scope, receive), record)
        except BaseException as error:
            # Crashes and clients that hang up too: what was begun must not leave no trace.
            record.fail(error)
            raise
        await reply.send(send)

    async def _run(self, run: Run, asked: _Asked, record: Record) -> Reply:
        self._guesses.check(asked.address, ADMINISTRATOR)
        try:
            caller = await self._gate.identify(asked.bearer)
        except CallerUnknownError:
            self._guesses.failed(asked.address, ADMINISTRATOR)
            raise
        record.event.caller = f"{caller.kind}:{caller.name}"
        record.event.claims = caller.claims
        reply = await run(asked, record)
        record.allow(reply.status)
        return reply


def workspace_routes(
    workspaces: Workspaces,
    gate: Gate,
    audit: AuditWriter,
    *,
    now: Callable[[], float] = time.time,
) -> list[BaseRoute]:
    """The routes of the admin API. `now` gives Unix seconds."""
    guesses = Guesses()

    async def create(asked: _Asked, record: Record) -> Reply:
        request = await asked.body(CreateRequest)
        made = await workspaces.create(request, record, asked.api_url)
        location = f"{PATH}/{made.workspace.id}".encode()
        return json_reply(201, made, (*_etag(made.workspace), (b"location", location)))

    async def page(asked: _Asked, record: Record) -> Reply:
        return json_reply(200, await workspaces.page(asked.text("after"), _limit(asked)))

    async def show(asked: _Asked, record: Record) -> Reply:
        record.event.workspace = asked.id
        shown = await workspaces.show(asked.id)
        return json_reply(200, shown, _etag(shown))

    async def change(asked: _Asked, record: Record) -> Reply:
        record.event.workspace = asked.id
        request = await asked.body(ChangeRequest)
        request.revision = _revision(request.revision, asked.if_match())
        changed = await workspaces.change(asked.id, request, record)
        return json_reply(200, changed, _etag(changed.workspace))

    async def rotate(asked: _Asked, record: Record) -> Reply:
        record.event.workspace = asked.id
        request = await asked.body(RotateRequest)
        request.revision = _revision(request.revision, asked.if_match())
        rotated = await workspaces.rotate(asked.id, request, record)
        return json_reply(200, rotated, _etag(rotated.workspace))

    async def delete(asked: _Asked, record: Record) -> Reply:
        record.event.workspace = asked.id
        return json_reply(200, await workspaces.delete(asked.id, record))

    def route(path: str, methods: dict[str, tuple[str, Run]]) -> Route:
        return Route(path, _AdminRoute(gate, guesses, audit, now, methods))

    return [
        route(PATH, {"GET": ("list", page), "POST": ("create", create)}),
        route(
            PATH + "/{id}",
            {"GET": ("show", show), "PATCH": ("change", change), "DELETE": ("delete", delete)},
        ),
        route(PATH + "/{id}/rotate", {"POST": ("rotate", rotate)}),
    ]


def _headers(scope: Scope) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in headers and name in _SINGLE:
            raise BadRequestError(f"the header {name.decode('latin-1')} is there twice")
        headers[name] = value
    return headers


def _etag(view: WorkspaceView) -> Headers:
    return ((b"etag", f'"{view.revision}"'.encode()),)


def _revision(in_body: int | None, in_header: int | None) -> int | None:
    if in_body is not None and in_header is not None and in_body != in_header:
        raise BadRequestError("revision and If-Match differ")
    return in_header if in_body is None else in_body


def _limit(asked: _Asked) -> int:
    text = asked.text("limit")
    if text is None:
        return PAGE
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= MAX_PAGE):
        raise BadRequestError(f"limit is no number from 1 to {MAX_PAGE}")
    return int(text)


def _place(error: Exception) -> str:
    if isinstance(error, msgspec.ValidationError):
        return str(error)
    return "it is not JSON"
