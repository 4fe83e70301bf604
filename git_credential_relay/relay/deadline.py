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
    """The moment, in monotonic seconds, by which an operation must have ended.

    Not `is_patient`: one attempt is enough, since there is something else to go on with.
    """

    __slots__ = ("at", "clock", "is_patient")

    def __init__(self, seconds: float, clock: Clock, *, is_patient: bool = True) -> None:
        self.clock: Final = clock
        self.at: Final = clock.monotonic() + seconds
        self.is_patient: Final = is_patient

    def remaining(self) -> float:
        """Seconds left; 0 when it has passed."""
        return max(0.0, self.at - self.clock.monotonic())

    def impatient(self, seconds: float) -> Deadline:
        """One for a single attempt of at most `seconds`, and not later than this one."""
        return Deadline(min(seconds, self.remaining()), self.clock, is_patient=False)
