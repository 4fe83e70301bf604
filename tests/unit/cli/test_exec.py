"""`exec`: the command's environment, and that it is the command which runs."""

import json
import os
import pwd
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from git_credential_relay.secret import Secret, token_sha256
from tests.fakes.program import EXECUTABLE, run_program

P = "git-credential-relay: "
PATH = "/api/git/token"
MARK = "GIT_CREDENTIAL_RELAY_TOKEN_SHA256"
SHOW = [sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))"]


def issued(token: str = "ghs_token", **more: object) -> dict[str, object]:
    """The API's answer with a token."""
    fields = {"token": token, "username": "x-access-token", "expiresAt": "2099-01-01T00:00:00Z"}
    return fields | more


def environment_of(*arguments: str, **environ: str) -> dict[str, str]:
    """The environment that a command run by `exec` sees."""
    done = run_program("exec", *arguments, "--", *SHOW, **environ)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


@pytest.fixture
def bin_dir(tmp_path: Path) -> Path:
    """A directory for programs."""
    directory = tmp_path / "bin"
    directory.mkdir()
    return directory


def write_program(path: Path, text: str) -> None:
    """An executable script."""
    path.write_text(text)
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (
            "github.com",
            {"GH_TOKEN": "the-token", "GITHUB_TOKEN": "the-token", "GH_HOST": "github.com"},
        ),
        (
            "gitlab.com",
            {"GITLAB_TOKEN": "the-token", "GITLAB_HOST": "gitlab.com", "GLAB_IS_OAUTH2": "true"},
        ),
        (
            "git.example:8443",
            {
                "GITLAB_TOKEN": "the-token",
                "GITLAB_HOST": "git.example:8443",
                "GITLAB_SUBFOLDER": "gitlab",
                "GLAB_IS_OAUTH2": "true",
            },
        ),
        (
            "code.example",
            {"FORGE_TOKEN": "the-token", "FORGE_URL": "https://code.example/forge"},
        ),
    ],
)
def test_command_has_the_variables_of_its_forge(api, host, expected):
    """Exactly the variables for that kind of forge are added, with the hash that marks them."""
    settings = {
        "GITLAB_INSTANCE_URL": "https://git.example:8443/gitlab",
        "FORGE_URL": "https://code.example/forge",
    }
    api.expect_request(PATH).respond_with_json(issued("the-token", host=host, username="bot"))
    found = environment_of("--host", host, **settings)
    before = {**os.environ, **settings, "LC_CTYPE": found.get("LC_CTYPE", "")}
    added = {name: found[name] for name in found if found[name] != before.get(name)}

    expected = {k: v for k, v in expected.items() if settings.get(k) != v}
    assert added == {**expected, MARK: token_sha256(Secret("the-token"))}


def test_glab_runs_through_it(api, tmp_path, bin_dir):
    """`exec -- glab mr list` in a GitLab work tree: glab sees its token, host and arguments.

    A script stands in for glab; what it is given is what the real one reads.
    """
    write_program(
        bin_dir / "glab",
        '#!/bin/sh\necho "$* $GITLAB_TOKEN $GITLAB_HOST ${GITLAB_API_HOST-unset}"\n',
    )
    work = tmp_path / "work"
    subprocess.run(["git", "init", "--quiet", work], check=True)
    url = "git@gitlab.com:group/sub/app.git"
    subprocess.run(["git", "-C", work, "remote", "add", "origin", url], check=True)
    api.expect_request(PATH).respond_with_json(issued("glpat-x", host="gitlab.com"))
    done = subprocess.run(
        [EXECUTABLE, "exec", "--", "glab", "mr", "list"],
        cwd=work,
        env={**os.environ, "PATH": f"{bin_dir}:{os.environ['PATH']}", "GITLAB_API_HOST": "evil"},
        capture_output=True,
        text=True,
        check=True,
    )
    ((request, _),) = api.log

    assert done.stdout == "mr list glpat-x gitlab.com unset\n"
    assert (request.args["host"], request.args["path"]) == ("gitlab.com", "group/sub/app")
    assert request.args["use"] == "api"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], {"host": "github.com", "path": "octo/here", "use": "api"}),
        (["--use", "git"], {"host": "github.com", "path": "octo/here", "use": "git"}),
        (["--repo", "octo/x"], {"host": "github.com", "path": "octo/x", "use": "api"}),
        (["--host", "gitlab.com"], {"host": "gitlab.com", "path": "group/app", "use": "api"}),
        (["--host", "code.example"], {"host": "code.example", "use": "api"}),
    ],
)
def test_what_is_not_said_comes_from_the_remotes(api, tmp_path, arguments, expected):
    """Host and repository are those of the first remote at one of our hosts, unless given."""
    work = tmp_path / "work"
    subprocess.run(["git", "init", "--quiet", work], check=True)
    for name, url in {
        "aaa": "https://elsewhere.example/a/b",
        "lab": "https://gitlab.com/group/app.git",
        "origin": "https://github.com/octo/here.git",
    }.items():
        subprocess.run(["git", "-C", work, "remote", "add", name, url], check=True)
    api.expect_request(PATH).respond_with_json(issued(host=expected["host"], username="bot"))
    subprocess.run(
        [EXECUTABLE, "exec", *arguments, "--", "true"],
        cwd=work,
        env={**os.environ, "FORGE_URL": "https://code.example"},
        check=True,
    )
    ((request, _),) = api.log

    assert request.args.to_dict() == {"workspaceId": "ws-1", "minLifetime": "600"} | expected


def test_outside_of_a_work_tree_it_is_github(api, tmp_path):
    """Without a remote and without options the token is one for github.com."""
    api.expect_request(PATH).respond_with_json(issued())
    subprocess.run([EXECUTABLE, "exec", "true"], cwd=tmp_path, check=True)
    ((request, _),) = api.log

    assert request.args["host"] == "github.com"
    assert "path" not in request.args


