"""A workspace as the broker knows it, whether the file declares it or the admin API made it."""

from __future__ import annotations

from dataclasses import dataclass, field

from git_credential_relay.broker.identity.rules import IdentityRule
from git_credential_relay.broker.policy import Policy

FILE, API = "file", "api"


@dataclass(frozen=True, slots=True)
class AcceptedSecret:
    """A workspace's secret, of which only the hash is known; None is for ever."""

    sha256: bytes = field(repr=False)
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class Workspace:
    """Who may speak for it, and what it may have.

    `session_hmac`: agent-relay's derived secret is accepted too. `origin` is FILE or API;
    `revision` is another one after each change of one that the API made.
    """

    id: str
    policy: Policy
    secrets: tuple[AcceptedSecret, ...] = ()
    session_hmac: bool = False
    identities: tuple[IdentityRule, ...] = ()
    origin: str = FILE
    revision: int = 0

    def is_same_as(self, former: Workspace) -> bool:
        """Whether nothing has changed since: not the policy, nor was it deleted and made anew.

        The file has no revisions, but its policies' digests.
        """
        return (self.revision, self.policy.digest) == (former.revision, former.policy.digest)
