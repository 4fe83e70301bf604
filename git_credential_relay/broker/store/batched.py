"""Many questions at once, few round trips: those that come while one runs share the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

Answer = TypeVar("Answer")

MOST = 1000  # keys in one query


class Batched(Generic[Answer]):
    """Answers single keys through `fetch`, which takes many and leaves out those without one.

    Every fetch that answers a question began after the question was asked, so an answer is
    never older than its question. For one event loop at a time.
    """

    def __init__(self, fetch: Callable[[Sequence[str]], Awaitable[Mapping[str, Answer]]]) -> None:
        self._fetch = fetch
        self._waiting: dict[str, list[asyncio.Future[Answer | None]]] = {}
        self._running: asyncio.Task[None] | None = None

    async def find(self, key: str) -> Answer | None:
        """The answer for `key`, None where there is none. Raises what `fetch` raises."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer | None] = loop.create_future()
        self._waiting.setdefault(key, []).append(answer)
        if self._running is None or self._running.get_loop() is not loop:
            self._running = loop.create_task(self._run())
        return await answer

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch = {key: self._waiting.pop(key) for key in list(self._waiting)[:MOST]}
                await self._answer(batch)
        finally:
            self._running = None

    async def _answer(self, batch: dict[str, list[asyncio.Future[Answer | None]]]) -> None:
        found: Mapping[str, Answer] = {}
        failure: BaseException | None = None
        try:
            found = await self._fetch(list(batch))
        except BaseException as error:  # noqa: BLE001 - whoever asked gets it
            failure = error
        for key, futures in batch.items():
            for future in futures:
                if future.done():  # its asker has gone
                    continue
                if failure is None:
                    future.set_result(found.get(key))
                elif isinstance(failure, asyncio.CancelledError):
                    future.cancel()
                else:
                    future.set_exception(failure)
        if isinstance(failure, asyncio.CancelledError):
            raise failure
