"""Waiting for an answer, but not for long."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_TURNS = 5


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns. Raises TimeoutError when it takes longer; it is cancelled then.

    The time is waited for in several turns. An event loop that was busy for longer than
    `seconds` finds the answer and the end of the time at once, and must not take it for silence.
    """
    task = asyncio.ensure_future(work)
    try:
        for _ in range(_TURNS):
            done, _ = await asyncio.wait({task}, timeout=seconds / _TURNS)
            if done:
                return task.result()
        raise TimeoutError
    finally:
        if not task.done():
            task.add_done_callback(_ignore)
            task.cancel()


def _ignore(task: asyncio.Task[Any]) -> None:
    """Look at its failure, which asyncio would report otherwise."""
    if not task.cancelled():
        task.exception()
