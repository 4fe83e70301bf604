"""The `sidecar` command's process: what it is configured by, and how it keeps to itself."""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
from collections.abc import Mapping

from git_credential_relay.messages import PROGRAM
from git_credential_relay.relay.deadline import Clock
from git_credential_relay.relay.sidecar.serve import Sidecar
from git_credential_relay.relay.sidecar.workspaces import read_tenants, watched_files
from git_credential_relay.trace import Trace

_PR_SET_DUMPABLE = 4  # prctl(2)

Signature = tuple[tuple[str, tuple[int, int, int] | None], ...]


def run(
    environ: Mapping[str, str],
    flags: Mapping[str, str],
    socket: str,
    gh_socket: str | None,
    *,
    traces: bool,
) -> None:
    """Serve until told to end. Raises RelayError where it cannot begin."""
    keep_to_ourselves()
    trace = Trace(sys.stderr.write if traces else None)
    sidecar = Sidecar(
        lambda: read_tenants(environ, flags, socket, gh_socket),
        lambda: signature(watched_files(environ, flags)),
        say,
        Clock(),
        trace,
    )
    asyncio.run(sidecar.run())


def say(line: str) -> None:
    """One line of the log."""
    try:
        sys.stderr.write(f"{PROGRAM}: sidecar: {line}\n")
        sys.stderr.flush()
    except OSError:
        pass  # nobody reads it, which must not cost an answer


def signature(paths: list[str]) -> Signature:
    """What changes when one of the files does: a write, or another file in its place."""
    return tuple((path, _facts(path)) for path in paths)


def _facts(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def keep_to_ourselves() -> None:
    """Close our memory and environment to other processes, those of our own user too.

    With the agent under the same uid this is all that stands between it and the secret.
    """
    try:
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    except (OSError, AttributeError):
        pass  # not Linux's libc
