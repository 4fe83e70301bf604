"""The agent's environment: bare, private and configured like a machine would be."""

import sys
from pathlib import Path

import pytest

from git_credential_relay.demo.agent import Agent, RelaySettings
from git_credential_relay.demo.backend import find_git
from git_credential_relay.demo.forge import PlaygroundForge
from tests.fakes.cloud import SmallCloud

FORGE = "http://127.0.0.1:8080"


def make_agent(root: Path, forge_url: str = FORGE, cloud_url: str = "http://127.0.0.1:9") -> Agent:
    """Make an agent below a directory, with a secret that no cloud knows."""
    root.mkdir(parents=True, exist_ok=True)
    settings = RelaySettings(cloud_url, "workspace", "canary", forge_url, 2)
    return Agent(root, find_git(), sys.executable, settings)


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
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CREDENTIAL_RELAY_CONFIG": f"{agent.home}/.config/git-credential-relay/relay.env",
    }


def test_relay_is_the_only_helper_for_the_forge(agent):
    """The configuration that install has written resets the forge's helpers and names the relay."""
    helpers = agent.git("config", "--get-all", f"credential.{FORGE}.helper").stdout
    path = agent.git("config", f"credential.{FORGE}.useHttpPath").stdout

    assert helpers.split("\n") == ["", agent.helper, ""]
    assert path == "true\n"


def test_relay_env_names_the_secret_file_and_not_the_secret(agent):
    """relay.env points to a private file; the secret is nowhere else."""
    relay_env = Path(agent.environment["GIT_CREDENTIAL_RELAY_CONFIG"]).read_text().splitlines()

    assert [line for line in relay_env if not line.startswith("#")] == [
        "CLOUD_API_URL=http://127.0.0.1:9",
        "WORKSPACE_ID=workspace",
        "GIT_CREDENTIAL_RELAY_MIN_LIFETIME=2",
        "GIT_CREDENTIAL_RELAY_FALLBACK=off",
        f"WORKSPACE_TOKEN_FILE={agent.secret_file}",
        f"GIT_CREDENTIAL_RELAY_CACHE_DIR={agent.cache_directory}",
        f"GIT_CREDENTIAL_RELAY_HOSTS=github={FORGE}",
    ]
    assert agent.secret_file.read_text() == "canary\n"
    assert agent.secret_file.stat().st_mode & 0o777 == 0o600


def test_helper_in_an_odd_directory_is_called(tmp_path):
    """A helper whose path has spaces, quotes and a dollar sign is one that git can run."""
    with (
        PlaygroundForge() as forge,
        SmallCloud(forge.tokens, forge.host, {}, lifetime_seconds=60) as cloud,
    ):
        agent = make_agent(tmp_path / "it's an $(agent)", forge.url, cloud.url)
        result = agent.git("ls-remote", forge.url_of("acme/app"))

    assert "git-credential-relay: error: no credential for" in result.stderr
    assert "[INVALID_WORKSPACE_TOKEN]" in result.stderr


def test_results_are_kept(agent):
    """Every command is on record with its exit code and output."""
    failed = agent.git("rev-parse", "HEAD")
    worked = agent.git("version")

    assert agent.results == [failed, worked]
    assert (failed.exit_code, worked.is_ok) == (128, True)
    assert worked.stdout.startswith("git version ")
