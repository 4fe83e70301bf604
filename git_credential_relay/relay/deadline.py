"""One time budget for a whole operation, passed down instead of per-call timeouts."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final


class Clock:
    """The clocks and the sleep that everything here uses, so that a test can pass its own.

    `now` is Unix time, for expiries. `monotonic` counts seconds since boot and is shared by
    all processes of the machine, for budgets.
    """

    __slots__ = ("monotonic", "now", "sleep")

    def __init__(
        self,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.now: Final = now
        self.monotonic: Final = monotonic
        self.sleep: Final = sleep


class Deadline:
    """The moment, in monotonic seconds, by which an operation must have ended."""

    __slots__ = ("at", "clock")

    def __init__(self, seconds: float, clock: Clock) -> None:
        self.clock: Final = clock
        self.at: Final = clock.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left; 0 when it has passed."""
        return max(0.0, self.at - self.clock.monotonic())
