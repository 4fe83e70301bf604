"""The real gh, the real sidecar as a process of its own, and a relay API: the whole way."""

from __future__ import annotations

import pytest

from tests.fakes.agent import SECRET
from tests.fakes.api import Answer, Seen, issues, refuses
from tests.fakes.gh import VERSIONS, real_gh
from tests.fakes.github import GITHUB, REPOSITORY
from tests.fakes.sidecar import SidecarProcess, socket_directory, workspace_environ
from tests.integration.gh.test_socket_mode import SocketAgent


@pytest.fixture
def sidecar(api, github):
    """A sidecar with a socket for gh, whose API has a token for one repository and for none."""
    github.issue(GITHUB)

    def issue(seen: Seen) -> Answer:
        if seen.fields.get("path") not in (None, REPOSITORY):
            return refuses(403, error="not this repository", code="REPO_NOT_ALLOWED")
        return issues(github.tokens[GITHUB], host=GITHUB)

    api.script(issue)
    environ = workspace_environ(api.url) | {
        "HTTPS_PROXY": github.proxy_url,
        "GIT_CREDENTIAL_RELAY_CA_FILE": github.ca_file,
        "GIT_CREDENTIAL_DEBUG": "1",
    }
    with (
        socket_directory() as directory,
        SidecarProcess(directory, environ, gh=True) as sidecar,
    ):
        yield sidecar


@pytest.fixture(params=VERSIONS)
def agent(request, tmp_path, sidecar):
    """An agent with that gh and the sidecar's socket."""
    return SocketAgent(real_gh(request.param), tmp_path, str(sidecar.gh_socket))


def test_gh_through_the_sidecar(agent, api, github, sidecar):
    """From the cache, replaced when the forge refuses it, and refused with the API's reason."""
    assert agent.gh("pr", "list", "-R", REPOSITORY)[0] == 0
    assert agent.gh("api", f"repos/{REPOSITORY}")[0] == 0
    assert [seen.fields.get("path") for seen in api.requests] == [REPOSITORY]

    new = github.issue(GITHUB)
    assert agent.gh("api", f"repos/{REPOSITORY}")[0] == 0
    assert github.requests[-1].token == f"token {new}"
    assert len(api.requests) == 2

    code, _, err = agent.gh("api", "repos/octo/other")
    assert code == 1
    assert "not this repository [REPO_NOT_ALLOWED]" in err
    assert "(HTTP 403)" in err
    log = "\n".join(sidecar.lines)
    assert "host=api.github.com status=200" in log
    assert SECRET not in log
    assert new not in log


def test_a_query_in_a_repository_that_is_not_ours(agent, github):
    """gh's own words for it are the API's, and the forge hears nothing."""
    code, _, err = agent.gh("pr", "list", "-R", "octo/other")

    assert code == 1
    assert "REPO_NOT_ALLOWED" in err
    assert github.requests == []
