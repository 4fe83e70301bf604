"""The shell program in front of gh in socket mode: real gh, its settings, and no token at all."""

from __future__ import annotations

import socket
import stat

import pytest

from git_credential_relay.wiring.sidecar import PLACEHOLDER
from tests.fakes.agent import SECRET, files_with
from tests.fakes.gh import VERSIONS, real_gh
from tests.fakes.github import ENTERPRISE, GITHUB, REPOSITORY
from tests.fakes.shell_agent import AS_AGENT, shell_world
from tests.fakes.sidecar import OTHER_UID


@pytest.fixture(scope="module")
def world():
    """A sidecar with a socket for gh too."""
    with shell_world(gh_socket=True) as world:
        yield world


@pytest.fixture(params=VERSIONS)
def agent(world, request):
    """An agent with one gh or the other, whose environment does not lead to the proxy."""
    agent = world.agent(real_gh(request.param))
    for name in ("HTTPS_PROXY", "https_proxy"):
        del agent.environ[name]
    return agent


@pytest.fixture
def scripted(world):
    """An agent whose real gh is a script that shows its environment."""
    agent = world.agent("/bin/false")
    agent.real.unlink()
    agent.real.write_text("#!/bin/sh\nexec /usr/bin/env\n")
    agent.real.chmod(0o755)
    return agent


def shown(result):
    """The environment that a command has printed."""
    assert result.exit_code == 0, result.stderr
    return dict(line.split("=", 1) for line in result.stdout.decode().splitlines())


@pytest.mark.parametrize("host", [GITHUB, ENTERPRISE])
def test_gh_goes_through_the_sidecar(agent, host):
    """GitHub sees a token that gh never had."""
    result = agent.gh("api", "--hostname", host, "user", "--jq", ".login")

    assert (result.exit_code, result.stdout, result.stderr) == (0, b"octo\n", "")
    assert agent.github.seen(host)[-1].token == f"token {agent.github.tokens[host]}"
    for secret in (agent.github.tokens[host], SECRET):
        assert files_with(secret, agent.root) == []
    assert agent.gh("auth", "token").stdout.decode().strip() == PLACEHOLDER


def test_gh_knows_the_enterprise_remote_of_a_checkout(agent):
    """Its hosts are in gh's settings, so a checkout's remote says where to go."""
    checkout = agent.checkout(f"https://{ENTERPRISE}/{REPOSITORY}.git")
    result = agent.gh("pr", "list", cwd=checkout)

    assert (result.exit_code, result.stderr) == (0, "")
    assert b"a pull request" in result.stdout
    assert agent.github.seen(ENTERPRISE)


def test_settings_stay_as_they_are(agent):
    """gh neither rewrites them nor wants to; who tries is told by gh."""
    before = {path: path.read_bytes() for path in agent.gh_config.iterdir()}
    for _ in range(2):
        assert agent.gh("api", "user").exit_code == 0
    assert agent.gh("config", "set", "editor", "vi").exit_code == 0  # that is the user's own

    assert {path: path.read_bytes() for path in agent.gh_config.iterdir()} == before
    assert set(before) == {agent.gh_config / "config.yml", agent.gh_config / "hosts.yml"}
    for path in (agent.gh_config, *before):
        assert not stat.S_IMODE(path.stat().st_mode) & stat.S_IWOTH
        assert not AS_AGENT or path.stat().st_uid != OTHER_UID


def test_no_token_is_in_the_environment(scripted):
    """Only where gh's settings are; a gh below it finds the same."""
    left = {"CODESPACES": "true", "GH_TOKEN": "null", "GITHUB_TOKEN": "seed-me"}
    environ = shown(scripted.gh("api", "user", environ=left))
    below = shown(scripted.gh("api", "user", environ=environ))

    for found in (environ, below):
        assert found["GH_CONFIG_DIR"] == str(scripted.gh_config)
        assert [name for name in found if "TOKEN" in name or name == "CODESPACES"] == []
    assert "GH_CONFIG_DIR" not in shown(scripted.gh("version", environ=environ))
    assert scripted.api.requests == []


@pytest.mark.parametrize(
    "name",
    ["GH_TOKEN", "GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN", "GH_CONFIG_DIR"],
)
def test_what_is_the_users_own_is_respected(scripted, name):
    """gh with a token or settings of the user's does not go through the sidecar."""
    environ = shown(scripted.gh("api", "user", environ={name: "/my/own"}))

    assert environ[name] == "/my/own"
    assert environ.get("GH_CONFIG_DIR") != str(scripted.gh_config)


def test_without_a_sidecar_the_reason_is_told(agent, world):
    """One line of ours before gh's own, which would blame the token."""
    gh = agent.shim.read_text().replace(str(world.sidecar.gh_socket), "/nonexistent/gh.sock")
    agent.shim.write_text(gh)
    (agent.gh_config / "config.yml").write_text(
        (agent.gh_config / "config.yml").read_text().replace(str(world.sidecar.gh_socket),
                                                             "/nonexistent/gh.sock")
    )  # fmt: skip
    result = agent.gh("api", "user")
    first, rest = result.stderr.split("\n", 1)

    assert result.exit_code == 1
    assert "there is no sidecar at /nonexistent/gh.sock [sidecar-unreachable]" in first
    assert "/nonexistent/gh.sock" in rest


@pytest.mark.skipif(not AS_AGENT, reason="needs root, for a socket of another user")
def test_a_socket_that_is_closed_to_the_agent_is_told(agent, world):
    """gh's own words would not say who may open it."""
    path = agent.root / "gh.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    path.chmod(0o600)
    agent.shim.write_text(agent.shim.read_text().replace(str(world.sidecar.gh_socket), str(path)))
    result = agent.gh("api", "user")

    assert f"socket {path} is closed to this user [sidecar-refused]" in result.stderr


@pytest.mark.newer_gh
def test_repo_clone_by_a_current_gh(world):
    """Git below it is answered by the program in front of gh, which GH_PATH names."""
    agent = world.agent(real_gh("newer"))
    result = agent.gh("repo", "clone", REPOSITORY, "clone")

    assert result.exit_code == 0, result.stderr
    assert (agent.work / "clone" / "README.md").is_file()
