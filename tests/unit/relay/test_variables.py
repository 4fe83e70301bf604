"""Tokens as environment variables, and how ours are known again."""

import pytest

from git_credential_relay.credential.credential import Credential
from git_credential_relay.credential.forge import FORGEJO, Forge
from git_credential_relay.errors import ConfigError
from git_credential_relay.relay.variables import HOSTS, MARK, mark, own_tokens, token_variables
from git_credential_relay.secret import Secret, token_sha256
from tests.fakes.configs import GITHUB_COM, GITHUB_ENTERPRISE, GITLAB_COM, GITLAB_OWN, make_config

NOTHING = make_config()


def credential(token: str = "t0k", source: str = "relay API") -> Credential:
    """A credential from `source`."""
    sha256 = token_sha256(Secret(token))
    return Credential("x", Secret(token), token_sha256=sha256, fetched_at=0, source=source)


@pytest.mark.parametrize(
    "forge",
    [
        GITHUB_COM,
        GITLAB_COM,
        Forge(FORGEJO, "https", "code.example"),
    ],
)
def test_what_we_set_we_know_again(forge):
    """Every variable that we put a token into is found again as ours; nobody else's is."""
    variables = token_variables(forge, NOTHING)
    environ = variables.environment({"GH_TOKEN": "mine", "FORGE_TOKEN": "mine"}, credential())

    assert set(own_tokens(environ)) == set(variables.tokens)


def test_a_second_call_leaves_nothing_of_the_first():
    """A token for another forge takes the place of the one an outer call had set."""
    outer = token_variables(GITHUB_COM, NOTHING).environment({}, credential("outer"))
    inner = token_variables(GITLAB_COM, NOTHING).environment(outer, credential())

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
        token_variables(GITHUB_ENTERPRISE, NOTHING)


@pytest.mark.parametrize(
    ("forge", "name", "value", "stays"),
    [
        (GITHUB_COM, "GITHUB_API_URL", "https://api.github.com", True),
        (GITHUB_COM, "GITHUB_API_URL", "https://ghe.example/api/v3", False),
        (GITHUB_COM, "GITHUB_API_URL", "http://api.github.com", False),
        (GITHUB_COM, "GITHUB_GRAPHQL_URL", "https://api.github.com/graphql", True),
        (GITHUB_COM, "GITHUB_GRAPHQL_URL", "https://api.github.com@evil.example/graphql", False),
        (GITHUB_COM, "GITHUB_SERVER_URL", "https://github.com", True),
        (GITHUB_COM, "GITHUB_SERVER_URL", "https://ghe.example", False),
        (GITHUB_COM, "GH_URL", "https://ghe.example", False),
        (GITHUB_COM, "GITHUB_URL", "ghe.example", False),
        (GITHUB_COM, "GH_REPO", "o/r", True),
        (GITHUB_COM, "GH_REPO", "GitHub.com/o/r", True),
        (GITHUB_COM, "GH_REPO", "tenant.ghe.com/o/r", False),
        (GITHUB_COM, "GH_REPO", "https://github.com/o/r.git", True),
        (GITHUB_COM, "GH_REPO", "https://tenant.ghe.com/o/r", False),
        (GITHUB_COM, "GH_REPO", "git@tenant.ghe.com:o/r", False),
        (GITHUB_COM, "GITLAB_URL", "https://evil.example", True),
        (GITLAB_COM, "GL_HOST", "gitlab.com", True),
        (GITLAB_COM, "GL_HOST", "evil.example", False),
        (GITLAB_COM, "CI_API_V4_URL", "https://gitlab.com/api/v4", True),
        (GITLAB_COM, "CI_API_V4_URL", "https://evil.example/api/v4", False),
        (GITLAB_OWN, "GITLAB_URL", "https://git.example:8443/gitlab", True),
        (GITLAB_OWN, "GITLAB_URL", "https://git.example", False),
        (GITLAB_COM, "GITLAB_REPO", "group/sub/app", True),
        (GITLAB_COM, "GITLAB_REPO", "https://evil.example/group/app", False),
        (GITLAB_COM, "GH_REPO", "tenant.ghe.com/o/r", True),
    ],
)
def test_an_address_stays_where_it_names_the_tokens_host(forge, name, value, stays):
    """A variable that would lead a tool with the token to another host is not passed on."""
    environ = token_variables(forge, NOTHING).environment({name: value}, credential())

    assert environ.get(name) == (value if stays else None)


@pytest.mark.parametrize("listed", [{}, {"GIT_CREDENTIAL_RELAY_HOSTS": "gitlab=git.example"}])
def test_hosts_that_an_address_of_ours_hides_are_kept(listed):
    """GH_HOST says where gh goes and which hosts are ours; what we set for gh takes none away."""
    outer = make_config(GH_HOST="ghe.example", **listed)
    environ = token_variables(GITHUB_COM, outer).environment({}, credential())
    inner = make_config(**{name: environ[name] for name in (*listed, "GH_HOST", HOSTS)})

    assert environ["GH_HOST"] == "github.com"
    assert {f.host for f in outer.forges} == {f.host for f in inner.forges}
