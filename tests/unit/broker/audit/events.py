"""Audit events for tests, and limits on the space they find."""

import contextlib
import json
import resource
from pathlib import Path
from typing import Any

from git_credential_relay.broker.audit.event import AuditEvent

AT = 1_800_000_000.25


def event(request_id: str = "r1", **fields: Any) -> AuditEvent:
    """An event with little in it."""
    return AuditEvent(at=fields.pop("at", AT), request_id=request_id, **fields)


def read_ids(path: Path) -> list[str]:
    """The request ids of the file's lines; fails where a line is not whole."""
    text = path.read_text()
    assert text.endswith("\n")
    return [json.loads(line)["request_id"] for line in text.splitlines()]


@contextlib.contextmanager
def room_for(path: Path, size: int):
    """Let no file grow beyond so many bytes more than `path` has: what a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
