"""What a workspace would get for a repository, found out with a token that lives for a moment."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Mapping
from typing import Any, Protocol

from git_credential_relay.broker.errors import (
    ForgeError,
    ForgeRefusedError,
    ForgeUnavailableError,
)
from git_credential_relay.broker.sources.forgejo.api import ForgejoApi
from git_credential_relay.broker.sources.forgejo.causes import cause_of
from git_credential_relay.broker.sources.forgejo.scopes import (
    CONTENTS,
    METADATA,
    find_obstacle,
    is_of_repository,
)
from git_credential_relay.broker.sources.forgejo.tokens import find_id
from git_credential_relay.broker.sources.http import ForgeAnswer
from git_credential_relay.broker.sources.interface import (
    Lease,
    Minted,
    Repository,
    Scope,
    Verified,
)

PROBE_SECONDS = 15.0
LIFE_SECONDS = 60  # after which the reaper deletes what a dying broker left


class _Source(Protocol):
    name: str

    async def mint(self, scope: Scope, lease: Lease, deadline: float) -> Minted: ...

    async def revoke(self, lease: Lease) -> None: ...


async def probe(
    source: _Source, api: ForgejoApi, repository: str, permissions: Mapping[str, str], now: float
) -> Verified:
    """What a token can have of these permissions. Raises ForgeError, where that is nothing."""
    wanted = {name: level for name, level in permissions.items() if name != METADATA}
    missing = {n: why for n in wanted if (why := find_obstacle(n, wanted)) is not None}
    possible = {name: level for name, level in wanted.items() if name not in missing}
    if not possible:
        raise ForgeRefusedError(
            "the forge has none of these permissions: " + "; ".join(missing.values()),
            hint='permissions = { contents = "write" }',
        )
    # The repository itself can only be looked at with a scope for it.
    scope = Scope((Repository(repository),), {CONTENTS: "read", **possible}, "api")
    lease = Lease(secrets.token_hex(8), "", source.name, int(now) + LIFE_SECONDS)
    deadline = time.monotonic() + PROBE_SECONDS
    try:
        minted = await source.mint(scope, lease, deadline)
    except ForgeUnavailableError:
        # The forge may have made it all the same. What this does not end, the reaper does.
        with contextlib.suppress(ForgeError):
            await source.revoke(lease)
        raise
    try:
        answer = await api.get_repository(repository, minted.token, deadline)
    finally:
        await source.revoke(
            Lease(lease.id, "", source.name, lease.expires_at, handle=minted.handle)
        )
    if answer.status != 200:
        raise cause_of(answer, minted.username, now)
    return _read(answer, repository, possible, missing, minted.username)


def _read(
    answer: ForgeAnswer,
    repository: str,
    possible: Mapping[str, str],
    missing: dict[str, str],
    user: str,
) -> Verified:
    document = answer.json()
    document = document if isinstance(document, dict) else {}
    permissions = dict(possible)
    obstacle = _find_obstacle_to_push(document, user)
    for name, level in possible.items():
        if obstacle and is_of_repository(name) and level != "read":
            permissions[name] = "read"
            missing[name] = obstacle
    full_name = document.get("full_name")
    found = Repository(full_name if isinstance(full_name, str) else repository, find_id(document))
    return Verified(found, permissions, missing)


def _find_obstacle_to_push(document: Mapping[str, Any], user: str) -> str | None:
    if document.get("archived"):
        return "the repository is archived"
    if document.get("mirror"):
        return "the repository is a mirror, which nobody can push to"
    may = document.get("permissions")
    if not isinstance(may, dict) or may.get("push") is not True:
        return f"{user} may not write to the repository: make it a collaborator with write access"
    return None
