"""Which forge's API a host and a path are, and which repository a request is about."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.credential.forge import FORGEJO, GITHUB, Forge
from git_credential_relay.relay.sidecar.api_proxy.route import (
    Api,
    find_api,
    graphql_repository,
    rest_repository,
)

COM = Forge(GITHUB, "https", "github.com")
GHE = Forge(GITHUB, "https", "ghe.example:8443")
TENANT = Forge(GITHUB, "https", "tenant.ghe.com")
LOCAL = Forge(GITHUB, "http", "127.0.0.1:8080")
FORGES = [COM, GHE, TENANT, LOCAL, Forge(FORGEJO, "https", "codeberg.org")]


@pytest.mark.parametrize(
    ("host", "path", "forge", "below", "is_graphql"),
    [
        ("api.github.com", "/user", COM, "/user", False),
        ("api.github.com", "/graphql", COM, "/graphql", True),
        ("uploads.github.com", "/repos/o/r/releases/1/assets", COM, None, False),
        ("api.tenant.ghe.com", "/graphql", TENANT, "/graphql", True),
        ("ghe.example:8443", "/api/v3/", GHE, "/", False),
        ("ghe.example:8443", "/api/v3/repos/o/r", GHE, "/repos/o/r", False),
        ("ghe.example:8443", "/api/graphql", GHE, "/graphql", True),
        ("ghe.example:8443", "/api/uploads/repos/o/r", GHE, "/repos/o/r", False),
        ("127.0.0.1:8080", "/api/v3/user", LOCAL, "/user", False),
    ],
)
def test_the_apis_that_gh_asks(host, path, forge, below, is_graphql):
    """github.com and tenants by their API's hosts, others by its paths."""
    api = find_api(FORGES, host, path)

    assert api is not None
    assert (api.forge, api.path, api.is_graphql) == (forge, below or path, is_graphql)


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("github.com", "/user"),
        ("xapi.github.com", "/user"),
        ("api.github.com.evil.example", "/user"),
        ("api.github.com:8443", "/user"),
        ("raw.github.com", "/user"),
        ("api.other.ghe.com", "/user"),
        ("tenant.ghe.com", "/api/v3/user"),
        ("ghe.example", "/api/v3/user"),
        ("ghe.example:8443", "/user"),
        ("ghe.example:8443", "/api/v3x/user"),
        ("ghe.example:8443", "/api/graphqlx"),
        ("ghe.example:8443", "/storage/x"),
        ("codeberg.org", "/api/v3/user"),
    ],
)
def test_everything_else_is_not_ours(host, path):
    """Equality only: a subdomain, a port or a path more is somebody else."""
    assert find_api(FORGES, host, path) is None


def test_plain_http_is_for_this_machine_only():
    """gh cannot see that a token would go out in the clear."""
    assert find_api([Forge(GITHUB, "http", "ghe.example")], "ghe.example", "/api/v3/user") is None


def test_a_forge_below_a_path_has_no_api_for_gh():
    """gh knows hosts only, and what else is on that one is not the forge's."""
    forge = Forge(GITHUB, "https", "ghe.example", "below")
    assert find_api([forge], "ghe.example", "/api/v3/user") is None


@given(st.from_regex(r"[a-z0-9.:\-]{1,40}", fullmatch=True))
def test_only_the_listed_hosts(host):
    """No other host has an API, whatever it is called."""
    com = ["api.github.com", "uploads.github.com"]
    known = [*com, "api.tenant.ghe.com", "uploads.tenant.ghe.com", GHE.host, LOCAL.host]

    assert (find_api(FORGES, host, "/api/v3/user") is not None) == (host in known)


@pytest.mark.parametrize(
    ("path", "repository"),
    [
        ("/repos/octo/demo", "octo/demo"),
        ("/repos/octo/demo/pulls/1", "octo/demo"),
        ("/repos/octo/.github", "octo/.github"),
        ("/repos/octo", None),
        ("/repos//demo", None),
        ("/repos/octo/", None),
        ("/repos/octo%2Fx/demo", None),
        ("/repositories/1", None),
        ("/user", None),
        ("/x/repos/octo/demo", None),
    ],
)
def test_the_repository_of_a_path(path, repository):
    """`/repos/OWNER/NAME` names one, and nothing else does."""
    assert rest_repository(Api(COM, path, is_graphql=False)) == repository


@pytest.mark.parametrize(
    ("variables", "repository"),
    [
        ({"owner": "octo", "name": "demo"}, "octo/demo"),
        ({"owner": "octo", "repo": "demo", "limit": 30}, "octo/demo"),
        ({"owner": "octo", "name": None, "repo": "demo"}, "octo/demo"),
        ({"owner": "octo"}, None),
        ({"owner": "octo/demo", "name": ""}, None),
        ({"owner": "octo", "name": "../x"}, None),
        ({"owner": "octo", "name": 7}, None),
        ({"owner": ["octo"], "name": "demo"}, None),
        ([], None),
        (None, None),
        ("owner", None),
    ],
    ids=str,
)
def test_the_repository_of_a_query(variables, repository):
    """By its variables, where they name a repository that there can be."""
    body = json.dumps({"query": "q", "variables": variables}).encode()

    assert graphql_repository(Api(COM, "/graphql", is_graphql=True), body) == repository


@given(st.binary(max_size=200))
def test_a_body_that_is_no_query(body):
    """Whatever it holds names no repository, and is no trouble."""
    assert graphql_repository(Api(COM, "/graphql", is_graphql=True), body) is None


def test_a_body_that_is_too_deep():
    """JSON that exhausts the parser is no trouble."""
    body = b'{"variables":' + b"[" * 200_000

    assert graphql_repository(Api(COM, "/graphql", is_graphql=True), body) is None
