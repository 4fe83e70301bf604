"""A network of this thread's own in which there is loopback and nothing else."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

# linux/sched.h, linux/sockios.h, linux/if.h
CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS = 0x8914
IFF_UP = 0x1


@contextmanager
def loopback_only() -> Iterator[None]:
    """Leave the machine's network; threads and processes started meanwhile are there as well.

    Skips where that is not allowed.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.unshare(CLONE_NEWNET) != 0:
            pytest.skip(f"no right to make a network: {os.strerror(ctypes.get_errno())}")
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
                interface = struct.pack("16sh14x", b"lo", IFF_UP)
                fcntl.ioctl(any_socket, SIOCSIFFLAGS, interface)
            yield
        finally:
            libc.setns(outside, CLONE_NEWNET)
    finally:
        os.close(outside)
