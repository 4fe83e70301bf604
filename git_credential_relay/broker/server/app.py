"""The broker as an ASGI application: routes, and around them what holds for every answer.

Pure ASGI in few layers, for the whole of it is on the path of each cached vend.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from git_credential_relay.broker.addresses import parse_networks
from git_credential_relay.broker.config.load import BrokerConfig
from git_credential_relay.broker.errors import BrokerError
from git_credential_relay.broker.metrics import CONTENT_TYPE, Metrics
from git_credential_relay.broker.server.http_errors import MethodNotAllowedError, NoRouteError
from git_credential_relay.broker.server.limits import Limits
from git_credential_relay.broker.server.openapi import document
from git_credential_relay.broker.server.routes import token
from git_credential_relay.broker.server.routes.context import REQUEST_ID, address_of
from git_credential_relay.broker.server.routes.probes import Readiness, ReadRoute, health
from git_credential_relay.broker.server.routes.reply import Reply, error_reply
from git_credential_relay.broker.vend.audited import AuditWriter
from git_credential_relay.broker.vend.interface import Answer, Query

_SANE_REQUEST_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")
# An answer may hold a token, and no proxy is to keep one, nor a browser to guess what it is.
_ALWAYS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))

_log = logging.getLogger(__name__)


class Vending(Protocol):
    """What the application needs of the broker."""

    config: BrokerConfig
    metrics: Metrics

    @property
    def audit(self) -> AuditWriter:
        """Where refusals are recorded that never become a query."""
        ...

    async def vend(self, query: Query) -> Answer:
        """The answer to a query, which is on record by then. Raises BrokerError."""
        ...

    async def readiness(self) -> dict[str, str]:
        """Each part of the broker: "ok", or what is not ready about it."""
        ...


def build_app(
    broker: Vending,
    more_routes: Iterable[BaseRoute] = (),
    *,
    now: Callable[[], float] = time.monotonic,
) -> ASGIApp:
    """The application. Raises ConfigError for limits that cannot be."""
    router = Router(
        [
            Route(token.PATH, token.TokenRoute(broker.vend, broker.audit.write)),
            *_own_routes(broker, now),
            *more_routes,
        ],
        redirect_slashes=False,
    )
    model = broker.config.model
    limits = Limits(
        router,
        model.limits,
        parse_networks(model.trusted_proxies),
        record=broker.audit.write,
        now=now,
    )
    broker.metrics.watch_requests(lambda: limits.in_flight)
    return Edge(limits, broker.metrics)


def _own_routes(broker: Vending, now: Callable[[], float]) -> list[BaseRoute]:
    async def metrics() -> Reply:
        return Reply(200, broker.metrics.render(), content_type=CONTENT_TYPE)

    async def openapi() -> Reply:
        return Reply(200, document())

    reads: dict[str, Callable[[], Awaitable[Reply]]] = {
        "/healthz": health,
        "/readyz": Readiness(broker.readiness, now=now).read,
        "/metrics": metrics,
        "/openapi.json": openapi,
    }
    return [Route(path, ReadRoute(read)) for path, read in reads.items()]


class Edge:
    """Gives each request its id and each error its words; nothing unforeseen is told outside."""

    def __init__(self, inner: ASGIApp, metrics: Metrics) -> None:
        self._inner = inner
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens."""
        if scope["type"] != "http":
            return
        request_id = _request_id(scope)
        scope[REQUEST_ID] = request_id
        scope["app"] = self  # starlette raises its own refusals then, instead of sending text
        status = 0

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                more = (*_ALWAYS, (b"x-request-id", request_id.encode()))
                message["headers"] = [*message["headers"], *more]
            await send(message)

        started = time.perf_counter()
        try:
            await self._inner(scope, receive, send_marked)
        except Exception as error:  # noqa: BLE001 - the last place that can answer
            reply = error_reply(_told(error, request_id))
            if not status:
                await reply.send(send_marked)
        finally:
            route = getattr(scope.get("route"), "path", "")
            self._metrics.answered(route, status or 499)
            if _log.isEnabledFor(logging.DEBUG):
                _log_request(scope, route, status, time.perf_counter() - started)


def _told(error: Exception, request_id: str) -> BrokerError:
    """What the caller is told of an error; what only the operator may know goes to the log."""
    match error:
        case BrokerError():
            if error.status >= 500:
                _log.warning(
                    "%s [%s] %s",
                    error.message,
                    error.code,
                    error.reason or "",
                    extra={"request_id": request_id},
                )
            return error
        case HTTPException(status_code=405):
            return MethodNotAllowedError(dict(error.headers or {}).get("Allow", ""))
        case HTTPException(status_code=404):
            return NoRouteError("there is nothing at this path", hint="see /openapi.json")
        case _:
            _log.error("a request failed", exc_info=error, extra={"request_id": request_id})
            return BrokerError(
                "the broker has failed in a way nobody foresaw",
                hint=f"whoever runs it finds the cause in its log under {request_id}",
            )


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SANE_REQUEST_ID.fullmatch(value):
            text: str = value.decode()
            return text
    return os.urandom(8).hex()


def _log_request(scope: Scope, route: str, status: int, seconds: float) -> None:
    # Without the query: that is the audit's to record.
    _log.debug(
        "%s %s %d",
        scope["method"],
        route or "-",
        status,
        extra={
            "request_id": scope[REQUEST_ID],
            "address": address_of(scope),
            "ms": round(seconds * 1000, 2),
        },
    )
