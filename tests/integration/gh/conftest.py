"""Fixtures of the gh tests: GitHub and others on loopback, and an agent with the real gh."""

from __future__ import annotations

import pytest

from tests.fakes.gh import VERSIONS, gh_agent
from tests.fakes.github import serve_github


@pytest.fixture
def github(tmp_path):
    """GitHub, an Enterprise server and a stranger."""
    with serve_github(tmp_path) as github:
        yield github


@pytest.fixture(params=VERSIONS)
def agent(request, tmp_path, launcher, api, github):
    """An agent whose relay API has a token for github.com and one for the Enterprise server."""
    return gh_agent(tmp_path / "agent", launcher, api, github, request.param)
