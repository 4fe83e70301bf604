"""Wrong secrets, counted by who sends them and for whom, so that none is guessed at line speed."""

from __future__ import annotations

import time
from collections.abc import Callable

from git_credential_relay.broker.addresses import UNKNOWN, bucket_key
from git_credential_relay.broker.buckets import Buckets
from git_credential_relay.broker.errors import TooManyRequestsError

PER_MINUTE = 30
ADMINISTRATOR = "admin"
MAX_ID = 128


class Guesses:
    """Who may still try. `now` is any clock in seconds that never goes back.

    Counted for the address and the workspace together: behind one address there may be many
    agents, and the wrong secret of one of them must not lock out all the others.
    """

    def __init__(
        self, per_minute: int = PER_MINUTE, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._buckets = Buckets(per_minute, now=now)

    def check(self, address: str | None, kind: str, unverified_id: str = "") -> None:
        """Raise TooManyRequestsError, before any secret is compared, after too many failures.

        `kind` tells workspaces from administrators, whose guesses are counted apart.
        """
        if (wait := self._buckets.owed(_key(address, kind, unverified_id))) is not None:
            raise TooManyRequestsError("too many failed attempts", retry_after=wait)

    def failed(self, address: str | None, kind: str, unverified_id: str = "") -> None:
        """Somebody was not recognised."""
        self._buckets.take(_key(address, kind, unverified_id))


def _key(address: str | None, kind: str, unverified_id: str) -> str:
    # Cut where ids end at the latest: made-up ones must not fill the memory.
    return f"{bucket_key(address or UNKNOWN)} {kind} {unverified_id[:MAX_ID]}"
