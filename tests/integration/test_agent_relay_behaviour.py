"""What agent-relay's scripts do today, done by the installed executable."""

import json
import subprocess
from pathlib import Path

import pytest
from werkzeug import Response

from tests.fakes.program import EXECUTABLE
from tests.fakes.raw_server import closed_port

REQUEST = "protocol=https\nhost={host}\n\n"
FROM_GITHUB = "username=x-access-token\npassword={token}\n\n"


class Container:
    """A container as agent-relay starts it: a home, and the variables it was given alone."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / "container"
        self.home.mkdir()
        self.environ = {
            "HOME": str(self.home),
            "PATH": str(root / "bin"),
            "GIT_CREDENTIAL_RELAY_CACHE_DIR": str(root / "cache"),
        }

    def hosts_yml(self, text: str, below: str = ".config/gh") -> None:
        path = self.home / below / "hosts.yml"
        path.parent.mkdir(parents=True)
        path.write_text(text)

    def gh(self, *lines: str) -> None:
        path = self.root / "bin/gh"
        path.parent.mkdir()
        path.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
        path.chmod(0o755)

    def run(self, operation="get", host="github.com", **variables: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of one operation."""
        done = subprocess.run(
            [EXECUTABLE, operation],
            input=REQUEST.format(host=host),
            capture_output=True,
            text=True,
            env=self.environ | variables,
            cwd=self.root,
            timeout=30,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def container(tmp_path) -> Container:
    return Container(tmp_path)


def served(token: str) -> tuple[int, str, str]:
    return 0, FROM_GITHUB.format(token=token), ""


SILENCE = (0, "", "")


@pytest.mark.parametrize(
    ("variables", "token"),
    [
        ({"GH_TOKEN": "ghp_one"}, "ghp_one"),
        ({"GITHUB_TOKEN": "ghp_two"}, "ghp_two"),
        ({"GH_TOKEN": "ghp_one", "GITHUB_TOKEN": "ghp_two"}, "ghp_one"),
        ({"GH_TOKEN": "", "GITHUB_TOKEN": "ghp_two"}, "ghp_two"),
        ({"GH_TOKEN": "null", "GITHUB_TOKEN": "ghp_two"}, "ghp_two"),
    ],
    ids=["GH_TOKEN", "GITHUB_TOKEN", "both", "one empty", "one null"],
)
def test_a_token_in_the_environment(container, variables, token):
    """With no API configured a variable serves github.com, GH_TOKEN first."""
    assert container.run(**variables) == served(token)


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("github.com:\n    oauth_token: gho_a\n    user: x\n", "gho_a"),
        ("github.com:\n    token: ghs_b\n", "ghs_b"),
        ("github.com:\n    oauth_token: gho_a\n    token: ghs_b\n", "gho_a"),
        ("github.com:\n    token: ghs_b\n    oauth_token: gho_a\n", "gho_a"),
    ],
    ids=["oauth_token", "token", "both", "both, the other way round"],
)
@pytest.mark.parametrize("place", ["HOME", "XDG_CONFIG_HOME"])
def test_a_token_in_hosts_yml(container, text, token, place):
    """gh's file serves with either key, below the home or XDG's directory."""
    variables = {}
    if place == "XDG_CONFIG_HOME":
        container.hosts_yml(text, "xdg/gh")
        variables[place] = str(container.home / "xdg")
    else:
        container.hosts_yml(text)

    assert container.run(**variables) == served(token)


def test_the_environment_comes_before_the_file(container):
    """A variable wins over hosts.yml, and hosts.yml over gh."""
    container.hosts_yml("github.com:\n  oauth_token: gho_a\n")
    container.gh("echo gho_from_gh")

    assert container.run(GH_TOKEN="ghp_one") == served("ghp_one")
    assert container.run() == served("gho_a")


@pytest.mark.parametrize(
    "text",
    [
        "github.com:\n  user: x\n  git_protocol: https\n",
        "",
        "github.com: [",
        "github.com:\n\ta: b\n",
    ],
    ids=["no token", "empty", "broken", "tabs"],
)
def test_a_hosts_yml_without_a_token_does_not_end_it(container, text):
    """agent-relay's script died there without a word; gh behind it is asked."""
    container.hosts_yml(text)
    container.gh("echo gho_from_gh")

    assert container.run() == served("gho_from_gh")


@pytest.mark.parametrize("host", ["gitlab.com", "example.com", "github.com.evil.example"])
def test_another_host_gets_nothing_and_no_word(container, host):
    """With only GitHub's tokens about, another host is exit 0, no password and silence."""
    container.hosts_yml("github.com:\n  oauth_token: gho_a\n")
    container.gh("echo gho_from_gh")

    assert container.run(host=host, GH_TOKEN="ghp_one") == SILENCE


