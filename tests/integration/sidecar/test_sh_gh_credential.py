"""`gh auth git-credential` by the shell program in front of gh, beside real gh's."""

from __future__ import annotations

import pytest

from git_credential_relay.secret import Secret, token_sha256
from tests.fakes.agent import ask
from tests.fakes.api import refuses
from tests.fakes.gh import real_gh
from tests.fakes.github import GITHUB, REPOSITORY, STRANGER
from tests.fakes.shell_agent import shell_world

GET = ("auth", "git-credential", "get")
OLD = "ghs_minted_an_hour_ago"
MARKED = {"GIT_CREDENTIAL_RELAY_TOKEN_SHA256": token_sha256(Secret(OLD))}


@pytest.fixture(scope="module")
def world():
    """A sidecar with what it talks to."""
    with shell_world() as world:
        yield world


@pytest.fixture
def agent(world):
    """An agent with Debian's gh."""
    return world.agent(real_gh("debian"))


@pytest.mark.parametrize(
    "request_",
    [ask(), ask(path=REPOSITORY), ask(path="what/is/this"), ask(username="somebody"),
     b"url=https://github.com/octo/demo.git\n", b"protocol=https\nhost=github.com\n"],
)  # fmt: skip
def test_git_is_answered_as_gh_would(agent, request_):
    """The answer is byte for byte what gh prints with our token in GH_TOKEN."""
    bare = agent.bare_gh(*GET, stdin=request_, environ={"GH_TOKEN": agent.github.tokens[GITHUB]})
    result = agent.gh(*GET, stdin=request_)

    assert bare.password == agent.github.tokens[GITHUB]
    assert (result.exit_code, result.stdout, result.stderr) == (0, bare.stdout, "")


@pytest.mark.parametrize(
    "request_",
    [ask(STRANGER), ask("github.com:8443"), ask("gist.github.com"), b"protocol=https\n\n", b"",
     b"protocol=http\nhost=github.com\n\n", b"url=http://github.com/octo/demo\n",
     b"url=https://evil.example.test#@github.com/o/r\n",
     b"url=https://evil.example.test?@github.com/o/r\n",
     b"protocol=https\nhost=github.com/../evil\n\n", b"protocol=https\nhost=*\n\n"],
)  # fmt: skip
def test_what_is_not_ours_is_refused_as_gh_would(agent, request_):
    """Exit code 1 and no word, even with an old token of ours around."""
    result = agent.gh(*GET, stdin=request_, environ={"GH_TOKEN": OLD, **MARKED})

    assert (result.exit_code, result.stdout, result.stderr) == (1, b"", "")


def test_git_hears_why_it_failed(agent):
    """A refusal by the relay API is on stderr, with its exit code."""
    agent.api.script(refuses(403, error="not yours", code="GRANT_MISSING"))
    result = agent.gh(*GET, stdin=ask(path="octo/denied-too"))

    assert (result.exit_code, result.stdout) == (4, b"")
    assert "[GRANT_MISSING]" in result.stderr


def test_erase_reaches_the_sidecar(agent):
    """The token that git says was refused is not given again; `store` changes nothing."""
    request = ask(path="octo/erased")
    first = agent.gh(*GET, stdin=request)
    refused = ask(path="octo/erased", username="x-access-token", password=str(first.password))
    before = agent.github.tokens[GITHUB]
    new = agent.github.issue(GITHUB)

    assert agent.gh("auth", "git-credential", "store", stdin=refused).is_silent_success
    assert agent.gh(*GET, stdin=request).password == before
    assert agent.gh("auth", "git-credential", "erase", stdin=refused).is_silent_success
    assert agent.gh(*GET, stdin=request).password == new
    # Every test after this one has the new token too.
    all_of_it = ask(username="x-access-token", password=before)
    assert agent.gh("auth", "git-credential", "erase", stdin=all_of_it).is_silent_success


def test_a_url_that_hides_its_host_gets_no_token(agent):
    """What gh itself cannot read is left to it, with its own words."""
    result = agent.gh(*GET, stdin=b"url=https://evil.example.test\\@github.com/o/r\n")

    assert (result.exit_code, result.stdout) == (1, b"")
    assert agent.api.requests == []


def test_a_token_of_ones_own_is_given_by_gh(agent):
    """The real gh answers with it; the sidecar is not asked."""
    away = {"GIT_CREDENTIAL_RELAY_SOCKET": "/nonexistent/git.sock"}
    result = agent.gh(*GET, stdin=ask(path="o/r"), environ={"GH_TOKEN": "my-own", **away})

    assert (result.exit_code, result.password, result.stderr) == (0, "my-own", "")


def test_without_a_sidecar_git_hears_so(agent):
    """For a host that is ours: exit code 75 and the reason; another one is gh's affair."""
    away = {"GIT_CREDENTIAL_RELAY_SOCKET": "/nonexistent/git.sock"}
    ours = agent.gh(*GET, stdin=ask(), environ=away)
    other = agent.gh(*GET, stdin=ask(STRANGER), environ=away)

    assert (ours.exit_code, ours.stdout) == (75, b"")
    assert "[sidecar-unreachable]" in ours.stderr
    assert (other.exit_code, other.stdout, other.stderr) == (1, b"", "")
