"""Clients that have said all they want when they are taken in: git is that quick."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

import pytest

from git_credential_relay.credential.request import MAX_REQUEST
from git_credential_relay.relay.sidecar.accept import Acceptor, tell
from git_credential_relay.relay.sidecar.connection import Connections
from git_credential_relay.relay.sidecar.peer import Peer
from git_credential_relay.relay.sidecar.room import Room
from git_credential_relay.trace import Trace
from tests.fakes.resident import until
from tests.fakes.sidecar import read_all

# More than a socket takes at once.
LONG = b"x" * 2_000_000


class Listening:
    """An Acceptor that gives each client what `find` makes of its request.

    It has room for one client at a time.
    """

    def __init__(self, find: Callable[[bytes], bytes | Awaitable[bytes]]) -> None:
        self.seen: list[bytes] = []
        self.logged: list[object] = []
        self.room = Room(files=4)
        self._find = find

    def run(self, *requests: bytes) -> list[bytes]:
        """What clients hear, one after the other, who have asked before they are taken in."""
        return asyncio.run(asyncio.wait_for(self._run(requests), 20))

    async def _run(self, requests: tuple[bytes, ...]) -> list[bytes]:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.logged.append(context["exception"]))
        with socket.socket(socket.AF_UNIX) as listening:
            listening.setblocking(False)
            listening.bind("")
            listening.listen()
            connections = Connections(self.room, Trace())
            acceptor = Acceptor(listening, connections, self._answer)
            acceptor.start()
            heard = []
            for request in requests:
                with socket.socket(socket.AF_UNIX) as client:
                    client.settimeout(10)
                    client.connect(listening.getsockname())
                    left = request[client.send(request) :]
                    if not left:
                        client.shutdown(socket.SHUT_WR)
                    heard.append(await asyncio.to_thread(talk_on, client, left))
                await asyncio.to_thread(until, self._is_empty)
            acceptor.stop()
            await acceptor.settle()
            await connections.end(1)
        return heard

    def _is_empty(self) -> bool:
        is_empty = self.room.enter(0)
        if is_empty:
            self.room.leave(0)
        return is_empty

    def _answer(self, peer: Peer, data: bytes) -> bytes | Awaitable[bytes]:
        self.seen.append(data)
        return self._find(data)


def talk_on(client: socket.socket, left: bytes) -> bytes:
    """Say what is left to say, and hear the answer; none if we are cut off."""
    try:
        if left:
            client.sendall(left)
            client.shutdown(socket.SHUT_WR)
        return read_all(client)
    except (ConnectionResetError, BrokenPipeError):
        return b""


async def later(answer: bytes) -> bytes:
    """An answer that somebody has to be asked for."""
    await asyncio.sleep(0)
    return answer


@pytest.mark.parametrize("answer", [b"", b"an answer", LONG], ids=["none", "short", "long"])
@pytest.mark.parametrize("is_late", [False, True], ids=["known", "late"])
def test_each_is_answered_and_leaves(answer, is_late):
    """Whether the answer is known or not, and however long it is; each is asked for once."""
    listening = Listening(lambda _: later(answer) if is_late else answer)
    requests = [b"action=get\n", b"action=get\nwith=a line\n\n", b""]

    assert listening.run(*requests) == [answer] * 3
    assert (listening.seen, listening.logged) == (requests, [])


def test_trouble_with_one_is_told_once_and_is_nobody_elses():
    """It hears nothing, the next one is answered, and the log gets the error."""

    def find(data: bytes) -> bytes:
        if data == b"bad":
            raise ValueError("a secret")
        return b"fine"

    listening = Listening(find)

    assert listening.run(b"bad", b"good") == [b"", b"fine"]
    assert [type(error) for error in listening.logged] == [ValueError]


@pytest.mark.parametrize(("size", "is_heard"), [(MAX_REQUEST, True), (MAX_REQUEST + 1, False)])
def test_who_says_too_much_is_not_heard(size, is_heard):
    """The limit of a request holds for it too."""
    listening = Listening(lambda data: b"%d" % len(data))

    assert listening.run(b"y" * size) == [b"%d" % size if is_heard else b""]
    assert len(listening.seen) == is_heard


def test_what_cannot_be_sent_yet_is_not_lost():
    """A full socket takes nothing now, but later; one whose other end has gone never will."""
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        while tell(here, LONG):
            pass
        there.close()

        assert tell(here, b"answer") == len(b"answer")


def test_who_has_come_before_the_end_is_answered():
    """Clients that wait to be taken in when the socket goes, known answer or not."""

    async def test() -> list[bytes]:
        with socket.socket(socket.AF_UNIX) as listening, ExitStack() as stack:
            listening.setblocking(False)
            listening.bind("")
            listening.listen()
            connections = Connections(Room(), Trace())
            acceptor = Acceptor(
                listening, connections, lambda _, data: data if data == b"known" else later(data)
            )
            clients = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(4)]
            for number, client in enumerate(clients):
                client.settimeout(5)
                client.connect(listening.getsockname())
                client.sendall(b"late" if number % 2 else b"known")
                client.shutdown(socket.SHUT_WR)
            acceptor.start()
            acceptor.stop()
            await acceptor.settle()
            await connections.end(5)
            return [client.recv(100) for client in clients]

    assert asyncio.run(test()) == [b"known", b"late"] * 2