@pytest.mark.parametrize("operation", ["store", "erase", "approve", "list"])
def test_other_operations_are_silent(container, operation):
    """store, erase and whatever git may invent exit 0 without a word."""
    assert container.run(operation, GH_TOKEN="ghp_one") == SILENCE


def lines(stderr: str) -> list[str]:
    prefix = "git-credential-relay: "
    assert all(line.startswith(prefix) for line in stderr.splitlines())
    return [line.removeprefix(prefix) for line in stderr.splitlines()]


def test_nothing_configured(container):
    """Exit 1, nothing on stdout, and a line with a code for each source that was tried."""
    code, stdout, stderr = container.run()

    assert (code, stdout) == (1, "")
    first, *rest = lines(stderr)
    assert first == (
        "error: no credential for https://github.com: unavailable (CLOUD_API_URL not set)"
        " [not-configured] (hint: set CLOUD_API_URL; trying again before that will not help)"
    )
    assert rest == [
        "Fallback chain tried:",
        "  1. GH_TOKEN - not set [not-set]",
        "  2. GITHUB_TOKEN - not set [not-set]",
        "  3. GIT_TOKEN - not set [not-set]",
        "  4. GITHUB_CLI_PAT - not set [not-set]",
        "  5. hosts.yml - no file [no-file]",
        "  6. gh - not installed [not-installed]",
        "  7. relay API - unavailable (CLOUD_API_URL not set) [not-configured]",
    ]


def test_everything_failed(container, httpserver):
    """With an API the list begins with it, and its own code and hint are in the first line."""
    httpserver.expect_request("/api/git/token").respond_with_json(
        {"error": "No app", "code": "NO_GITHUB_APP_CONNECTION", "hint": "connect GitHub first"},
        status=404,
    )
    container.hosts_yml("github.com: [")
    container.gh("echo 'not logged in' >&2; exit 1")
    url = httpserver.url_for("").rstrip("/")
    code, stdout, stderr = container.run(**api(url))

    assert (code, stdout) == (1, "")
    first, *rest = lines(stderr)
    assert "[NO_GITHUB_APP_CONNECTION]" in first
    assert "hint: connect GitHub first" in first
    assert rest == [
        "Fallback chain tried:",
        f"  1. relay API ({url}) - the relay API does not know this (HTTP 404): No app"
        " [NO_GITHUB_APP_CONNECTION]",
        "  2. GH_TOKEN - not set [not-set]",
        "  3. GITHUB_TOKEN - not set [not-set]",
        "  4. GIT_TOKEN - not set [not-set]",
        "  5. GITHUB_CLI_PAT - not set [not-set]",
        "  6. hosts.yml - cannot be read: ParserError [unreadable-file]",
        "  7. gh - no token: not logged in [no-token]",
    ]
    assert len(httpserver.log) == 1


def api(url: str) -> dict[str, str]:
    return {"CLOUD_API_URL": url, "WORKSPACE_ID": "ws/1", "WORKSPACE_TOKEN": "workspace-secret"}


def test_the_api_comes_before_the_environment(container, httpserver):
    """With all three variables set agent-relay's cloud serves, with its own fields."""
    body = {
        "token": "ghu_user",
        "userToken": "ghu_user",
        "installationToken": "ghs_installation",
        "expiresAt": "2099-01-01T00:00:00.000Z",
        "username": "x-access-token",
        "tokenType": "user",
    }
    httpserver.expect_request("/api/git/token").respond_with_json(body)
    found = container.run(GH_TOKEN="ghp_stale", **api(httpserver.url_for("/")))

    [(request, _)] = httpserver.log
    assert found == (
        0,
        "username=x-access-token\npassword=ghu_user\npassword_expiry_utc=4070908800\n\n",
        "",
    )
    assert request.args["workspaceId"] == "ws/1"
    assert request.headers["Authorization"] == "Bearer workspace-secret"


def test_the_environment_serves_when_the_api_is_down(container):
    """An outage falls back to the local token, without a word."""
    down = f"http://127.0.0.1:{closed_port()}"
    deadline = {"GIT_CREDENTIAL_RELAY_DEADLINE": "1"}

    assert container.run(GH_TOKEN="ghp_one", **api(down), **deadline) == served("ghp_one")


@pytest.mark.parametrize("debug", ["GIT_CREDENTIAL_DEBUG", "GH_CREDENTIAL_DEBUG"])
def test_debugging_shows_no_token(container, httpserver, debug):
    """agent-relay's debug mode printed the answer; ours tells the steps and no secret."""
    answer = {"token": "canary-token", "userToken": "canary-token"}
    httpserver.expect_request("/api/git/token").respond_with_handler(
        lambda _: Response(json.dumps(answer), 200)
    )
    code, stdout, stderr = container.run(**api(httpserver.url_for("/")), **{debug: "1"})

    assert (code, "password=canary-token\n" in stdout) == (0, True)
    assert "HTTP 200" in stderr
    assert "canary" not in stderr
    assert "workspace-secret" not in stderr
