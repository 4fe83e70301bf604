"""What a source takes from its surroundings and tells them: the clock, waiting, metrics."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


def _ignore_rate_limit(source: str, remaining: int) -> None:
    """Nobody counts."""


def _ignore_retry(source: str) -> None:
    """Nobody counts."""


@dataclass(frozen=True, slots=True)
class SourceHooks:
    """`now` is Unix time. The others are called with the source's name first.

    `on_rate_limit` gets how many requests the forge still allows, `on_retry` is called once for
    each request that is sent again.
    """

    now: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    on_rate_limit: Callable[[str, int], None] = _ignore_rate_limit
    on_retry: Callable[[str], None] = _ignore_retry
