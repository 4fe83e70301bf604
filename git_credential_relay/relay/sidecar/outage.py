"""Whether the relay API is known to fail just now, so that nobody has to find out by waiting."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from git_credential_relay.errors import (
    ApiError,
    ConfigError,
    DeadlineExceededError,
    RateLimitedError,
    RelayError,
    SourceError,
    TransportError,
)
from git_credential_relay.relay.sidecar.record import MAX_TARGETS, Name

# A failure says this much about the time after it. Longer than it takes until the API is tried
# again for a token in use, and not so long that an old token is served when it is back.
KNOWN_SECONDS = 60.0
# However long a server wants to be left alone.
LONGEST_QUIET = 3600.0


class Outage:
    """What attempts have shown. Times are monotonic seconds.

    An API that cannot be reached, or wants to be left alone, fails for everything; one that
    answers with trouble may be without one forge alone, so that counts for what was asked.
    """

    def __init__(self) -> None:
        self._until = 0.0
        self._untils: Final[OrderedDict[Name, float]] = OrderedDict()

    def is_known(self, name: Name, now: float) -> bool:
        """Whether asking for `name` would fail, as far as we know."""
        return now < max(self._until, self._untils.get(name, 0.0))

    def failed(self, name: Name, error: RelayError, now: float) -> None:
        """Note that asking for `name` failed."""
        if is_ours(error):
            return
        if not is_everywhere(error):
            self._until = 0.0  # it was reached
        if is_final(error):
            self._untils.pop(name, None)
            return
        until = now + max(KNOWN_SECONDS, quiet_seconds(error))
        if is_everywhere(error):
            self._until = until
        else:
            self._untils[name] = until
            if len(self._untils) > MAX_TARGETS:
                self._untils.popitem(last=False)

    def answered(self, name: Name) -> None:
        """Note that there was a token for `name`."""
        self._until = 0.0
        self._untils.pop(name, None)


def is_final(error: RelayError) -> bool:
    """Whether the API has said no: no trouble of its own, and no better later."""
    return isinstance(error, ApiError) and not error.retryable


def is_ours(error: RelayError) -> bool:
    """Whether the API was not asked at all, for want of a secret, a good configuration or time."""
    return isinstance(error, ConfigError | SourceError | DeadlineExceededError)


def is_everywhere(error: RelayError) -> bool:
    """Whether it would fail for everything else, too."""
    return isinstance(error, TransportError | RateLimitedError)


def quiet_seconds(error: RelayError) -> float:
    """How long the server wants to be left alone; 0 where it does not say."""
    return min(error.retry_after or 0.0, LONGEST_QUIET)
