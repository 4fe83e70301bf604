"""One connection of a client: bounded in size, time and number, whatever it does.

Source: credential-cache--daemon.c: a client closes its half, reads to the end, and takes a
connection that is reset while it reads for an error; so what it sent is read to its end first.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Awaitable, Callable

from git_credential_relay.credential.request import MAX_REQUEST
from git_credential_relay.errors import unforeseen
from git_credential_relay.relay.sidecar.peer import Peer, peer_of
from git_credential_relay.trace import Trace

# Git has all it wants to say when it connects, and reads at once.
REQUEST_SECONDS = 5.0
READ_SECONDS = 10.0
# `git submodule update --jobs 16` needs 16; nobody gets more of our files than this.
MAX_PER_UID = 256
MAX_IN_ALL = 1024

Answer = Callable[[Peer, bytes], bytes | Awaitable[bytes]]


class Connections:
    """All connections of a sidecar, counted by who has them."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.open: set[Connection] = set()
        self.none_left = asyncio.Event()
        self.none_left.set()
        self._by_uid: Counter[int] = Counter()

    def enter(self, connection: Connection, uid: int) -> bool:
        """Count `connection` in; False when there are too many."""
        if self._by_uid[uid] >= MAX_PER_UID or len(self.open) >= MAX_IN_ALL:
            return False
        self.open.add(connection)
        self.none_left.clear()
        self._by_uid[uid] += 1
        return True

    def leave(self, connection: Connection, uid: int) -> None:
        """Count `connection` out, if it was in."""
        if connection in self.open:
            self.open.remove(connection)
            if not self.open:
                self.none_left.set()
            self._by_uid[uid] -= 1
            if not self._by_uid[uid]:
                del self._by_uid[uid]


class Connection(asyncio.Protocol):
    """Reads one request, answers it, and closes."""

    def __init__(self, connections: Connections, answer: Answer) -> None:
        self._connections = connections
        self._answer = answer
        self._data = bytearray()
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_asked = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Learn who it is and give it its time."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a stream's, by its factory
        self._transport = transport
        connection: socket.socket = transport.get_extra_info("socket")
        self._peer = peer_of(connection)
        if not self._connections.enter(self, self._peer.uid):
            self._connections.trace("too many connections", uid=self._peer.uid)
            transport.abort()
            return
        self._limit(REQUEST_SECONDS)

    def data_received(self, data: bytes) -> None:
        """Collect the request; an empty line ends it too."""
        if self._is_asked:
            return
        known = max(0, len(self._data) - 1)
        self._data += data
        if len(self._data) > MAX_REQUEST:
            self._transport.abort()
        elif self._data.find(b"\n\n", known) >= 0:  # from there: a byte at a time is no work
            self._ask()

    def eof_received(self) -> bool:
        """The client's half is closed: answer on ours."""
        if not self._is_asked:
            self._ask()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """Whatever it was waiting for goes on for others; it is not answered."""
        self._unlimit()
        self._connections.leave(self, self._peer.uid)
        if self._task is not None:
            self._task.cancel()

    def close(self) -> None:
        """End it at once."""
        self._transport.abort()

    def _ask(self) -> None:
        self._is_asked = True
        self._unlimit()
        try:
            answer = self._answer(self._peer, bytes(self._data))
        except Exception as error:  # noqa: BLE001 - one client's trouble is nobody else's
            self._fail(error)
            return
        finally:
            self._data.clear()
        if isinstance(answer, bytes):
            self._write(answer)
        else:
            self._task = asyncio.ensure_future(self._wait(answer))

    async def _wait(self, answer: Awaitable[bytes]) -> None:
        try:
            self._write(await answer)
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        failure = unforeseen(error)
        self._connections.trace("not answered", reason=failure.message, hint=failure.hint)
        self._write(b"")

    def _write(self, answer: bytes) -> None:
        if answer:
            self._transport.write(answer)
        self._limit(READ_SECONDS)
        self._transport.close()

    def _limit(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._transport.abort)

    def _unlimit(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
