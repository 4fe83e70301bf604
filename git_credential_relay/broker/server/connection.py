"""HTTP connections as uvicorn serves them, bounded where uvicorn does not.

The owner of uvicorn's protocol class. A client that connects and says nothing, or a header now
and then, would otherwise hold a file descriptor for ever (slowloris).
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from git_credential_relay.broker.errors import BadRequestError
from git_credential_relay.broker.server.routes.reply import error_reply

HEADER_SECONDS = 10.0
MAX_HEADER_BYTES = 32 * 1024  # an identity token alone may have 16 KiB


def connection_class(max_connections: int, header_seconds: float) -> type[asyncio.Protocol]:
    """What makes a connection of uvicorn's; beyond `max_connections` it is closed at once."""

    def make(**arguments: Any) -> Connection:
        return Connection(max_connections, header_seconds, **arguments)

    # uvicorn says class, and only ever calls it.
    return cast("type[asyncio.Protocol]", make)


class Connection(H11Protocol):
    """One connection, whose client has `header_seconds` for the headers of each request."""

    def __init__(self, max_connections: int, header_seconds: float, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._max_connections = max_connections
        self._header_seconds = header_seconds
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Watch the first request's headers."""
        super().connection_made(cast("asyncio.Transport", transport))
        if len(self.connections) > self._max_connections:
            # Each descriptor given away here is one less for the database, the forge, the log.
            self.transport.abort()
            return
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Watch while this is not the whole of a request's headers."""
        super().data_received(data)
        if self._is_waiting():
            self._watch()
        else:
            self._unwatch()

    def on_response_complete(self) -> None:
        """Watch when the next request has begun to arrive in the meantime."""
        super().on_response_complete()
        if self._is_waiting() and self.conn.trailing_data[0]:
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop watching."""
        self._unwatch()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Say in JSON, as everywhere, that this is not HTTP or has too large headers."""
        reply = error_reply(
            BadRequestError("this is not an HTTP request, or its headers are too large")
        )
        headers = [
            (b"content-type", reply.content_type),
            (b"content-length", str(len(reply.body)).encode()),
            (b"connection", b"close"),
        ]
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            events: list[h11.Event] = [
                h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
                h11.Data(data=reply.body),
                h11.EndOfMessage(),
            ]
            for event in events:
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _is_waiting(self) -> bool:
        # There is no cycle before the first request, whatever its type says.
        return bool(getattr(self.cycle, "response_complete", True))

    def _watch(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self._header_seconds, self._give_up)

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        if self._is_waiting() and not self.transport.is_closing():
            self.transport.close()
