"""How much of the sidecar each user may take: connections, memory, and time of its one thread."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable

# `git submodule update --jobs 16` needs 16; nobody gets more of our files than this.
MAX_PER_UID = 256
MAX_IN_ALL = 1024
# Of requests that are not complete and answers that are not read.
MAX_HELD_PER_UID = 8 * 1024 * 1024
# A report of thousands of keys takes milliseconds, during which nobody else is answered: whoever
# asks for one after the other gets a tenth of the time.
PAUSE = 9
MAX_TURNS = 1024


class Room:
    """What the connections of each user take, at all sockets together.

    `files` is how many files the process may have open: half of them are for clients, whatever
    they do, and a single user has at most half of those.
    """

    def __init__(self, files: int = 4 * MAX_IN_ALL) -> None:
        self._most = min(MAX_IN_ALL, files // 2)
        self._most_per_uid = min(MAX_PER_UID, files // 4)
        self._connections: Counter[int] = Counter()
        self._held: Counter[int] = Counter()
        self._total = 0

    def enter(self, uid: int) -> bool:
        """Count a connection in; False when there are too many."""
        if self._total >= self._most or self._connections[uid] >= self._most_per_uid:
            return False
        self._connections[uid] += 1
        self._total += 1
        return True

    def leave(self, uid: int) -> None:
        """Count a connection out that had been let in."""
        self._total -= 1
        _change(self._connections, uid, -1)

    def hold(self, uid: int, change: int) -> bool:
        """Note that the bytes kept for a user have changed; False when they are too many."""
        _change(self._held, uid, change)
        return change <= 0 or self._held[uid] <= MAX_HELD_PER_UID


class Turns:
    """Has each user's long answers made one at a time, with pauses between them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._turns: dict[int, _Turn] = {}

    async def take(self, uid: int, make: Callable[[], bytes]) -> bytes:
        """What `make` gives, when it is the turn of `uid`."""
        self._forget()
        turn = self._turns.setdefault(uid, _Turn())
        async with turn.lock:
            await asyncio.sleep(max(0.0, turn.free_at - self._clock()))
            began_at = self._clock()
            try:
                return make()
            finally:
                ended_at = self._clock()
                turn.free_at = ended_at + PAUSE * (ended_at - began_at)

    def _forget(self) -> None:
        if len(self._turns) >= MAX_TURNS:
            now = self._clock()
            kept = {u: t for u, t in self._turns.items() if t.lock.locked() or t.free_at > now}
            self._turns = kept


class _Turn:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.free_at = 0.0


def _change(counter: Counter[int], uid: int, change: int) -> None:
    counter[uid] += change
    if not counter[uid]:
        del counter[uid]
