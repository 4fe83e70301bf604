"""A relay API for the commands."""

import pytest
from pytest_httpserver import HTTPServer


@pytest.fixture
def api(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> HTTPServer:
    """A relay API on loopback, configured in the environment; it answers nothing yet."""
    monkeypatch.setenv("CLOUD_API_URL", httpserver.url_for(""))
    monkeypatch.setenv("WORKSPACE_ID", "ws-1")
    monkeypatch.setenv("WORKSPACE_TOKEN", "workspace-secret")
    monkeypatch.setenv("GIT_CREDENTIAL_RELAY_FALLBACK", "off")
    monkeypatch.setenv("GIT_CREDENTIAL_RELAY_CACHE", "off")
    return httpserver
