"""What a broker tells the process that refreshes a pair, and what that tells the broker. Pure.

The job holds secrets: it goes through a pipe, never through arguments or the environment. The
outcome holds none.
"""

from __future__ import annotations

import msgspec

REFRESHED, CHANGED, BUSY = "refreshed", "changed", "busy"
INVALID_GRANT, REFUSED, UNAVAILABLE = "invalid_grant", "refused", "unavailable"


class RefreshJob(msgspec.Struct, frozen=True, kw_only=True):
    """A pair to be refreshed, if it still is at `revision`; with `seed`, from that instead.

    `now` is the broker's clock. `key_file` is where the database's key is, as configured.
    """

    name: str
    revision: int
    seed: str | None
    now: float
    forge_url: str
    ca_file: str | None
    client_id: str
    client_secret: str | None
    redirect_uri: str | None
    config_path: str
    database: str
    key_file: str | None

    def __repr__(self) -> str:
        return f"RefreshJob({self.name})"


class RefreshOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """How it ended: one of the words above; `reason` is for the audit."""

    outcome: str
    reason: str = ""
    retry_after: float | None = None
