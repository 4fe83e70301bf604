"""The stand-in for gh and the hosts that GH_TOKEN is not for: Enterprise servers and tenants."""

from __future__ import annotations

import os
import pwd
import signal
import stat

import pytest

from tests.fakes.agent import files_with
from tests.fakes.gh import (
    assert_gone,
    assert_kept_to_its_host,
    private_directories,
)
from tests.fakes.github import ENTERPRISE, GITHUB, REPOSITORY, TENANT


def test_enterprise_host(agent):
    """An Enterprise server gets its own token, by a configuration that goes when gh has ended."""
    stale = {"GITHUB_TOKEN": "stale", "CODESPACES": "true"}
    result = agent.gh("pr", "list", "-R", f"{ENTERPRISE}/{REPOSITORY}", environ=stale)

    assert (result.exit_code, result.stderr) == (0, "")
    assert b"a pull request" in result.stdout
    assert {request.token for request in agent.github.seen(ENTERPRISE)} == {
        f"token {agent.github.tokens[ENTERPRISE]}"
    }
    assert agent.asked() == [(ENTERPRISE, REPOSITORY)]
    assert_gone(agent)
    assert_kept_to_its_host(agent)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_enterprise_token_is_private_and_goes_with_gh(agent, number):
    """While gh runs its token lies in a closed directory, which goes even when gh is killed."""
    arguments = ["api", "--hostname", ENTERPRISE, "slow"]
    with agent.start_gh(agent.shim, *arguments) as process:
        agent.github.wait_for("/slow")
        [directory] = private_directories(agent)
        modes = {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
        named = files_with(agent.github.tokens[ENTERPRISE], directory)
        process.send_signal(number)
        out, _ = process.communicate(timeout=20)

    assert [path.name for path in named] == ["hosts.yml"]
    assert modes == {0o600}
    assert process.returncode == -number
    assert out == b""
    assert_gone(agent)


def has_passwd_entry() -> bool:
    """Whether the user who runs the tests has a name."""
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        return False
    return True


def test_enterprise_host_of_the_checkout(agent):
    """A work tree whose remote is at the Enterprise server needs no flag, by https or by ssh."""
    urls = [f"https://{ENTERPRISE}/"]
    if has_passwd_entry():  # ssh, which gh asks about its aliases, wants one
        urls.append(f"git@{ENTERPRISE}:")
    for number, url in enumerate(urls):
        checkout = agent.checkout(f"{url}{REPOSITORY}.git", f"checkout-{number}")
        result = agent.gh("pr", "list", cwd=checkout)

        assert (result.exit_code, result.stderr) == (0, "")
    assert agent.asked() == [(ENTERPRISE, REPOSITORY)]


def test_enterprise_host_keeps_aliases_and_extensions(agent):
    """With a configuration of our own the user's aliases, settings and extensions still work."""
    assert agent.gh("alias", "set", "me", "api user").exit_code == 0
    agent.extension("show", 'gh me --jq .login; test "$1" = x; exit 7')
    environ = {"GH_HOST": ENTERPRISE}

    assert agent.gh("me", "--jq", ".login", environ=environ).stdout == b"octo\n"
    result = agent.gh("show", "x", environ=environ)
    assert (result.exit_code, result.stdout, result.stderr) == (7, b"octo\n", "")
    assert_gone(agent)
    assert not agent.github.seen(GITHUB)


def test_settings_made_below_it_are_kept(agent):
    """What an extension sets with `gh config` while our configuration is there outlives it."""
    agent.extension("set", "gh config set editor ed && gh config get editor")
    result = agent.gh("set", environ={"GH_HOST": ENTERPRISE})

    assert (result.exit_code, result.stdout) == (0, b"ed\n"), result.stderr
    assert agent.bare_gh("config", "get", "editor").stdout == b"ed\n"


def test_enterprise_host_without_a_place_in_memory(agent):
    """Where no directory in memory can be had, that is said, and no token reaches a disk."""
    environ = {"GIT_CREDENTIAL_RELAY_CACHE_DIR": "/proc/none"}
    result = agent.gh("api", "--hostname", ENTERPRISE, "user", environ=environ)

    assert result.exit_code != 0
    assert "[no-private-directory]" in result.stderr
    assert files_with(agent.github.tokens[ENTERPRISE], agent.root) == []


def test_tenant_with_a_login_of_ones_own(agent):
    """At a tenant of ghe.com that is not ours to serve the user's own login counts, as ever."""
    hosts = agent.home / ".config" / "gh" / "hosts.yml"
    hosts.parent.mkdir(parents=True)
    user = "    user: me\n    oauth_token: own\n    users: {me: {oauth_token: own}}\n"
    hosts.write_text(f"{TENANT}:\n{user}")
    (hosts.parent / "config.yml").write_text('version: "1"\n')
    # gh tries every login it knows, and would try GH_TOKEN there.
    assert b"octo" in agent.gh("api", "user").stdout
    agent.gh("auth", "status", "--hostname", GITHUB)
    agent.gh("auth", "status")
    assert not agent.github.seen(TENANT)
    assert_kept_to_its_host(agent)
    agent.api.requests.clear()
    checkout = agent.checkout(f"https://github.com/{REPOSITORY}.git")
    agent.checkout(f"https://{TENANT}/{REPOSITORY}.git", remote="upstream")
    agent.gh("pr", "list", cwd=checkout)

    assert {request.token for request in agent.github.seen(TENANT)} == {"token own"}
    assert agent.asked() == []


def test_an_alias_does_not_lead_a_token_astray(agent):
    """An alias for a tenant of ghe.com, which we do not read, goes there without our token."""
    assert agent.gh("alias", "set", "there", f"api --hostname {TENANT} user").exit_code == 0
    environ = {"GH_TOKEN": "any", "GH_ENTERPRISE_TOKEN": "any"}
    agent.bare_gh("there", environ=environ)
    assert agent.github.seen(TENANT)[-1].token == "token any"  # so there is something to see

    agent.gh("there")
    assert_kept_to_its_host(agent)


def test_tenant_that_is_configured(agent):
    """A configured tenant gets its own token, and not the GITHUB_TOKEN that lies around."""
    token = agent.github.issue(TENANT)
    environ = {"GIT_CREDENTIAL_RELAY_HOSTS": f"github={TENANT}", "GITHUB_TOKEN": "stale"}
    result = agent.gh("api", "--hostname", TENANT, "user", environ=environ)

    assert result.exit_code == 0, result.stderr
    assert {request.token for request in agent.github.seen(TENANT)} == {f"token {token}"}
    assert_gone(agent)
    assert_kept_to_its_host(agent)


def test_enterprise_token_of_ones_own_is_respected(agent):
    """GH_ENTERPRISE_TOKEN is the user's own choice for such a host; we never set it."""
    environ = {"GH_ENTERPRISE_TOKEN": "my-own"}
    agent.gh("api", "--hostname", ENTERPRISE, "user", environ=environ)

    assert [request.token for request in agent.github.seen(ENTERPRISE)] == ["token my-own"]
    assert agent.asked() == []


@pytest.mark.parametrize(
    "environ",
    [
        pytest.param({"GH_HOST": TENANT}, id="GH_HOST"),
        pytest.param({"GH_REPO": f"{TENANT}/octo/demo"}, id="GH_REPO"),
        pytest.param({"GH_REPO": f"https://{TENANT}/octo/demo"}, id="GH_REPO as URL"),
        pytest.param({}, id="remote"),
    ],
)
@pytest.mark.parametrize("command", [["api", "user"], ["pr", "list"]], ids=" ".join)
def test_exec_keeps_its_token_from_a_tenant(agent, environ, command):
    """`exec` runs the real gh with GH_TOKEN, which it would show to a tenant of ghe.com."""
    checkout = agent.checkout(f"https://{TENANT}/octo/demo") if not environ else agent.work
    agent.run(
        [str(agent.launcher), "exec", "--", str(agent.real), *command],
        environ=environ,
        cwd=checkout,
    )

    assert agent.asked() == [("github.com", None)]
    assert agent.github.seen(TENANT) == []


@pytest.mark.parametrize(
    "environ",
    [{"GH_HOST": TENANT}, {"GH_REPO": f"{TENANT}/{REPOSITORY}"}],
    ids=["GH_HOST", "GH_REPO"],
)
def test_a_token_for_github_com_is_not_in_a_variable_where_a_tenant_is_named(agent, environ):
    """gh takes GH_TOKEN for tenants too; an alias could lead there past what we have read."""
    agent.extension("show", 'echo "[$GH_TOKEN]"')
    result = agent.gh("show", "-R", f"{GITHUB}/{REPOSITORY}", environ=environ)

    assert (result.exit_code, result.stdout) == (0, b"[]\n")
