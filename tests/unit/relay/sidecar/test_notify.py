"""What a service manager is told, on a real datagram socket."""

from __future__ import annotations

import os
import socket

import pytest

from git_credential_relay.relay.sidecar.notify import notify, notify_reloading


@pytest.fixture(params=["file", "abstract"])
def manager(request, tmp_path, monkeypatch):
    """A service manager's socket, named in NOTIFY_SOCKET."""
    name = f"@relay-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0"))
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        yield manager


def test_states_are_told(manager):
    """READY and STOPPING are one datagram each; RELOADING comes with its time."""
    notify("READY=1")
    notify_reloading()
    notify("STOPPING=1")
    told = [manager.recv(1000).decode().split("\n") for _ in range(3)]

    assert told[0] == ["READY=1"]
    assert told[1][0] == "RELOADING=1"
    assert told[1][1].startswith("MONOTONIC_USEC=")
    assert told[1][1].partition("=")[2].isdecimal()
    assert told[2] == ["STOPPING=1"]


@pytest.mark.parametrize("address", [None, "", "relative", "/nowhere/at/all"])
def test_no_manager_is_no_trouble(monkeypatch, address):
    """Without a manager, or with one that has gone, nothing happens."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", address)

    notify("READY=1")
