"""The agent's environment: bare, private and configured like a machine would be."""

import os
from pathlib import Path

import pytest

from git_credential_relay.demo.agent import Agent, RelaySettings
from git_credential_relay.demo.backend import find_git
from git_credential_relay.demo.forge import PlaygroundForge

FORGE = "http://127.0.0.1:8080"


def make_agent(
    root: Path, launcher: Path = Path("/opt/relay/git-credential-relay"), forge_url: str = FORGE
) -> Agent:
    """Make an agent below a directory."""
    root.mkdir(parents=True, exist_ok=True)
    settings = RelaySettings("http://127.0.0.1:9", "workspace", "canary", forge_url, 2)
    return Agent(root, find_git(), launcher, settings)


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    """An agent whose relay is never called."""
    return make_agent(tmp_path / "agent")


def test_environment_is_bare(agent, monkeypatch):
    """Commands see five variables, none of them from the caller."""
    monkeypatch.setenv("GIT_AUTHOR_NAME", "somebody else")
    monkeypatch.setenv("GITHUB_TOKEN", "canary")
    seen = agent.git("-c", "alias.env=!env", "env").stdout

    assert "somebody else" not in seen
    assert "canary" not in seen
    assert dict(agent.environment) == {
        "PATH": str(Path(find_git()).parent),
        "HOME": str(agent.home),
        "GIT_CONFIG_SYSTEM": str(agent.home.parent / "etc" / "gitconfig"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
    }


def test_relay_is_the_only_helper_for_the_forge(agent):
    """The machine's configuration resets the helpers of the forge and names the relay."""
    helpers = agent.git("config", "--get-all", f"credential.{FORGE}.helper").stdout
    path = agent.git("config", f"credential.{FORGE}.useHttpPath").stdout

    assert helpers.split("\n") == ["", agent.helper, ""]
    assert path == "true\n"


def test_relay_env_names_the_secret_file_and_not_the_secret(agent):
    """relay.env points to a private file; the secret is nowhere else."""
    relay_env = (agent.secret_file.parent / "relay.env").read_text().splitlines()

    assert relay_env == [
        "CLOUD_API_URL=http://127.0.0.1:9",
        "WORKSPACE_ID=workspace",
        f"WORKSPACE_TOKEN_FILE={agent.secret_file}",
        f"GIT_CREDENTIAL_RELAY_HOSTS={FORGE}",
        "GIT_CREDENTIAL_RELAY_MIN_LIFETIME=2",
        f"GIT_CREDENTIAL_RELAY_CACHE_DIR={agent.cache_directory}",
        "GIT_CREDENTIAL_RELAY_FALLBACK=off",
    ]
    assert agent.secret_file.read_text() == "canary\n"
    assert agent.secret_file.stat().st_mode & 0o777 == 0o600


def test_helper_in_an_odd_directory_is_called(tmp_path):
    """A helper whose path has spaces and quotes is called with its settings and the operation."""
    launcher = tmp_path / "it's a $(dir)" / "helper"
    launcher.parent.mkdir()
    launcher.write_text('#!/bin/sh\nprintf "%s\\n" "$@" >"$HOME/seen"\n')
    launcher.chmod(0o755)
    with PlaygroundForge() as forge:
        agent = make_agent(tmp_path / "an agent", launcher, forge.url)
        agent.git("ls-remote", forge.url_of("acme/app"))
    relay_env = agent.secret_file.parent / "relay.env"

    assert (agent.home / "seen").read_text() == f"--config\n{relay_env}\nget\n"


def test_results_are_kept(agent):
    """Every command is on record with its exit code and output."""
    failed = agent.git("rev-parse", "HEAD")
    worked = agent.git("version")

    assert agent.results == [failed, worked]
    assert (failed.exit_code, worked.is_ok) == (128, True)
    assert worked.stdout.startswith("git version ")
