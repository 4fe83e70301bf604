"""Who speaks for a workspace: somebody with its secret, or a workload its rules mean.

Nothing here is cached, so a secret or a rule that was taken away is good for nothing at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from git_credential_relay.broker.errors import CallerUnknownError
from git_credential_relay.broker.identity.caller import Caller, identity_caller
from git_credential_relay.broker.identity.rules import VerifiedClaims
from git_credential_relay.broker.identity.secrets import matches_secret, matches_session
from git_credential_relay.broker.workspace import Workspace
from git_credential_relay.secret import Secret, printable


class Verifier(Protocol):
    """Makes verified claims of unverified tokens."""

    async def verify(self, unverified_token: str) -> VerifiedClaims:
        """Raises CallerUnknownError, or IssuerUnavailableError where the keys cannot be had."""
        ...


class Identifier:
    """Tells who a caller is. `now` gives Unix seconds."""

    def __init__(
        self, verifier: Verifier, session_secret: Secret | None, now: Callable[[], float]
    ) -> None:
        self._verifier = verifier
        self._session_secret = session_secret
        self._now = now

    async def identify(self, unverified_bearer: str | None, workspace: Workspace | None) -> Caller:
        """Who asks on behalf of `workspace`, which is None where there is none of that name.

        Raises CallerUnknownError, whose text is one and the same whatever is wrong, and
        IssuerUnavailableError. Waits for nothing unless an issuer's keys must be fetched.
        """
        if not unverified_bearer:
            raise CallerUnknownError("no bearer token was sent")
        # The secret first, whatever it looks like: somebody may have chosen one like a token.
        is_secret = matches_secret(workspace, unverified_bearer, self._now())
        if workspace is not None and is_secret:
            return Caller("secret", workspace.id)
        if looks_like_jwt(unverified_bearer):
            return await self._identify_workload(unverified_bearer, workspace)
        is_session = self._session_secret is not None and matches_session(
            self._session_secret, workspace, unverified_bearer
        )
        if workspace is not None and is_session:
            return Caller("session-hmac", workspace.id)
        raise _unknown(workspace, "the secret is none of the workspace's")

    async def _identify_workload(
        self, unverified_token: str, workspace: Workspace | None
    ) -> Caller:
        # Verified before anything is said about the workspace, so that only somebody whose
        # token an issuer vouches for could tell by the time it takes.
        claims = await self._verifier.verify(unverified_token)
        rules = workspace.identities if workspace else ()
        if any(rule.matches(claims) for rule in rules):
            return identity_caller(claims)
        subject = printable(f"{claims['sub']} of {claims['iss']}", 300)
        raise _unknown(workspace, f"no identity of the workspace means {subject}")


def looks_like_jwt(unverified_text: str) -> bool:
    """Whether it has the outer form of a signed JWT, whose header always begins with `{"`."""
    return unverified_text.startswith("eyJ") and unverified_text.count(".") == 2


def _unknown(workspace: Workspace | None, reason: str) -> CallerUnknownError:
    return CallerUnknownError(reason if workspace else "there is no such workspace")
