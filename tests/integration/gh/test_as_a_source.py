"""The real gh as a source of last resort, and its hosts.yml read by both."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.fakes.agent import AgentHome, ask

GH = shutil.which("gh")
TOKEN = "gho_fromHostsYml0123456789"
HOSTS = f"""\
github.com:
    user: octo
    oauth_token: {TOKEN}
    git_protocol: https
ghe.example.test:
    user: octo
    oauth_token: {TOKEN}ghe
"""

pytestmark = pytest.mark.skipif(GH is None, reason="needs gh: apt-get install gh")


@pytest.fixture
def agent(tmp_path, launcher):
    """An agent without a relay API."""
    return AgentHome(tmp_path / "agent", launcher)


def write_hosts(directory: Path, text: str = HOSTS) -> None:
    """A hosts.yml as `gh auth login` leaves it."""
    directory.mkdir(parents=True)
    (directory / "hosts.yml").write_text(text)
    (directory / "hosts.yml").chmod(0o600)


def test_gh_reads_the_same_hosts_yml(agent):
    """Real gh and we find the same token in the same file, so ours is gh's format."""
    write_hosts(agent.home / ".config" / "gh")
    by_gh = agent.run([str(GH), "auth", "token", "--hostname", "github.com"])
    by_us = agent.get(environ={"GIT_CREDENTIAL_RELAY_FALLBACK": "hosts.yml"})

    assert by_gh.stdout.decode().strip() == TOKEN, by_gh.stderr
    assert by_us.password == TOKEN


def test_gh_auth_token_is_a_source(agent):
    """With gh as the only source, its token is served with gh's own user name for git."""
    write_hosts(agent.home / ".config" / "gh")
    result = agent.get(environ={"GIT_CREDENTIAL_RELAY_FALLBACK": "gh"})

    assert (result.exit_code, result.stderr) == (0, "")
    assert (result.attributes["username"], result.password) == ("x-access-token", TOKEN)


def test_gh_is_asked_about_the_one_host(agent):
    """A GitHub Enterprise host gets its own entry's token, by the file and by gh alike."""
    write_hosts(agent.home / ".config" / "gh")
    for source in ("hosts.yml", "gh"):
        environ = {"GH_HOST": "ghe.example.test", "GIT_CREDENTIAL_RELAY_FALLBACK": source}
        result = agent.helper("get", stdin=ask("ghe.example.test"), environ=environ)

        assert result.password == TOKEN + "ghe"
        assert agent.get(environ=environ).password == TOKEN


def test_gh_config_dir_is_followed(agent):
    """GH_CONFIG_DIR leads both of us to another directory."""
    write_hosts(agent.root / "elsewhere")
    for source in ("hosts.yml", "gh"):
        environ = {
            "GH_CONFIG_DIR": str(agent.root / "elsewhere"),
            "GIT_CREDENTIAL_RELAY_FALLBACK": source,
        }

        assert agent.get(environ=environ).password == TOKEN


@pytest.mark.parametrize("name", ["GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN"])
def test_gh_does_not_lend_the_enterprise_token(agent, name):
    """A token without a host, which gh would show to any, is not taken from it."""
    environ = {
        name: "enterprise-token",
        "GH_HOST": "ghe.example.test",
        "GIT_CREDENTIAL_RELAY_FALLBACK": "gh",
    }
    lent = agent.run(
        [str(GH), "auth", "token", "--hostname", "ghe.example.test"],
        environ={name: "enterprise-token"},
    )
    result = agent.helper("get", stdin=ask("ghe.example.test"), environ=environ)

    assert lent.stdout.strip() == b"enterprise-token"  # so there is something to refuse
    assert result.stdout == b""
    assert "no token" in result.stderr


def test_gh_in_the_work_tree_is_not_run(agent):
    """PATH entries that are not absolute do not count: they lie in the repository."""
    (agent.work / "gh").write_text("#!/bin/sh\necho planted\n")
    (agent.work / "gh").chmod(0o755)
    environ = {"PATH": ".:", "GIT_CREDENTIAL_RELAY_FALLBACK": "gh"}
    result = agent.get(environ=environ)

    assert result.stdout == b""
    assert "gh - not installed" in result.stderr


def test_gh_without_a_login_is_one_line(agent):
    """Not being logged in is told in gh's own words, as one line of the chain."""
    result = agent.get(environ={"GIT_CREDENTIAL_RELAY_FALLBACK": "hosts.yml,gh"})
    chain = [line for line in result.stderr.splitlines() if ". gh - " in line]

    assert result.exit_code != 0
    assert result.stdout == b""
    assert len(chain) == 1
    assert "Fallback chain tried:" in result.stderr
