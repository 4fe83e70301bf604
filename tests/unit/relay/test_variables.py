"""Tokens as environment variables, and how ours are known again."""

import pytest

from git_credential_relay.credential.credential import Credential
from git_credential_relay.credential.forge import FORGEJO, GITLAB, Forge
from git_credential_relay.errors import ConfigError
from git_credential_relay.relay.variables import MARK, mark, own_tokens, token_variables
from git_credential_relay.secret import Secret, token_sha256
from tests.fakes.configs import GITHUB_COM, GITHUB_ENTERPRISE


def credential(token: str = "t0k", source: str = "relay API") -> Credential:
    """A credential from `source`."""
    sha256 = token_sha256(Secret(token))
    return Credential("x", Secret(token), token_sha256=sha256, fetched_at=0, source=source)


@pytest.mark.parametrize(
    "forge",
    [
        GITHUB_COM,
        Forge(GITLAB, "https", "gitlab.com"),
        Forge(FORGEJO, "https", "code.example"),
    ],
)
def test_what_we_set_we_know_again(forge):
    """Every variable that we put a token into is found again as ours; nobody else's is."""
    variables = token_variables(forge)
    environ = variables.environment({"GH_TOKEN": "mine", "FORGE_TOKEN": "mine"}, credential())

    assert set(own_tokens(environ)) == set(variables.tokens)


def test_a_second_call_leaves_nothing_of_the_first():
    """A token for another forge takes the place of the one an outer call had set."""
    outer = token_variables(GITHUB_COM).environment({}, credential("outer"))
    inner = token_variables(Forge(GITLAB, "https", "gitlab.com")).environment(outer, credential())

    assert "outer" not in inner.values()
    assert inner["GITLAB_TOKEN"] == "t0k"


@pytest.mark.parametrize("source", ["relay API", "cache"])
def test_tokens_of_the_api_are_marked(source):
    """What the relay API issued is marked with its hash, whether it came through the cache."""
    assert mark(credential(source=source)) == {MARK: token_sha256(Secret("t0k"))}


@pytest.mark.parametrize("source", ["GITHUB_TOKEN", "hosts.yml", "gh"])
def test_local_tokens_are_not_marked(source):
    """A token that lies here anyway stays the user's own."""
    assert mark(credential(source=source)) == {}


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"GH_TOKEN": "t0k"},
        {MARK: "x"},
        {MARK: "x", "GH_TOKEN": "t0k"},
        {MARK: "", "GH_TOKEN": ""},
    ],
)
def test_without_its_mark_a_token_is_somebodys_own(environ):
    """Only a token that matches the mark is ours."""
    assert own_tokens(environ) == []


def test_enterprise_hosts_have_no_variable():
    """gh would show GH_ENTERPRISE_TOKEN to every host, so we never set it."""
    with pytest.raises(ConfigError, match=r"no variable binds a token to ghe\.example"):
        token_variables(GITHUB_ENTERPRISE)
