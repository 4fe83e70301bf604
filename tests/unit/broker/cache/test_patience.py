"""Waiting for an answer that may not come."""

import asyncio
import time

import pytest

from git_credential_relay.broker.cache.patience import within


def test_an_answer_is_passed_on():
    """What the work returns or raises arrives."""

    async def answer():
        return 42

    async def fail():
        raise LookupError("its own")

    assert asyncio.run(within(1, answer())) == 42
    with pytest.raises(LookupError, match="its own"):
        asyncio.run(within(1, fail()))


def test_silence_has_an_end():
    """Work that takes too long is cancelled."""
    ends = []

    async def hang():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    async def scenario():
        with pytest.raises(TimeoutError):
            await within(0.02, hang())
        await asyncio.sleep(0)
        return list(ends)  # the end of the loop would cancel it too

    assert asyncio.run(scenario()) == ["cancelled"]


def test_a_busy_loop_is_no_silence():
    """An answer that came in time counts, though the loop was too busy to look at it."""

    async def ask(port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        work = asyncio.ensure_future(within(0.05, reader.readline()))
        await asyncio.sleep(0.01)
        time.sleep(0.3)  # noqa: ASYNC251 - the very trouble
        answer = await work
        writer.close()
        await writer.wait_closed()
        return answer

    async def greet(_reader, writer):
        await asyncio.sleep(0.02)
        writer.write(b"hello\n")
        writer.close()
        await writer.wait_closed()

    async def scenario():
        async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
            return await ask(server.sockets[0].getsockname()[1])

    assert asyncio.run(scenario()) == b"hello\n"


def test_whoever_gives_up_takes_the_work_along():
    """When the caller is cancelled, so is the work."""
    ends = []

    async def hang():
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("ended")

    async def scenario():
        waiting = asyncio.ensure_future(within(60, hang()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.sleep(0)
        return list(ends)

    assert asyncio.run(scenario()) == ["ended"]
