"""Servers of the tests on the loopback of a container that has no other network."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tests.image.engine import Engine

_CLONE_NEWNET = 0x40000000  # setns(2)

Result = TypeVar("Result")


def within_network_of(engine: Engine, container: str, act: Callable[[], Result]) -> Result:
    """What `act` gives, in a thread that is in the network of `container`.

    Sockets stay in the network that they were made in, so a server that `act` starts is there.
    """
    pid = engine.must(["podman", "inspect", "--format={{.State.Pid}}", container]).strip()

    def enter() -> Result:
        fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(fd, _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(fd)
        return act()

    with ThreadPoolExecutor(1) as threads:
        return threads.submit(enter).result()
