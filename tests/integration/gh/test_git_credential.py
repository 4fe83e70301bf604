"""`gh auth git-credential` by the stand-in, beside real gh's, and `gh-credential-relay`."""

from __future__ import annotations

import pytest

from git_credential_relay.secret import Secret, token_sha256
from tests.fakes.agent import AgentHome, ask, files_with
from tests.fakes.api import closed_port, issues, refuses
from tests.fakes.gh import write_stand_in
from tests.fakes.github import ENTERPRISE, GITHUB, REPOSITORY

P = "git-credential-relay: "
GET = ("auth", "git-credential", "get")


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(ask(), id="host"),
        pytest.param(ask(path=REPOSITORY), id="path"),
        pytest.param(ask(path="what/is/this"), id="path of no repository"),
        pytest.param(ask(username="somebody"), id="user name"),
        pytest.param(b"url=https://github.com/octo/demo.git\n", id="url"),
        pytest.param(b"protocol=https\nhost=github.com\n", id="end instead of an empty line"),
    ],
)
def test_answer_is_the_one_of_gh(agent, request_):
    """The stand-in prints byte for byte what gh prints with our token in GH_TOKEN."""
    bare = agent.bare_gh(*GET, stdin=request_, environ={"GH_TOKEN": agent.github.tokens[GITHUB]})
    result = agent.gh(*GET, stdin=request_)

    assert bare.password == agent.github.tokens[GITHUB]
    assert (result.exit_code, result.stdout, result.stderr) == (0, bare.stdout, "")


def test_path_asks_for_the_repository(agent):
    """When git says which repository, the token is asked for that one, and for git."""
    agent.gh(*GET, stdin=ask(path=f"{REPOSITORY}.git"))
    [seen] = agent.api.requests

    assert (seen.fields["path"], seen.fields["use"]) == (REPOSITORY, "git")


