"""The connection of one client: bytes in and out, each step bounded, and whether it is still there.

On the socket itself and not on asyncio's streams: nothing is read before somebody wants it,
so a body of any size passes in constant memory.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from git_credential_relay.relay.sidecar.api_proxy.bounds import MAX_HEAD, PIECE, Bounds
from git_credential_relay.relay.sidecar.api_proxy.head import check_head, find_end
from git_credential_relay.relay.sidecar.api_proxy.refusal import BadRequestError


class ClientGoneError(Exception):
    """It has hung up, or stopped to read or to send."""


class Client:
    """Who has connected. `is_idle` while it has not begun to say anything."""

    def __init__(self, connection: socket.socket, uid: int, bounds: Bounds) -> None:
        connection.setblocking(False)
        self.connection = connection
        self.uid = uid
        self.is_idle = True
        self._bounds = bounds
        self._loop = asyncio.get_running_loop()
        self._kept = b""
        self._is_watched = False

    async def read_head(self, *, is_first: bool) -> tuple[bytes, bytes] | None:
        """The next request's head and what came after it; None when there is no other.

        Raises BadRequestError, and ClientGoneError when it takes too long.
        """
        bounds = self._bounds
        self.unwatch()
        data = bytearray(self._kept)
        self._kept = b""
        self.is_idle = not data
        if not data:
            first = await self.receive(bounds.head_seconds if is_first else bounds.idle_seconds)
            if not first:
                return None
            data += first
            self.is_idle = False
        try:
            async with asyncio.timeout(bounds.head_seconds):
                end = await self._find_end(data)
        except TimeoutError as error:
            raise ClientGoneError from error
        head = bytes(data[:end])
        check_head(head)
        return head, bytes(data[end:])

    async def receive(self, seconds: float) -> bytes:
        """What comes next; nothing at the end. Raises ClientGoneError."""
        try:
            async with asyncio.timeout(seconds):
                return await self._loop.sock_recv(self.connection, PIECE)
        except OSError as error:  # TimeoutError too
            raise ClientGoneError from error

    async def send(self, data: bytes | None) -> None:
        """Send all of `data`. Raises ClientGoneError when nobody reads."""
        view = memoryview(data or b"")
        try:
            for start in range(0, len(view), PIECE):
                async with asyncio.timeout(self._bounds.write_seconds):
                    await self._loop.sock_sendall(self.connection, view[start : start + PIECE])
        except OSError as error:
            raise ClientGoneError from error

    def keep(self, data: bytes) -> None:
        """Put back what belongs to the next request."""
        self._kept = data

    def watch(self, hung_up: Callable[[], object]) -> None:
        """Call `hung_up` when it does so, until it sends something or is read from again."""
        if not self._is_watched:
            self._is_watched = True
            self._loop.add_reader(self.connection, self._look, hung_up)

    def unwatch(self) -> None:
        """Stop watching."""
        if self._is_watched:
            self._is_watched = False
            self._loop.remove_reader(self.connection)

    async def linger(self) -> None:
        """Close our half, and read what it still sends: or it would not get our last answer.

        A unix socket that is closed with bytes unread is reset at the other end.
        """
        self.unwatch()
        try:
            self.connection.shutdown(socket.SHUT_WR)
            async with asyncio.timeout(self._bounds.linger_seconds):
                while await self._loop.sock_recv(self.connection, PIECE):
                    pass
        except OSError:
            pass  # it is gone, or does not stop: it had its chance

    def close(self) -> None:
        """End it."""
        self.unwatch()
        self.connection.close()

    async def _find_end(self, data: bytearray) -> int:
        start = 0
        while (end := find_end(data, start)) is None:
            if len(data) > MAX_HEAD:
                raise BadRequestError("the head is too long")
            start = max(0, len(data) - 2)
            more = await self.receive(self._bounds.head_seconds)
            if not more:
                raise ClientGoneError
            data += more
        if end > MAX_HEAD:
            raise BadRequestError("the head is too long")
        return end

    def _look(self, hung_up: Callable[[], object]) -> None:
        try:
            is_there = bool(self.connection.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return
        except OSError:
            is_there = False
        self.unwatch()
        if not is_there:
            hung_up()
