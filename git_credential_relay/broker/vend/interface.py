"""What goes through the vending chain, and what comes out of it.

audit(authorise(cache(single-flight(mint)))). The order is a security property: authorisation
outside the cache, or a warm entry would skip it; the audit outside everything, or a refusal
would leave no trace.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from git_credential_relay.broker.policy import Denied, NotServed
from git_credential_relay.secret import Secret


@dataclass(frozen=True, slots=True)
class Query:
    """One request for a token, as it was sent: nothing of it is checked yet."""

    unverified_bearer: str | None = field(repr=False)
    unverified_workspace_id: str | None
    host: str | None = None
    path: str | None = None
    use: str = "git"
    min_lifetime: int | None = None
    no_cache: bool = False
    rejected_sha256: str | None = None
    address: str | None = None
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Vended:
    """A token for the caller, with the one host it is for and what it may do there."""

    token: Secret
    username: str
    expires_at: int | None
    token_type: str
    host: str
    repositories: tuple[str, ...]
    permissions: Mapping[str, str]
    source: str
    token_sha256: str


Answer = Vended | Denied | NotServed