def test_enterprise_host_is_answered(agent):
    """A configured Enterprise server gets its own token."""
    result = agent.gh(*GET, stdin=ask(ENTERPRISE))

    assert result.password == agent.github.tokens[ENTERPRISE]


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(ask("evil.example.test"), id="another host"),
        pytest.param(ask("github.com:8443"), id="another port"),
        pytest.param(ask("foo.github.com"), id="a host below github.com"),
        pytest.param(ask("gist.github.com"), id="gists"),
        pytest.param(b"protocol=http\nhost=github.com\n\n", id="http"),
        pytest.param(b"protocol=https\n\n", id="no host"),
        pytest.param(b"protocol=https\nhost=github.com\x00.evil.test\n\n", id="control byte"),
        pytest.param(b"url=http://github.com/octo/demo\n\n", id="http url"),
        pytest.param(b"url=https://evil.example.test#@github.com/o/r\n", id="host in a fragment"),
        pytest.param(b"url=https://evil.example.test?@github.com/o/r\n", id="host in a query"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_refusal_is_the_one_of_gh(agent, request_):
    """What is not ours gets exit code 1 and no word, even with a token of ours around."""
    old = {"GH_TOKEN": "ours", "GIT_CREDENTIAL_RELAY_TOKEN_SHA256": token_sha256(Secret("ours"))}
    result = agent.gh(*GET, stdin=request_, environ=old)

    assert (result.exit_code, result.stdout, result.stderr) == (1, b"", "")
    assert agent.asked() == []


def test_host_of_an_own_login_is_answered_by_gh(agent):
    """A host the user has logged in at is not ours: the real gh reads the request and answers."""
    hosts = agent.home / ".config" / "gh" / "hosts.yml"
    hosts.parent.mkdir(parents=True)
    hosts.write_text("own.example.test:\n    user: me\n    oauth_token: own-token\n")
    (hosts.parent / "config.yml").write_text('version: "1"\n')
    result = agent.gh(*GET, stdin=ask("own.example.test"))

    assert (result.exit_code, result.password) == (0, "own-token")


def test_store_and_erase_say_nothing(agent):
    """`store` does nothing; `erase` drops the token, so that the next one is new."""
    first = agent.gh(*GET, stdin=ask())
    refused = ask(username="x-access-token", password=str(first.password))
    agent.github.issue(GITHUB)

    assert agent.gh("auth", "git-credential", "store", stdin=refused).is_silent_success
    assert agent.gh(*GET, stdin=ask()).password == first.password
    assert agent.gh("auth", "git-credential", "erase", stdin=refused).is_silent_success
    assert agent.gh(*GET, stdin=ask()).password == agent.github.tokens[GITHUB]


def test_other_operations_are_those_of_gh(agent):
    """Whatever else is asked, gh says that it does not know it."""
    bare = agent.bare_gh("auth", "git-credential", "capability")
    result = agent.gh("auth", "git-credential", "capability")

    assert (result.exit_code, result.stdout, result.stderr) == (
        bare.exit_code,
        bare.stdout,
        bare.stderr,
    )


def test_failure_is_told(agent):
    """When the API refuses, git gets nothing and stderr has the reason."""
    agent.api.script(refuses(403, error="not yours", code="GRANT_MISSING"))
    result = agent.gh(*GET, stdin=ask())

    assert (result.exit_code, result.stdout) == (4, b"")
    assert "[GRANT_MISSING]" in result.stderr


def test_git_is_served_through_it(agent):
    """Real git with `!gh auth git-credential` as its helper clones."""
    url = f"https://{GITHUB}/{REPOSITORY}"
    helper = f'credential.helper=!"{agent.shim}" auth git-credential'
    result = agent.git("-c", helper, "clone", "--quiet", url, "clone")

    assert result.exit_code == 0, result.stderr
    assert files_with(agent.github.tokens[GITHUB], agent.work) == []


@pytest.fixture
def helper(tmp_path, api):
    """An agent with `gh-credential-relay`, and with a local source that it must not use."""
    program = tmp_path / "gh-credential-relay"
    write_stand_in(program, "gh-credential-relay")
    agent = AgentHome(tmp_path / "agent", program, api.url)
    agent.environ["GH_TOKEN"] = "a local one"
    api.script(issues("ghs_minted"))
    return agent


def test_gh_credential_relay_answers_for_github(helper):
    """`get` for github.com is answered in the form of agent-relay's script, from the API."""
    result = helper.helper("get", stdin=ask())

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.decode().splitlines() == [
        "protocol=https",
        "host=github.com",
        "username=x-access-token",
        "password=ghs_minted",
    ]


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("get", ask("gitlab.com")),
        ("get", ask("ghe.example.test")),
        ("get", b""),
        ("store", ask(password="x")),
        ("erase", ask(password="x")),
        ("whatever", ask()),
    ],
)
def test_gh_credential_relay_is_silent_about_the_rest(helper, api, operation, request_):
    """Other hosts and other operations: exit code 0 and no word."""
    environ = {"GIT_CREDENTIAL_RELAY_HOSTS": "github=ghe.example.test"}

    assert helper.helper(operation, stdin=request_, environ=environ).is_silent_success
    assert api.requests == []


@pytest.mark.parametrize("name", ["CLOUD_API_URL", "WORKSPACE_ID", "WORKSPACE_TOKEN"])
def test_gh_credential_relay_names_a_missing_setting(helper, name):
    """A missing setting is one line on stderr and exit code 1; GH_TOKEN does not stand in."""
    result = helper.helper("get", stdin=ask(), environ={name: ""})

    assert (result.exit_code, result.stdout) == (1, b"")
    assert len(result.stderr.splitlines()) == 1
    assert f"{name} not set" in result.stderr


@pytest.mark.parametrize("trouble", ["denied", "away"])
def test_gh_credential_relay_fails_with_1(helper, api, trouble):
    """When the API refuses or is away: exit code 1, the reason, and no local source."""
    environ = {"GIT_CREDENTIAL_RELAY_DEADLINE": "1"}
    if trouble == "denied":
        api.script(refuses(403, error="no", code="GRANT_MISSING"))
    else:
        environ["CLOUD_API_URL"] = f"http://127.0.0.1:{closed_port()}"
    result = helper.helper("get", stdin=ask(), environ=environ)

    assert (result.exit_code, result.stdout) == (1, b"")
    assert ("GRANT_MISSING" if trouble == "denied" else "connect-failed") in result.stderr
    assert "Fallback chain" not in result.stderr
    assert "Traceback" not in result.stderr


def test_gh_credential_relay_traces(helper):
    """GH_CREDENTIAL_DEBUG=1 traces on stderr, without the token."""
    result = helper.helper("get", stdin=ask(), environ={"GH_CREDENTIAL_DEBUG": "1"})

    assert result.password == "ghs_minted"
    assert f"{P}trace: api " in result.stderr
    assert "ghs_minted" not in result.stderr
