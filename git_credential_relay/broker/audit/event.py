"""What is recorded of one request: opened first, filled in by each layer, written once.

Tokens appear as the base64 SHA-256 that GitHub calls `hashed_token`, so that both logs join.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class AuditEvent(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One line of the audit log; fields nobody filled in are left out.

    `kind` is vend, refresh, revoke, or admin with what was done in `action`. `verdict` is
    vended, not-served, denied or failed; `code` is that of the answer. `cache` is hit, miss,
    joined (another request's mint) or stale. Times are Unix seconds, `ms` is how long it took.
    """

    at: float
    request_id: str
    kind: str = "vend"
    verdict: str = "failed"
    code: str | None = "INTERNAL"
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
    token_sha256: str | None = None
    rejected_sha256: str | None = None
    expires_at: int | None = None
    reason: str | None = None
    ms: float | None = None
