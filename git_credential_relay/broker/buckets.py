"""How many requests somebody may make in a minute, counted by whatever names them.

Workspaces are counted once they are authenticated: counted by the workspace that a caller merely
names, anybody could use up what belongs to another.
"""

from __future__ import annotations

import time
from collections.abc import Callable

MAX_KEYS = 100_000


class Buckets:
    """Token buckets, one per key: `per_minute` requests at once, refilled evenly.

    `now` is any clock in seconds that never goes back. At most `max_keys` are remembered; the
    one that was used longest ago gives way, so that made-up keys cannot fill the memory.
    """

    def __init__(
        self,
        per_minute: int,
        *,
        now: Callable[[], float] = time.monotonic,
        max_keys: int = MAX_KEYS,
    ) -> None:
        self._interval = 60.0 / per_minute
        self._slack = (per_minute - 1) * self._interval
        self._now = now
        self._max_keys = max_keys
        # When the key's bucket is full again; the least recently used key is the first.
        self._full_at: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: str) -> float | None:
        """Take one from the key's bucket; seconds until there is one, where it is empty."""
        now = self._now()
        full_at = max(self._full_at.pop(key, now), now)
        wait = full_at - now - self._slack
        is_empty = wait > self._interval * 1e-6  # else it is the arithmetic's own rounding
        self._full_at[key] = full_at if is_empty else full_at + self._interval
        if len(self._full_at) > self._max_keys:
            del self._full_at[next(iter(self._full_at))]
        return wait if is_empty else None

    def owed(self, key: str) -> float | None:
        """Seconds until the key's bucket has one again; None where it has. Takes nothing."""
        full_at = self._full_at.get(key)
        if full_at is None:
            return None
        wait = full_at - self._now() - self._slack
        return wait if wait > self._interval * 1e-6 else None