def test_variables_that_carry_a_token_away_are_removed(api):
    """What would give the token, or another one, to any host does not reach the command."""
    api.expect_request(PATH).respond_with_json(issued())
    found = environment_of(
        "--host",
        "github.com",
        CODESPACES="true",
        GH_ENTERPRISE_TOKEN="x",
        GITHUB_ENTERPRISE_TOKEN="x",
        GITHUB_TOKEN="stale",
        GITLAB_API_HOST="kept",
        GITHUB_API_URL="https://ghe.example/api/v3",
        GITHUB_SERVER_URL="https://github.com",
        GH_HOST="tenant.ghe.com",
        GH_REPO="tenant.ghe.com/o/r",
    )

    assert not {"CODESPACES", "GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN"} & found.keys()
    assert found["GITHUB_TOKEN"] == "ghs_token"
    assert found["GITLAB_API_HOST"] == "kept"
    assert not {"GITHUB_API_URL", "GH_REPO"} & found.keys()
    assert found["GITHUB_SERVER_URL"] == "https://github.com"
    assert found["GH_HOST"] == "github.com"


def test_without_a_home_the_command_is_given_the_users(api):
    """The command never looks for the user's settings in the directory it stands in."""
    api.expect_request(PATH).respond_with_json(issued())
    found = environment_of(HOME="", XDG_CONFIG_HOME="config", GH_CONFIG_DIR="./gh")

    assert found["HOME"] == pwd.getpwuid(os.getuid()).pw_dir
    assert not {"XDG_CONFIG_HOME", "GH_CONFIG_DIR"} & found.keys()


def test_a_local_token_is_not_marked_as_ours(tmp_path):
    """A token from the user's own variables stays the user's, so the command's git finds it."""
    found = environment_of("--host", "github.com", GIT_TOKEN="mine")

    assert (found["GH_TOKEN"], found["GITHUB_TOKEN"]) == ("mine", "mine")
    assert MARK not in found


def test_token_of_an_outer_call_is_no_source(api):
    """A token that `exec` put there itself is not offered again when the API is in trouble."""
    api.expect_request(PATH).respond_with_json({"error": "no"}, status=403)
    done = run_program(
        "exec",
        "--host",
        "github.com",
        "true",
        GH_TOKEN="ours",
        GIT_CREDENTIAL_RELAY_FALLBACK="GH_TOKEN",
        **{MARK: token_sha256(Secret("ours"))},
    )

    assert done.returncode == 4
    assert "GH_TOKEN - not set, but for a token of ours [not-set]" in done.stderr


def test_enterprise_host_is_refused_before_anybody_is_asked(api):
    """No variable binds a token to a GitHub Enterprise host; that is said, nothing is run."""
    done = run_program("exec", "--host", "ghe.example", "echo", "ran", GH_HOST="ghe.example")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{P}error: no variable binds a token to ghe.example [usage]")
    assert api.log == []


def test_without_a_token_nothing_is_run(api):
    """When no token is to be had the command does not run; the exit code says why."""
    api.expect_request(PATH).respond_with_json({"error": "no", "code": "NO_GRANT"}, status=403)
    done = run_program("exec", "echo", "ran")

    assert (done.returncode, done.stdout) == (4, "")
    assert "[NO_GRANT]" in done.stderr


@pytest.mark.parametrize(
    ("command", "exit_code", "code"),
    [
        (["no-such-command"], 127, "command-not-found"),
        (["/no/such/command"], 127, "command-not-found"),
        (["/etc/hostname"], 126, "not-executable"),
        (["/"], 126, "not-executable"),
    ],
)
def test_command_that_cannot_be_run(api, command, exit_code, code):
    """A missing command is 127 and one that cannot be run 126, as a shell has it."""
    api.expect_request(PATH).respond_with_json(issued())
    done = run_program("exec", "--", *command)

    assert (done.returncode, done.stdout) == (exit_code, "")
    assert len(done.stderr.splitlines()) == 1
    assert f"[{code}]" in done.stderr
    assert "ghs_token" not in done.stderr


def test_exit_code_stdin_and_arguments_are_those_of_the_command(api):
    """`exec` becomes the command: its exit code, its streams, its arguments as they are."""
    api.expect_request(PATH).respond_with_json(issued())
    script = 'cat; printf "%s|" "$@"; echo err >&2; exit 7'
    done = run_program("exec", "--", "sh", "-c", script, "sh", "--host", "a b", "--", stdin="in|")

    assert (done.returncode, done.stdout, done.stderr) == (7, "in|--host|a b|--|", "err\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGPIPE])
def test_signals_are_those_of_the_command(api, number):
    """A signal that ends the command ends `exec` in the same way; none is ignored."""
    api.expect_request(PATH).respond_with_json(issued())
    command = [str(EXECUTABLE), "exec", "sh", "-c", "echo ready; exec sleep 30"]

    def take_signals() -> None:
        # A suite that somebody runs in the background was started with SIGINT ignored.
        signal.signal(number, signal.SIG_DFL)

    with subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=take_signals) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        process.wait(20)

    assert process.returncode == -number


def test_token_is_in_no_argument(api):
    """The token is in the command's environment and in nobody's arguments."""
    token = f"tok-{os.urandom(8).hex()}"  # in no argument of another test's either
    api.expect_request(PATH).respond_with_json(issued(token))
    done = run_program("exec", "sh", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '")

    assert "cat /proc/" in done.stdout
    assert token not in done.stdout


def test_a_command_is_needed():
    """Without a command that is said, with the exit code of wrong usage."""
    done = run_program("exec")

    assert done.returncode == 2
    assert "[usage]" in done.stderr
