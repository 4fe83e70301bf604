"""Tokens in this process's memory alone."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

LIMIT = 100_000


class OwnLead:
    """Where there is nobody to agree with, everybody leads."""

    async def release(self) -> None:
        """Nothing to release."""


class MemoryCache:
    """The values used least recently go first when there are more than `limit`.

    `now` is a clock in seconds that never goes back.
    """

    last_trouble: str | None = None

    def __init__(self, limit: int = LIMIT, now: Callable[[], float] = time.monotonic) -> None:
        self._entries: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self._limit = limit
        self._now = now

    async def get(self, key: str) -> bytes | None:
        """The value that was put last, if its time is not over."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        value, end = entry
        if end <= self._now():
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return value

    async def put(self, key: str, value: bytes, seconds: float) -> None:
        """Keep `value` for so long, in place of another one."""
        now = self._now()
        self._entries.pop(key, None)
        if seconds > 0:
            self._entries[key] = (value, now + seconds)
        while self._entries and self._may_go(now):
            self._entries.popitem(last=False)

    async def drop(self, key: str, value: bytes) -> None:
        """Forget `value`, unless it has been replaced in the meantime."""
        entry = self._entries.get(key)
        if entry is not None and entry[0] == value:
            del self._entries[key]

    async def lead(self, key: str, seconds: float) -> OwnLead:
        """Always the caller: nobody else sees these values."""
        return OwnLead()

    def size(self) -> int:
        """How many values there are; some of them may be over."""
        return len(self._entries)

    async def ping(self) -> None:
        """It is always there."""

    async def aclose(self) -> None:
        """Forget everything."""
        self._entries.clear()

    def _may_go(self, now: float) -> bool:
        """Whether the one used least recently is one too many, or over."""
        _, end = next(iter(self._entries.values()))
        return len(self._entries) > self._limit or end <= now
