"""When to leave a server in trouble alone, so that it costs the requests next to nothing."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

_log = logging.getLogger(__name__)


class Breaker:
    """After a failure nobody asks for `pause_seconds`; then one asks, and the others wait for it.

    `name` is for the log, which gets one line for each change.
    """

    def __init__(
        self, name: str, pause_seconds: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.trouble: str | None = None
        self._name = name
        self._pause_seconds = pause_seconds
        self._now = now
        self._closed_until = 0.0

    @property
    def is_pausing(self) -> bool:
        """Whether it is too early to ask again."""
        return self.trouble is not None and self._now() < self._closed_until

    def allows(self) -> bool:
        """Whether the caller may ask now; it has to say what came of it."""
        if self.trouble is None:
            return True
        if self.is_pausing:
            return False
        self._closed_until = self._now() + self._pause_seconds
        return True

    def succeeded(self) -> None:
        """The server answered."""
        if self.trouble is not None:
            self.trouble = None
            _log.warning("%s can be used again", self._name)

    def failed(self, trouble: str) -> None:
        """It did not; `trouble` names no host and no secret."""
        if self.trouble is None:
            _log.warning("%s cannot be used: %s", self._name, trouble)
        self.trouble = trouble
        self._closed_until = self._now() + self._pause_seconds
