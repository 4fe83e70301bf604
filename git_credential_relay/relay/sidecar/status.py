"""`status`: the sidecar's workspaces, how their API is met, and their tokens. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from git_credential_relay.credential.attributes import last
from git_credential_relay.relay.cache_socket.message import Message
from git_credential_relay.relay.sidecar.record import ApiState, Trouble, Use
from git_credential_relay.relay.sidecar.why import ago, text
from git_credential_relay.relay.sidecar.workspace import ServedWorkspace

# Nobody reads more; the others are counted.
MAX_KEYS = 1000


def status(workspaces: Iterable[ServedWorkspace], message: Message, now: float) -> bytes:
    """The status as text, or with `format=json` as one JSON object.

    Times in JSON are Unix seconds, `minutes_left` is null for a token of unknown life.
    """
    if last(message.attributes, "format") == "json":
        facts = {"now": round(now), "workspaces": [_facts(each, now) for each in workspaces]}
        return (json.dumps(facts) + "\n").encode()
    return text(line for each in workspaces for line in _lines(each, now))


def _facts(workspace: ServedWorkspace, now: float) -> dict[str, Any]:
    api = workspace.record.api
    uses = workspace.record.uses()
    return {
        "name": workspace.name,
        "workspace_id": workspace.config.workspace_id,
        "api": {
            "url": workspace.config.api_url,
            "state": _api_state(workspace),
            "answered_at": _whole(api.answered_at),
            "failed_at": _whole(api.failed_at),
            "trouble": _trouble_facts(api.trouble),
        },
        "keys": [_key_facts(use, now) for use in uses[:MAX_KEYS]],
        "more_keys": max(0, len(uses) - MAX_KEYS),
    }


def _key_facts(use: Use, now: float) -> dict[str, Any]:
    return {
        "forge": use.target.forge.url,
        "repository": use.target.repository,
        "use": use.target.use,
        "minutes_left": _minutes_left(use, now),
        "fetched_at": _whole(use.fetched_at),
        "expires_at": use.expires_at,
        "token_sha256": use.token_sha256,
        "source": use.source,
        "asks": use.asks,
        "hits": use.hits,
        "used_at": _whole(use.used_at),
        "is_troubled": use.is_troubled,
        "trouble": _trouble_facts(use.trouble),
    }


def _trouble_facts(trouble: Trouble | None) -> dict[str, Any] | None:
    if trouble is None:
        return None
    return {"code": trouble.code, "at": round(trouble.at), "lines": list(trouble.lines)}


def _lines(workspace: ServedWorkspace, now: float) -> Iterator[str]:
    config, api = workspace.config, workspace.record.api
    yield f"workspace {workspace.name}: {config.workspace_id or 'no WORKSPACE_ID'}"
    times = [(api.answered_at, "answered"), (api.failed_at, "failed")]
    said = ", ".join(f"{what} {ago(at, now)}" for at, what in times if at is not None)
    yield f"  API {config.api_url or 'not set'}: {_api_state(workspace)}" + (said and f" ({said})")
    if api.trouble is not None and api.trouble.at >= (api.answered_at or 0):
        yield f"    {ago(api.trouble.at, now)}: {api.trouble.lines[0]}"
    uses = workspace.record.uses()
    if not uses:
        yield "  nobody has asked for a token yet"
    for use in uses[:MAX_KEYS]:
        yield from _key_lines(use, now)
    if len(uses) > MAX_KEYS:
        yield f"  and {len(uses) - MAX_KEYS} more"


def _key_lines(use: Use, now: float) -> Iterator[str]:
    yield (
        f"  {use.target} ({use.target.use}): {_life(use, now)},"
        f" {use.hits} of {use.asks} from memory"
    )
    if use.trouble is not None and use.is_troubled:
        yield f"    {ago(use.trouble.at, now)}: {use.trouble.lines[0]}"


def _life(use: Use, now: float) -> str:
    left = _minutes_left(use, now)
    if use.token_sha256 is None:
        return "no token"
    if left is None:
        return "life unknown"
    return f"{left:.0f} min left" if left else "expired"


def _api_state(workspace: ServedWorkspace) -> str:
    api: ApiState = workspace.record.api
    if workspace.config.missing_api_setting():
        return "not configured"
    if api.answered_at is None and api.failed_at is None:
        return "not asked yet"
    return "failing" if api.is_failing else "answering"


def _minutes_left(use: Use, now: float) -> float | None:
    return None if use.expires_at is None else round(max(0.0, use.expires_at - now) / 60, 1)


def _whole(at: float | None) -> int | None:
    return None if at is None else round(at)
