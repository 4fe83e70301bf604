"""Fixtures of the sidecar's tests: its directory, and a sidecar that asks the API on loopback."""

from __future__ import annotations

import pytest

from tests.fakes.sidecar import SidecarProcess, socket_directory, workspace_environ


@pytest.fixture
def directory():
    """Where a sidecar's sockets may be."""
    with socket_directory() as directory:
        yield directory


@pytest.fixture
def sidecar(directory, api):
    """A sidecar for this very user, with one workspace."""
    with SidecarProcess(directory, workspace_environ(api.url)) as sidecar:
        yield sidecar
