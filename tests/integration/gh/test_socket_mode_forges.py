"""The real gh in socket mode with two forges, one of which redirects to the other."""

from __future__ import annotations

import pytest

from tests.fakes.api_proxy import ScriptedWorkspace, running_api_proxy
from tests.fakes.configs import make_config
from tests.fakes.gh import VERSIONS, real_gh
from tests.fakes.upstream import Reply, Seen, running_upstream, says
from tests.integration.gh.test_socket_mode import SocketAgent

HOSTILE = "ghe.example.test"
ELSEWHERE = "https://api.github.com/repos/octo/demo/merges"


def script(seen: Seen) -> Reply:
    """The one forge leads whoever asks it to the other one."""
    if seen.host == HOSTILE:
        return Reply(307, b"", {"Location": ELSEWHERE})
    return says({"sha": "0"}, 201)


@pytest.fixture
def upstream(tmp_path):
    """Both forges, over TLS."""
    with running_upstream(script, tmp_path) as upstream:
        yield upstream


@pytest.fixture(params=VERSIONS)
def agent(request, tmp_path, upstream):
    """An agent with that gh, who is known at both forges."""
    config = make_config(
        HTTPS_PROXY=upstream.proxy_url,
        GIT_CREDENTIAL_RELAY_CA_FILE=upstream.ca_file,
        GIT_CREDENTIAL_RELAY_HOSTS=f"github={HOSTILE}",
    )
    workspace = ScriptedWorkspace(config, lambda target, _: f"for-{target.forge.host}")
    with running_api_proxy(lambda connection: workspace) as proxy:
        agent = SocketAgent(real_gh(request.param), tmp_path, proxy.path)
        agent.environ["GH_ENTERPRISE_TOKEN"] = agent.environ["GH_TOKEN"]
        yield agent


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_one_forge_cannot_have_gh_act_at_another(agent, upstream, method):
    """gh takes its token off when a redirect leads to another host, and we put none back."""
    agent.gh("api", "--hostname", HOSTILE, "-X", method, "user", "-f", "base=main")

    tokens = {seen.host: seen.token for seen in upstream.requests}
    assert tokens.pop(HOSTILE) == f"token for-{HOSTILE}"
    assert tokens == ({"api.github.com": None} if method == "GET" else {})
