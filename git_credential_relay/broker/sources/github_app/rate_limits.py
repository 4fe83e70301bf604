"""GitHub's rate limits: what an answer says of them, and how long to keep still."""

from __future__ import annotations

from collections.abc import Callable

from git_credential_relay.broker.errors import ForgeUnavailableError
from git_credential_relay.broker.sources.http import ForgeAnswer

# GitHub: without a word of its own at least a minute, and longer each time.
SECONDARY_SECONDS = 60.0
MAX_SECONDS = 3600.0
_WORDS = ("secondary rate limit", "rate limit exceeded", "abuse detection")


def remaining_of(answer: ForgeAnswer) -> int | None:
    """How many requests are left in this hour."""
    return _number(answer, "x-ratelimit-remaining")


def is_limited(answer: ForgeAnswer) -> bool:
    """Whether a limit, primary or secondary, is why the forge says no."""
    if answer.status == 429:
        return True
    return answer.status == 403 and (
        "retry-after" in answer.headers
        or remaining_of(answer) == 0
        or any(words in answer.text(1000).lower() for words in _WORDS)
    )


class RateLimits:
    """Remembers that the forge wants to be left alone.

    GitHub bans an integration that goes on asking while it is limited.
    """

    def __init__(self, now: Callable[[], float], on_remaining: Callable[[int], None]) -> None:
        self._now = now
        self._on_remaining = on_remaining
        self._paused_until = 0.0
        self._in_a_row = 0

    def learn(self, answer: ForgeAnswer) -> None:
        """Take note of an answer, whichever it is; twice the same does no harm."""
        remaining = remaining_of(answer)
        if remaining is not None:
            self._on_remaining(remaining)
        if answer.status < 400:
            self._in_a_row = 0
        elif is_limited(answer):
            now = self._now()
            if now >= self._paused_until:  # of many at once, the first counts
                self._in_a_row += 1
            self._paused_until = max(self._paused_until, now + self._asked_of(answer, now))

    def pause_seconds(self) -> float:
        """Seconds to go until the forge may be asked again; 0 for at once."""
        # Never longer than an hour: a clock that was set back must not lock us out.
        return min(max(0.0, self._paused_until - self._now()), MAX_SECONDS)

    def _asked_of(self, answer: ForgeAnswer, now: float) -> float:
        # In the order that GitHub documents.
        seconds = answer.retry_after(now)
        if seconds is None and remaining_of(answer) == 0:
            reset = _number(answer, "x-ratelimit-reset")
            # Its clock and ours may differ by a second.
            seconds = None if reset is None else max(0.0, reset - now) + 1
        if seconds is None:
            seconds = SECONDARY_SECONDS * 2 ** min(self._in_a_row - 1, 5)
        return min(seconds, MAX_SECONDS)


def limited(seconds: float, answer: ForgeAnswer | None = None) -> ForgeUnavailableError:
    """The error for a caller who would have to wait longer than there is time."""
    return ForgeUnavailableError(
        "GitHub's rate limit is used up",
        code="FORGE_RATE_LIMITED",
        hint="try again later; fewer broker replicas or longer leases ask less often",
        retry_after=seconds,
        reason=None if answer is None else answer.text(),
    )


def _number(answer: ForgeAnswer, name: str) -> int | None:
    text = answer.headers.get(name, "").strip()
    return int(text[:12]) if text.isascii() and text.isdigit() else None
