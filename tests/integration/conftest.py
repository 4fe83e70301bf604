"""Fixtures of the integration tests: an agent's environment and a relay API on loopback."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from tests.fakes.agent import AgentHome, write_launcher
from tests.fakes.api import serve_api
from tests.fakes.installed import install


@pytest.fixture(scope="session")
def launcher(tmp_path_factory):
    """The helper as an executable script."""
    return write_launcher(tmp_path_factory.mktemp("bin"))


@pytest.fixture
def api():
    """A relay API that issues tokens."""
    with serve_api() as api:
        yield api


@pytest.fixture
def agent(tmp_path, launcher, api):
    """An agent configured for the relay API."""
    return AgentHome(tmp_path / "agent", launcher, api.url)


@pytest.fixture(scope="session")
def open_directory():
    """A directory that every user can enter, unlike pytest's own."""
    directory = Path(tempfile.mkdtemp(prefix="relay-tests-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def executable(open_directory):
    """The executable of an installed wheel."""
    return install(open_directory)
