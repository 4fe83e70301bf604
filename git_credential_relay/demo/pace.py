"""How patient the demo is: its tokens live as long as the machine needs to use them."""

import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Self

# What a start of the program may take before a machine counts as slow.
_USUAL_START_SECONDS = 0.3
_MAX_FACTOR = 8.0


@dataclass(frozen=True, slots=True)
class Pace:
    """`token_seconds`: long enough to use a token twice, short enough to wait for its end.

    A step that relies on the cache begins with `comfort_seconds` of life left; the relay hands
    out nothing with less than `min_lifetime_seconds`.
    """

    token_seconds: int
    comfort_seconds: float
    min_lifetime_seconds: int

    @classmethod
    def of(cls, start_seconds: float) -> Self:
        """The pace for a machine on which a start of the program takes so long."""
        factor = min(max(start_seconds / _USUAL_START_SECONDS, 1.0), _MAX_FACTOR)
        return cls(round(8 * factor), 3 * factor, round(factor))


def measure_start() -> float:
    """Seconds that this machine needs now to start the program once."""
    begin = time.monotonic()
    subprocess.run(
        [sys.executable, "-I", "-c", "import git_credential_relay.cli.app"],
        stdin=subprocess.DEVNULL,
        check=True,
    )
    return time.monotonic() - begin
