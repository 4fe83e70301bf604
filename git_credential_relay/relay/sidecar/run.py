"""The `sidecar` command's process: what it is configured by, and how it keeps to itself."""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import sys
from collections.abc import Mapping

from git_credential_relay.relay.deadline import Clock
from git_credential_relay.relay.sidecar.log import MAX_TRACES, Log
from git_credential_relay.relay.sidecar.room import MAX_IN_ALL, Room
from git_credential_relay.relay.sidecar.serve import Sidecar
from git_credential_relay.relay.sidecar.watch import Watch
from git_credential_relay.relay.sidecar.workspaces import read_tenants, watched_files
from git_credential_relay.trace import Trace

_PR_SET_DUMPABLE = 4  # prctl(2)


def run(
    environ: Mapping[str, str],
    flags: Mapping[str, str],
    socket: str,
    gh_socket: str | None,
    *,
    traces: bool,
) -> None:
    """Serve until told to end; then the process has ended, too. Raises RelayError where it
    cannot begin."""
    keep_to_ourselves()
    sidecar = Sidecar(
        lambda: read_tenants(environ, flags, socket, gh_socket),
        Watch(lambda: watched_files(environ, flags)),
        Log(write).say,
        Clock(),
        Trace(Log(write, MAX_TRACES).write if traces else None),
        Room(open_files()),
    )
    asyncio.run(_serve(sidecar))


async def _serve(sidecar: Sidecar) -> None:
    await sidecar.run()
    # asyncio would wait for the thread that is still with a name server or a dead file system.
    os._exit(0)


def write(line: str) -> None:
    """Write to the log. Raises OSError."""
    sys.stderr.write(line)
    sys.stderr.flush()


def open_files() -> int:
    """How many files we may have open, after raising that as far as we may and need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * MAX_IN_ALL
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return 4 * MAX_IN_ALL if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def keep_to_ourselves() -> None:
    """Close our memory and environment to other processes, those of our own user too.

    With the agent under the same uid this is all that stands between it and the secret.
    """
    try:
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    except (OSError, AttributeError):
        pass  # not Linux's libc
