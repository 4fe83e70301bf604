"""What a cache of tokens promises, wherever it keeps them.

A cache never fails a vend: in trouble it has nothing to give, lets everybody mint, and says so
in `last_trouble`.
"""

from __future__ import annotations

from typing import Protocol


class Lead(Protocol):
    """The right to mint for a key, which nobody else has until it is released or runs out."""

    async def release(self) -> None:
        """Let the next one lead. Nothing, where the time is over and another one leads."""
        ...


class TokenCache(Protocol):
    """Values by key, each for its own time. Safe for many tasks of one event loop."""

    @property
    def last_trouble(self) -> str | None:
        """Why it cannot be used at the moment; None when it can. Names no host and no secret."""
        ...

    async def get(self, key: str) -> bytes | None:
        """The value that was put last, if its time is not over."""
        ...

    async def put(self, key: str, value: bytes, seconds: float) -> None:
        """Keep `value` for so long, in place of another one."""
        ...

    async def drop(self, key: str, value: bytes) -> None:
        """Forget `value`, unless it has been replaced in the meantime."""
        ...

    async def lead(self, key: str, seconds: float) -> Lead | None:
        """The right to mint for `key`, for `seconds` at most.

        None: another broker is minting right now; look for its value a little later. Among the
        tasks of one process the caller has to choose itself.
        """
        ...

    def size(self) -> int | None:
        """How many values there are, where it is known."""
        ...

    async def ping(self) -> None:
        """Try it, so that `last_trouble` is of now. Raises nothing."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...
