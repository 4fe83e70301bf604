"""One connection: how it is read, answered and ended, on real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from git_credential_relay.relay.sidecar.accept import Acceptor
from git_credential_relay.relay.sidecar.connection import HURRIED_SECONDS, Connections, has_gone
from git_credential_relay.relay.sidecar.peer import Peer
from git_credential_relay.relay.sidecar.room import Room
from git_credential_relay.trace import Trace
from tests.fakes.resident import until

Answer = Callable[[Peer, bytes], bytes | Awaitable[bytes]]


@asynccontextmanager
async def served(answer: Answer, room: Room | None = None):
    """Connections at a socket of the abstract namespace, and how to connect to it."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.setblocking(False)
        listening.bind("")
        listening.listen(100)
        connections = Connections(room or Room(), Trace())
        acceptor = Acceptor(listening, connections, answer)
        acceptor.start()
        address = listening.getsockname().decode()
        try:
            yield connections, lambda: asyncio.open_unix_connection(address)
        finally:
            acceptor.stop()
            await acceptor.settle()
            await connections.end(0.0)
            await asyncio.sleep(0)


def run(test: Awaitable[None]) -> None:
    """Run the test within a limit of time."""

    async def limited() -> None:
        async with asyncio.timeout(20):
            await test

    asyncio.run(limited())


@settings(max_examples=50)
@given(st.lists(st.binary(min_size=1, max_size=6), max_size=8), st.booleans())
def test_however_it_is_cut_the_request_is_the_same(parts, ends):
    """Whatever pieces arrive, the answer is to all of them up to the empty line or the end."""
    seen: list[bytes] = []

    def answer(peer: Peer, data: bytes) -> bytes:
        seen.append(data)
        return b"x"

    async def test() -> None:
        async with served(answer) as (_, connect):
            reader, writer = await connect()
            for part in [*parts, *([b"\n\n"] if ends else [])]:
                writer.write(part)
                await asyncio.sleep(0)
            writer.write_eof()
            assert await reader.read() == b"x"
            writer.close()

    run(test())

    sent = b"".join(parts) + (b"\n\n" if ends else b"")
    assert len(seen) == 1
    assert sent.startswith(seen[0])
    assert seen[0] == sent or b"\n\n" in seen[0]


def test_what_comes_after_the_answer_costs_nobody_the_answer():
    """A client that goes on talking is heard out: unread bytes would be a reset for it."""

    async def test() -> None:
        async with served(lambda peer, data: b"x") as (_, connect):
            reader, writer = await connect()
            writer.write(b"a\n\n")
            assert await reader.read() == b"x"
            writer.write(b"more")
            await writer.drain()
            await asyncio.sleep(0.05)
            writer.write(b"and more")
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    run(test())


@pytest.mark.parametrize("is_late", [False, True])
def test_one_clients_trouble_is_nobody_elses(is_late):
    """An answer that fails is no answer, the next client gets one, and the log gets the error."""
    logged: list[object] = []

    def answer(peer: Peer, data: bytes) -> bytes | Awaitable[bytes]:
        async def later() -> bytes:
            await asyncio.sleep(0)
            raise ValueError("a secret")

        if data.startswith(b"good"):
            return b"fine"
        if is_late:
            return later()
        raise ValueError("a secret")

    async def test() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: logged.append(context["exception"]))
        async with served(answer) as (_, connect):
            for data, expected in ((b"bad\n\n", b""), (b"good\n\n", b"fine")):
                reader, writer = await connect()
                writer.write(data)
                assert await reader.read() == expected
                writer.close()

    run(test())

    assert [type(error) for error in logged] == [ValueError]


def test_who_waits_is_waited_for_and_others_are_not():
    """At the end an answer that is on its way arrives; who is silent is cut off."""
    go = asyncio.Event()

    async def late() -> bytes:
        await go.wait()
        return b"late"

    async def test() -> None:
        async with served(lambda peer, data: late()) as (connections, connect):
            reader, writer = await connect()
            writer.write(b"x\n\n")
            silent, silent_writer = await connect()
            await asyncio.to_thread(until, lambda: len(connections.open) == 2)
            ending = asyncio.create_task(connections.end(10))
            assert await silent.read() == b""
            await asyncio.sleep(1.5 * HURRIED_SECONDS)
            go.set()
            assert await reader.read() == b"late"
            await ending
            for each in (writer, silent_writer):
                each.close()
            assert not connections.open

    run(test())


def test_the_room_is_given_back():
    """Whoever came and went, with or without an answer, takes no place any more."""
    room = Room(files=40)

    async def test() -> None:
        async with served(lambda peer, data: b"x", room) as (connections, connect):
            for number in range(30):
                reader, writer = await connect()
                writer.write(b"x\n\n" if number % 3 else b"")
                if number % 3 == 1:
                    assert await reader.read() == b"x"
                writer.close()
                await asyncio.to_thread(until, lambda: not connections.open)

    run(test())

    assert [room.enter(1) for _ in range(11)].count(True) == 10


def test_who_has_gone_is_found_out():
    """A closed end is told from a closed half: git closes its half at once."""
    for how in (lambda s: s.shutdown(socket.SHUT_WR), lambda s: s.close()):
        here, there = socket.socketpair()
        with here, there:
            before = has_gone(here)
            how(there)
            assert not before
            assert has_gone(here) == (there.fileno() < 0)


def test_an_answer_to_nobody_is_given_up():
    """A client that was killed after it had asked does not keep its place while the API hangs."""
    cancelled = asyncio.Event()

    async def never() -> bytes:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return b""

    async def test() -> None:
        async with served(lambda peer, data: never()) as (connections, connect):
            _, writer = await connect()
            writer.write(b"x\n\n")
            writer.write_eof()
            await asyncio.sleep(0.05)
            writer.close()
            await cancelled.wait()
            assert not connections.open

    run(test())
