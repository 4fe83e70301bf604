"""Comparing what a caller sent with the secrets of a workspace, of which only hashes are kept.

Every comparison takes constant time, and somebody who asks for a workspace that does not exist
is let wait as long as for one that does: neither may be found out by trying.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from git_credential_relay.broker.workspace import AcceptedSecret, Workspace
from git_credential_relay.secret import Secret

# Stands in for the secrets of a workspace that does not exist; no text is known to have it.
_NOBODYS = (AcceptedSecret(bytes(32)),)


def matches_secret(workspace: Workspace | None, unverified_secret: str, now: float) -> bool:
    """Whether the text is one of the workspace's secrets that have not expired.

    `now` is in Unix seconds. False for no workspace, after the same work.
    """
    known = workspace is not None
    return matches_any(workspace.secrets if workspace else _NOBODYS, unverified_secret, now) & known


def matches_any(accepted: Iterable[AcceptedSecret], unverified_secret: str, now: float) -> bool:
    """Whether the text has one of these hashes, and that one has not expired."""
    digest = hashlib.sha256(_encode(unverified_secret)).digest()
    is_match = False
    for secret in accepted:
        is_fresh = secret.expires_at is None or now < secret.expires_at
        is_match |= hmac.compare_digest(digest, secret.sha256) & is_fresh
    return is_match


def session_hmac(secret: Secret, workspace_id: str) -> str:
    """The secret that agent-relay's cloud derives for a workspace: never stored, never expiring."""
    message = _encode(f"workspace:{workspace_id}")
    return hmac.digest(_encode(secret.reveal()), message, "sha256").hex()


def matches_session(secret: Secret, workspace: Workspace | None, unverified_secret: str) -> bool:
    """Whether the text is the derived secret of a workspace that accepts it."""
    derived = session_hmac(secret, workspace.id if workspace else "")
    is_equal = hmac.compare_digest(derived.encode(), _encode(unverified_secret))
    return is_equal & (workspace is not None and workspace.session_hmac)


def _encode(text: str) -> bytes:
    # What a header holds may be no text at all, and must not be an exception either.
    return text.encode("utf-8", "surrogatepass")
