"""Taking clients in at a listening socket, also when there are more than we can have."""

from __future__ import annotations

import asyncio
import errno
import socket

from git_credential_relay.relay.sidecar.connection import Answer, Connection, Connections
from git_credential_relay.relay.sidecar.listener import BACKLOG
from git_credential_relay.relay.sidecar.peer import Peer, peer_of

# At a time, so that those who come do not keep those who are here waiting.
MAX_AT_ONCE = 64
# Until we look again whether there are files to be had.
RETRY_SECONDS = 0.5
# All that git says, and no more memory than is had quickly.
CHUNK = 16 * 1024
_OUT_OF_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Acceptor:
    """Makes a Connection of each client that comes to `listening` and is let in.

    Not asyncio's own server: out of files, that complains a thousand times a second.
    """

    def __init__(self, listening: socket.socket, connections: Connections, answer: Answer) -> None:
        self._listening = listening
        self._connections = connections
        self._answer = answer
        self._loop = asyncio.get_running_loop()
        self._retry: asyncio.TimerHandle | None = None
        self._entering: set[asyncio.Task[None]] = set()
        self._is_stopped = False

    def start(self) -> None:
        """Begin to take clients in."""
        self._retry = None
        self._loop.add_reader(self._listening, self._accept)

    def stop(self) -> None:
        """Take in those who have come by now, and nobody else."""
        self._is_stopped = True
        if self._retry is not None:
            self._retry.cancel()
        self._loop.remove_reader(self._listening)
        for _ in range(BACKLOG):
            if not self._accept_one():
                return

    async def settle(self) -> None:
        """Wait until everybody who was taken in is a connection."""
        if self._entering:
            await asyncio.wait(self._entering)

    def _accept(self) -> None:
        for _ in range(MAX_AT_ONCE):
            if not self._accept_one():
                return

    def _accept_one(self) -> bool:
        try:
            client, _ = self._listening.accept()
        except OSError as error:
            if error.errno in _OUT_OF_ROOM:
                self._pause()
            # Else there is none any more, or it has gone again.
            return error.errno == errno.ECONNABORTED
        self._let_in(client)
        return True

    def _pause(self) -> None:
        """Look away: they wait in the kernel's queue until others have gone."""
        self._connections.trace("out of files")
        self._loop.remove_reader(self._listening)
        if self._retry is None and not self._is_stopped:
            self._retry = self._loop.call_later(RETRY_SECONDS, self.start)

    def _let_in(self, client: socket.socket) -> None:
        try:
            peer = peer_of(client)
            client.setblocking(False)
        except OSError:
            client.close()
            return
        if not self._connections.room.enter(peer.uid):
            self._connections.trace("too many connections", uid=peer.uid)
            client.close()
            return
        said, is_all = hear(client)
        if is_all:
            self._answer_at_once(client, peer, said)
        else:
            self._enter(client, Connection(peer, self._connections, self._answer, said))

    def _answer_at_once(self, client: socket.socket, peer: Peer, said: bytes) -> None:
        """Give those who have asked for what is known the answer, without the work of a
        connection; the others get both."""
        try:
            answer = self._answer(peer, said)
        except Exception:  # noqa: BLE001 - a connection asks again, and has the log told
            self._enter(client, Connection(peer, self._connections, self._answer, said))
            return
        left = answer[tell(client, answer) :] if isinstance(answer, bytes) else answer
        if left == b"":
            client.close()
            self._connections.room.leave(peer.uid)
            return
        self._enter(client, Connection(peer, self._connections, lambda *_: left))

    def _enter(self, client: socket.socket, connection: Connection) -> None:
        task = self._loop.create_task(self._connect(client, connection))
        self._entering.add(task)
        task.add_done_callback(self._entering.discard)

    async def _connect(self, client: socket.socket, connection: Connection) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: connection, client)
        except BaseException:
            if connection not in self._connections.open:
                self._connections.room.leave(connection.peer.uid)
                client.close()
            raise


def hear(client: socket.socket) -> tuple[bytes, bool]:
    """What a client has said by now, and whether that is all: it has closed its half."""
    said = b""
    try:
        said = client.recv(CHUNK)
        more = client.recv(CHUNK)
    except OSError:
        return said, False  # no more for now; what else is wrong shows when it is read on
    return said + more, not more


def tell(client: socket.socket, answer: bytes) -> int:
    """How many bytes of `answer` need no more care: they are sent, or the client has gone."""
    try:
        return client.send(answer)
    except BlockingIOError:
        return 0
    except OSError:
        return len(answer)
