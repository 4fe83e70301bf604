"""The drivers block, so they work in threads; whoever waits for them does not wait for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import ParamSpec, TypeVar

from git_credential_relay.broker.errors import StoreError

P = ParamSpec("P")
T = TypeVar("T")

# Longer than the drivers' own limits, which say better what is wrong. But a server that is
# there and silent passes all of theirs.
ANSWER_SECONDS = 15.0


async def in_time(threads: Executor, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` returns, done by one of `threads`. Raises StoreError after ANSWER_SECONDS."""
    loop = asyncio.get_running_loop()
    done = loop.run_in_executor(threads, lambda: work(*args, **kwargs))
    try:
        return await asyncio.wait_for(done, ANSWER_SECONDS)
    except TimeoutError:
        raise StoreError(
            "the database does not answer", hint="see what keeps the database busy"
        ) from None
