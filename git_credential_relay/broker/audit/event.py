"""What is recorded of one request: opened first, filled in by each layer, written once.

Tokens appear as the base64 SHA-256 that GitHub calls `hashed_token`, so that both logs join.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import field


class AuditEvent(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One line of the audit log; fields nobody filled in are left out.

    `kind` is vend, refresh, limit (refused unread), or admin with what was done in `action`.
    `verdict` is vended, not-served, denied or failed; of an admin action allowed (written before
    it is done, with a second event if it fails) or revoked. `code` is that of the answer. `cache`
    is hit, miss, joined (another request's mint) or stale. Times are Unix seconds, `ms` is how
    long it took.
    """

    at: float
    request_id: str
    # Factories, whose values are written even where nobody has set another.
    kind: str = field(default_factory=lambda: "vend")
    verdict: str = field(default_factory=lambda: "failed")
    code: str | None = field(default_factory=lambda: "INTERNAL")
    status: int | None = None
    workspace: str | None = None
    unverified_workspace: str | None = None
    caller: str | None = None
    claims: Mapping[str, str] | None = None
    address: str | None = None
    host: str | None = None
    repository: str | None = None
    repositories: list[str] | None = None
    use: str | None = None
    permissions_asked: Mapping[str, str] | None = None
    permissions_given: Mapping[str, str] | None = None
    source: str | None = None
    cache: str | None = None
    action: str | None = None
    token_type: str | None = None
    token_sha256: str | None = None
    rejected_sha256: str | None = None
    expires_at: int | None = None
    reason: str | None = None
    ms: float | None = None
