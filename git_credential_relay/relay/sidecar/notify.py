"""Telling a service manager how we are, where it asked for that. sd_notify(3)."""

from __future__ import annotations

import os
import socket
import time


def notify(*lines: str) -> None:
    """Send `lines` such as READY=1 to NOTIFY_SOCKET, if there is one."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return
    if address.startswith("@"):
        address = "\0" + address[1:]  # the abstract namespace
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as manager:
            manager.sendto("\n".join(lines).encode(), address)
    except OSError:
        pass  # a manager that is gone or busy must not cost anybody an answer


def notify_reloading() -> None:
    """Say that the configuration is being read again; READY=1 ends it."""
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notify("RELOADING=1", f"MONOTONIC_USEC={now}")
