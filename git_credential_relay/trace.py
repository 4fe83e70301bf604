"""A trace for people on stderr: what was tried, what came back, how long it took.

Off unless asked for. Everything it prints goes through `redact` and `printable`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final


class Trace:
    """Writes one line per step when it is on; costs one comparison when it is off."""

    __slots__ = ("_write",)

    def __init__(self, write: Callable[[str], object] | None = None) -> None:
        self._write: Final = write

    def __call__(self, step: str, **facts: object) -> None:
        """Note `step` with its `facts`; secrets among them are masked."""
        if self._write is None:
            return
        from git_credential_relay.secret import printable, redact

        text = " ".join([step, *(f"{name}={value}" for name, value in facts.items())])
        try:
            self._write(f"git-credential-relay: trace: {printable(redact(text))}\n")
        except OSError:
            pass  # nobody reads it, which must not cost the answer
