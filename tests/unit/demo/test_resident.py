"""The machine beside a sidecar, and who may be somebody else there."""

import os
import stat
import tempfile
from pathlib import Path

import pytest

from git_credential_relay.demo.agent import RelaySettings
from git_credential_relay.demo.backend import find_git
from git_credential_relay.demo.resident import (
    AGENT_UID,
    DemoSidecar,
    Machine,
    ResidentAgent,
    find_other_uid,
)

FORGE = "http://127.0.0.1:8080"


@pytest.fixture
def root():
    """A directory that every user can enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def sidecar(root) -> DemoSidecar:
    """A sidecar that is never started."""
    settings = RelaySettings("http://127.0.0.1:9", "workspace", "canary", FORGE, 2)
    return DemoSidecar(root / "sidecar", root / "served", settings, AGENT_UID)


@pytest.fixture
def agent(root, sidecar) -> ResidentAgent:
    """An agent beside it, wired while nobody but the owner may read new files."""
    before = os.umask(0o077)
    try:
        machine = Machine(root / "machine", find_git(), sidecar, FORGE)
    finally:
        os.umask(before)
    return ResidentAgent(root / "agent", machine, find_other_uid(find_git(), root))


def test_secret_is_in_no_file(root, sidecar, agent):
    """What the sidecar is configured by has everything but the secret, and names who may ask."""
    files = [path.read_text() for path in root.rglob("*") if path.is_file()]

    assert sidecar.secret == "canary"
    assert not any("canary" in text for text in files)
    assert any("GIT_CREDENTIAL_RELAY_ALLOW_UIDS=61001\n" in text for text in files)


def test_agent_is_wired_by_the_systems_configuration_alone(sidecar, agent):
    """Git's own client is asked first, then what explains a failure; no variable is of ours."""
    helpers = agent.git("config", "--get-all", f"credential.{FORGE}.helper").stdout

    assert helpers == f"\ncache --socket={sidecar.socket}\n{agent.machine.helper}\n"
    assert dict(agent.environment) == {
        "PATH": str(Path(find_git()).parent),
        "HOME": str(agent.home),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_SYSTEM": str(agent.machine.gitconfig),
    }
    assert Path(agent.machine.helper).read_text().startswith("#!/bin/sh\n")


def test_another_user_is_one_that_can_work_there(root):
    """Root is somebody else where that user can enter; whoever is not root is nobody else."""
    closed = root / "closed"
    closed.mkdir(mode=0o700)
    found = find_other_uid(find_git(), root)

    assert found == (AGENT_UID if os.geteuid() == 0 else None)
    assert find_other_uid(find_git(), closed) is None


def test_private_stays_private(root, sidecar):
    """The sidecar's files are for its owner alone, whatever the agent may enter."""
    assert stat.S_IMODE(sidecar.directory.stat().st_mode) == 0o700
