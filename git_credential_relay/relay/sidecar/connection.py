"""One connection of a client: bounded in size, time and number, whatever it does.

Source: credential-cache.c: a client closes its half and reads to the end. One that is cut off keeps
silent too: git takes a reset for an end, and dies quietly of a broken pipe. But with the reset it
loses the answer, so what it still says is read before the connection is closed: unread bytes of a
closed unix socket are a reset.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Awaitable, Callable

from git_credential_relay.credential.request import MAX_REQUEST
from git_credential_relay.relay.sidecar.peer import Peer
from git_credential_relay.relay.sidecar.room import Room
from git_credential_relay.trace import Trace

# Git has all it wants to say when it connects, and reads at once.
REQUEST_SECONDS = 5.0
READ_SECONDS = 10.0
# How often to look whether those who wait for an answer are still there.
LOOK_SECONDS = 0.5
# When we end: for those who are just saying what they want, or reading the answer.
HURRIED_SECONDS = 0.5

Answer = Callable[[Peer, bytes], bytes | Awaitable[bytes]]


class Connections:
    """The connections at one socket, within the `room` that all sockets share."""

    def __init__(self, room: Room, trace: Trace) -> None:
        self.room = room
        self.trace = trace
        self.open: set[Connection] = set()
        self._changed = asyncio.Event()

    def opened(self, connection: Connection) -> None:
        """Count `connection` in."""
        self.open.add(connection)

    def closed(self, connection: Connection) -> None:
        """Count `connection` out."""
        self.open.discard(connection)
        self.changed()

    def changed(self) -> None:
        """Note that a connection has been answered, or has gone."""
        self._changed.set()

    async def end(self, seconds: float) -> None:
        """Let those who wait for an answer have it, for so long; then cut them off.

        The others are not waited for: they might say, or read, a byte a second.
        """
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + seconds
        await self._until(min(ends_at, loop.time() + HURRIED_SECONDS), lambda: not self.open)
        for connection in [each for each in self.open if not each.is_waiting]:
            connection.close()
        await self._until(ends_at, lambda: not any(each.is_waiting for each in self.open))
        await self._until(min(ends_at, loop.time() + HURRIED_SECONDS), lambda: not self.open)
        for connection in list(self.open):
            connection.close()

    async def _until(self, at: float, is_so: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout_at(at):
                while not is_so():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pass


class Connection(asyncio.Protocol):
    """Reads one request of `peer`, answers it, and closes. It begins with what was `said`.

    Whoever makes one has entered it into the room; it leaves by itself.
    """

    def __init__(
        self, peer: Peer, connections: Connections, answer: Answer, said: bytes = b""
    ) -> None:
        self.is_waiting = False
        self.peer = peer
        self._connections = connections
        self._answer = answer
        self._said = said
        self._data = bytearray()
        self._held = 0
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_asked = False
        self._is_ended = False
        self._ignored = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Give it its time."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a stream's, by its factory
        self._transport = transport
        self._connections.opened(self)
        self._limit(REQUEST_SECONDS)
        if self._said:
            self.data_received(self._said)
            self._said = b""

    def data_received(self, data: bytes) -> None:
        """Collect the request; an empty line ends it too."""
        if self._is_asked:
            self._ignored += len(data)
            if self._ignored > MAX_REQUEST:
                self._transport.abort()
            return
        known = max(0, len(self._data) - 1)
        self._data += data
        if len(self._data) > MAX_REQUEST or not self._hold(len(self._data)):
            self._transport.abort()
        elif self._data.find(b"\n\n", known) >= 0:  # from there: a byte at a time is no work
            self._ask()

    def eof_received(self) -> bool:
        """The client's half is closed: answer on ours, if that is not done; else close it, too."""
        self._is_ended = True
        if not self._is_asked:
            self._ask()
            return True
        return self.is_waiting

    def connection_lost(self, error: Exception | None) -> None:
        """Whatever it was waiting for goes on for others; it is not answered."""
        self._unlimit()
        self._hold(0)
        self._connections.closed(self)
        self._connections.room.leave(self.peer.uid)
        if self._task is not None:
            self._task.cancel()

    def close(self) -> None:
        """End it at once."""
        self._transport.abort()

    def _ask(self) -> None:
        self._is_asked = self.is_waiting = True
        self._unlimit()
        data = bytes(self._data)
        self._data.clear()
        self._hold(0)
        try:
            answer = self._answer(self.peer, data)
        except Exception as error:  # noqa: BLE001 - one client's trouble is nobody else's
            self._fail(error)
            return
        if isinstance(answer, bytes):
            self._write(answer)
        else:
            self._task = asyncio.ensure_future(self._wait(answer))
            self._look()

    def _look(self) -> None:
        """End it when the client has gone: git half-closes at once, so no end of file tells."""
        if has_gone(self._transport.get_extra_info("socket")):
            self._transport.abort()
        else:
            self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    async def _wait(self, answer: Awaitable[bytes]) -> None:
        try:
            self._write(await answer)
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        # Ours to mend, so it belongs into the log.
        context = {"message": "a client was not answered", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)
        self._write(b"")

    def _write(self, answer: bytes) -> None:
        self.is_waiting = False
        self._connections.changed()
        self._unlimit()
        if answer:
            self._transport.write(answer)
        self._limit(READ_SECONDS)
        if not self._hold(self._transport.get_write_buffer_size()):
            self._transport.abort()
        if self._is_ended:
            self._transport.close()
        else:
            self._transport.write_eof()

    def _hold(self, size: int) -> bool:
        """Note how many bytes this connection has in our memory; False for too many."""
        change, self._held = size - self._held, size
        return not change or self._connections.room.hold(self.peer.uid, change)

    def _limit(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._transport.abort)

    def _unlimit(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def has_gone(connection: socket.socket) -> bool:
    """Whether the other end is closed, rather than its half. unix(7)'s poll tells them apart."""
    poll = select.poll()
    poll.register(connection, 0)
    return bool(poll.poll(0))
