"""One piece of work per key at a time, whose result everybody gets who asks meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Joins simultaneous requests for the same key.

    The work is a task of its own: a client that hangs up ends its own waiting and nothing else.
    """

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Task[T]] = {}

    def __len__(self) -> int:
        return len(self._running)

    async def run(self, key: str, work: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """The result of `work`, or of that under way for `key`, and whether it was joined.

        What the work raises, everybody who waits gets.
        """
        task = self._running.get(key)
        has_joined = task is not None
        if task is None:
            task = asyncio.ensure_future(_await(work))
            self._running[key] = task
            task.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(task), has_joined

    async def drain(self) -> None:
        """Wait until nothing is under way."""
        while self._running:
            await asyncio.wait(tuple(self._running.values()))

    def _forget(self, key: str, task: asyncio.Task[T]) -> None:
        if self._running.get(key) is task:
            del self._running[key]
        if not task.cancelled():
            task.exception()  # seen here, where all who waited may have hung up


async def _await(work: Callable[[], Awaitable[T]]) -> T:
    return await work()
