"""`token` against a relay API."""

import base64
import hashlib
import json
import shlex
import subprocess

import pytest

from git_credential_relay.main import main
from tests.fakes.program import run_program

P = "git-credential-relay: "
EXPIRES_AT = 4070908800  # 2099-01-01T00:00:00Z
PATH = "/api/git/token"


def issued(token: str = "ghs_token", **more: object) -> dict[str, object]:
    """The API's answer with a token."""
    fields = {"token": token, "username": "x-access-token", "expiresAt": "2099-01-01T00:00:00Z"}
    return fields | more


def sha256(token: str) -> str:
    """How a token appears outside."""
    return base64.b64encode(hashlib.sha256(token.encode()).digest()).decode()


def test_raw_is_the_token_alone(api):
    """The default format is the token and a line end, so that $(…) can use it."""
    api.expect_oneshot_request(PATH).respond_with_json(issued())
    done = run_program("token")

    assert (done.returncode, done.stdout, done.stderr) == (0, "ghs_token\n", "")


def test_json_says_everything(api, capsys):
    """The JSON format has what the token is for, whose it is, until when and its hash."""
    api.expect_oneshot_request(PATH).respond_with_json(issued())
    exit_code = main(["token", "--repo", "octo/spoon.git", "--use", "git", "--format", "json"])
    out, err = capsys.readouterr()

    assert (exit_code, err) == (0, "")
    assert json.loads(out) == {
        "host": "github.com",
        "repository": "octo/spoon",
        "use": "git",
        "username": "x-access-token",
        "token": "ghs_token",
        "expires_at": EXPIRES_AT,
        "token_sha256": sha256("ghs_token"),
        "source": "relay API",
    }


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param([], {"host": "github.com", "use": "api"}, id="nothing said"),
        pytest.param(
            ["--repo", "octo/spoon", "--use", "git"],
            {"host": "github.com", "path": "octo/spoon", "use": "git"},
            id="repository and use",
        ),
        pytest.param(
            ["--host", "GitHub.com:443"], {"host": "github.com", "use": "api"}, id="spelling"
        ),
        pytest.param(
            ["--host", "https://github.com/"], {"host": "github.com", "use": "api"}, id="URL"
        ),
        pytest.param(
            ["--host", "git.example:8443", "--repo", "a/b/c"],
            {"host": "git.example:8443", "path": "a/b/c", "use": "api"},
            id="GitLab below a path",
        ),
        pytest.param(
            ["--host", "https://git.example:8443/gitlab", "--repo", "a/b/c"],
            {"host": "git.example:8443", "path": "a/b/c", "use": "api"},
            id="GitLab by its URL",
        ),
        pytest.param(
            ["--host", "127.0.0.1:3000"], {"host": "127.0.0.1:3000", "use": "api"}, id="http"
        ),
    ],
)
def test_api_is_asked_for_what_was_said(api, capsys, monkeypatch, arguments, expected):
    """Host, repository and use reach the API as the token is wanted for them."""
    monkeypatch.setenv("GITLAB_INSTANCE_URL", "https://git.example:8443/gitlab")
    monkeypatch.setenv("FORGE_URL", "http://127.0.0.1:3000")
    api.expect_oneshot_request(
        PATH, headers={"Authorization": "Bearer workspace-secret"}
    ).respond_with_json(issued(host=expected["host"]))
    exit_code = main(["token", *arguments])
    ((request, _),) = api.log

    assert (exit_code, *capsys.readouterr()) == (0, "ghs_token\n", "")
    assert request.args.to_dict() == {"workspaceId": "ws-1", "minLifetime": "600"} | expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (
            "github.com",
            {"GH_TOKEN": "t'ok$en", "GITHUB_TOKEN": "t'ok$en", "GH_HOST": "github.com"},
        ),
        (
            "git.example:8443",
            {
                "GITLAB_TOKEN": "t'ok$en",
                "GITLAB_HOST": "git.example:8443",
                "GLAB_IS_OAUTH2": "true",
            },
        ),
        (
            "code.example",
            {"FORGE_TOKEN": "t'ok$en", "FORGE_URL": "https://code.example/forge"},
        ),
    ],
)
def test_env_is_what_a_shell_can_read(api, monkeypatch, capsys, host, expected):
    """The env format exports the variables that the tool of that forge reads, quoted."""
    monkeypatch.setenv("GITLAB_INSTANCE_URL", "https://git.example:8443")
    monkeypatch.setenv("FORGE_URL", "https://code.example/forge")
    api.expect_oneshot_request(PATH).respond_with_json(issued("t'ok$en", host=host, username="bot"))
    exit_code = main(["token", "--host", host, "--format", "env"])
    script = capsys.readouterr().out
    names = [shlex.split(line)[1].partition("=")[0] for line in script.splitlines()]
    shell = subprocess.run(
        ["sh", "-c", script + "".join(f'printf "%s\\n" "${name}"\n' for name in names)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert exit_code == 0
    assert dict(zip(names, shell.stdout.splitlines(), strict=True)) == expected


def test_env_unsets_what_would_take_the_token_elsewhere(api, monkeypatch, capsys):
    """What leads a tool to another host is taken out of the shell; what does not stays."""
    monkeypatch.setenv("GH_HOST", "tenant.ghe.com")
    monkeypatch.setenv("GITHUB_API_URL", "https://ghe.example/api/v3")
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://github.com")
    api.expect_request(PATH).respond_with_json(issued(host="github.com"))
    assert main(["token", "--format", "env"]) == 0
    script = capsys.readouterr().out + 'echo "$GH_HOST ${GITHUB_API_URL-unset} $GITHUB_SERVER_URL"'
    shell = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)

    assert shell.stdout == "github.com unset https://github.com\n"


def test_env_names_no_variable_that_serves_every_host(api, monkeypatch, capsys):
    """For a GitHub Enterprise host there is no variable that only it would get."""
    monkeypatch.setenv("GH_HOST", "ghe.example")
    api.expect_request(PATH).respond_with_json(issued(host="ghe.example"))
    exit_code = main(["token", "--host", "ghe.example", "--format", "env"])
    out, err = capsys.readouterr()

    assert (exit_code, out) == (2, "")
    assert err.startswith(f"{P}error: no variable binds a token to ghe.example [usage]")
    assert "ghs_token" not in err


@pytest.mark.parametrize(
    ("arguments", "exit_code", "expected"),
    [
        pytest.param(
            ["--host", "evil.example"],
            2,
            "error: evil.example is not a configured host [not-ours] (hint: hosts are"
            " github.com, gitlab.com; add one by GIT_CREDENTIAL_RELAY_HOSTS;"
            " trying again before that will not help)",
            id="another host",
        ),
        pytest.param(
            ["--host", "http://github.com"],
            2,
            "error: github.com is not a configured host [not-ours] (hint: hosts are"
            " github.com, gitlab.com; add one by GIT_CREDENTIAL_RELAY_HOSTS;"
            " trying again before that will not help)",
            id="http",
        ),
        pytest.param(
            ["--host", "git hub"],
            2,
            "error: --host: not a host name [usage] (trying again will not help)",
            id="no host",
        ),
        pytest.param(
            ["--repo", "o/../victim/r"],
            2,
            "error: --repo: the path is not owner/name [usage] (hint: give owner/name, and the"
            " host by --host; trying again before that will not help)",
            id="dot-dot",
        ),
        pytest.param(
            ["--repo", "spoon"],
            2,
            "error: --repo: the path is not owner/name [usage] (hint: give owner/name, and the"
            " host by --host; trying again before that will not help)",
            id="name alone",
        ),
    ],
)
def test_what_is_not_ours_is_said_without_asking(api, capsys, arguments, exit_code, expected):
    """A person who asks for another host or no repository is told so; the API is not asked."""
    found = main(["token", *arguments])

    assert (found, *capsys.readouterr()) == (exit_code, "", f"{P}{expected}\n")
    assert api.log == []


def test_refusal_of_the_api_is_told_in_its_words(api, capsys):
    """A refusal ends with the exit code for permissions, and has the API's code and hint."""
    api.expect_oneshot_request(PATH).respond_with_json(
        {"error": "not yours", "code": "GRANT_MISSING", "hint": "ask Ada"}, status=403
    )
    exit_code = main(["token", "--repo", "octo/spoon"])
    out, err = capsys.readouterr()

    assert (exit_code, out) == (4, "")
    assert err.splitlines()[0] == (
        f"{P}error: no credential for https://github.com/octo/spoon: the relay API denies this"
        " (HTTP 403): not yours [GRANT_MISSING]"
        " (hint: ask Ada; trying again before that will not help)"
    )
    assert len(api.log) == 1


def test_nothing_configured_is_told():
    """Without any setting the chain that was tried is shown, and nothing on stdout."""
    done = run_program("token", PATH="/nonexistent")

    assert (done.returncode, done.stdout) == (1, "")
    assert f"{P}Fallback chain tried:\n" in done.stderr
    assert "unavailable (CLOUD_API_URL not set) [not-configured]" in done.stderr
    assert "Traceback" not in done.stderr


def test_trace_shows_no_secret(api):
    """With -v the steps are told on stderr; tokens appear there as their hash."""
    api.expect_oneshot_request(PATH).respond_with_json(issued())
    done = run_program("-v", "token")

    assert (done.returncode, done.stdout) == (0, "ghs_token\n")
    assert f"{P}trace: api " in done.stderr
    assert "HTTP 200" in done.stderr
    assert "ghs_token" not in done.stderr
    assert "workspace-secret" not in done.stderr
