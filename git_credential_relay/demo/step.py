"""What a step of the demo is."""

from collections.abc import Callable
from dataclasses import dataclass

from git_credential_relay.demo.world import World


@dataclass(frozen=True, slots=True)
class Step:
    """One step; `act` returns a remark for the reader.

    It raises BrokenPromiseError, or LeftOutError where it cannot be shown. `chapter` is what
    begins with it, if anything does.
    """

    title: str
    promise: str
    act: Callable[[World], str]
    chapter: str = ""
