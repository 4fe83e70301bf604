"""The real gh in socket mode: it has a placeholder, and each of its requests a fresh token."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from git_credential_relay.errors import DeniedError, UnavailableError
from tests.fakes.api_proxy import ScriptedWorkspace, failing, running_api_proxy
from tests.fakes.configs import make_config
from tests.fakes.gh import VERSIONS, real_gh
from tests.fakes.github import ENTERPRISE, GITHUB, PULL_REQUEST, REPOSITORY, STRANGER

PLACEHOLDER = "placeholder"
ENTERPRISE_HOSTS = f"""\
{ENTERPRISE}:
    user: octo
    oauth_token: {PLACEHOLDER}
    users:
        octo:
            oauth_token: {PLACEHOLDER}
"""


class SocketAgent:
    """gh as a sidecar's agent has it: a socket, and nothing that is worth anything."""

    def __init__(self, program: str, root: Path, socket: str) -> None:
        self.program = program
        self.root = root
        directory = root / "gh-config"
        directory.mkdir()
        (directory / "config.yml").write_text(f'version: "1"\nhttp_unix_socket: {socket}\n')
        self.hosts = directory / "hosts.yml"
        self.environ = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(root),
            "GH_CONFIG_DIR": str(directory),
            "GH_TOKEN": PLACEHOLDER,
            "GH_PROMPT_DISABLED": "1",
            "GH_NO_UPDATE_NOTIFIER": "1",
            "GH_TELEMETRY": "0",
            "NO_COLOR": "1",
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A running gh."""
        return subprocess.Popen(
            [self.program, *arguments],
            env=self.environ,
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def gh(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr."""
        with self.start(*arguments) as process:
            out, err = process.communicate(timeout=40)
        return process.returncode, out, err


@pytest.fixture
def workspace(github):
    """It has a token for github.com and one for the Enterprise server."""
    github.issue(GITHUB)
    github.issue(ENTERPRISE)
    config = make_config(
        HTTPS_PROXY=github.proxy_url,
        GIT_CREDENTIAL_RELAY_CA_FILE=github.ca_file,
        GIT_CREDENTIAL_RELAY_HOSTS=f"github={ENTERPRISE}",
    )
    return ScriptedWorkspace(config, lambda target, refused: github.tokens[target.forge.host])


@pytest.fixture(params=VERSIONS)
def agent(request, tmp_path, workspace):
    """An agent with that gh."""
    program = real_gh(request.param)
    with running_api_proxy(lambda connection: workspace) as proxy:
        yield SocketAgent(program, tmp_path, proxy.path)


def tokens_seen(github, host):
    """What the API of `host` got for tokens."""
    return {request.token for request in github.seen(host)}


def test_who_it_is(agent, github):
    """`gh api user` and `gh auth status` are about the token's owner, whom gh never sees."""
    code, out, err = agent.gh("api", "user")
    assert (code, err) == (0, "")
    assert json.loads(out)["login"] == "octo"

    code, out, err = agent.gh("auth", "status")
    assert code == 0
    assert "Logged in to github.com" in out + err
    assert agent.gh("auth", "token")[1].strip() == PLACEHOLDER
    assert tokens_seen(github, GITHUB) == {f"token {github.tokens[GITHUB]}"}


def test_pull_requests(agent, github, workspace):
    """`pr list` and `pr create` work, and ask for their repository's token."""
    code, out, err = agent.gh("pr", "list", "-R", REPOSITORY)
    assert (code, err) == (0, "")
    assert "a pull request" in out
    assert {path for path, _ in workspace.asked} == {REPOSITORY}

    flags = ("-R", REPOSITORY, "-t", "t", "-b", "b", "--base", "main", "--head", "feature")
    code, out, err = agent.gh("pr", "create", *flags)
    assert code == 0, err
    assert PULL_REQUEST["url"] in out
    assert tokens_seen(github, GITHUB) == {f"token {github.tokens[GITHUB]}"}


def test_an_enterprise_server(agent, github):
    """On the same socket, with the token of that host and no other's."""
    agent.hosts.write_text(ENTERPRISE_HOSTS)
    for arguments in (
        ("api", "--hostname", ENTERPRISE, "user"),
        ("pr", "list", "-R", f"{ENTERPRISE}/{REPOSITORY}"),
        ("auth", "status", "--hostname", ENTERPRISE),
    ):
        code, _, err = agent.gh(*arguments)
        assert code == 0, err

    assert tokens_seen(github, ENTERPRISE) == {f"token {github.tokens[ENTERPRISE]}"}
    assert github.seen(GITHUB) == []


def test_the_token_changes_between_two_requests_of_one_process(agent, github, workspace):
    """The forge takes the old one no more, and gh does not notice."""
    used = []

    def give(target, refused):
        used.append(github.issue(GITHUB))
        return used[-1]

    workspace.give = give
    code, out, err = agent.gh("auth", "status")

    assert code == 0, err
    assert "Logged in to github.com" in out + err
    assert len(used) >= 2
    assert [request.token for request in github.seen(GITHUB)] == [f"token {t}" for t in used]


def test_a_token_that_was_revoked(agent, github, workspace):
    """gh gets its answer with another one, and does not hear of the 401."""
    old = github.tokens[GITHUB]
    github.issue(GITHUB)
    workspace.give = lambda target, refused: github.tokens[GITHUB] if refused else old

    assert agent.gh("api", "user")[0] == 0
    assert [request.token for request in github.seen(GITHUB)] == [
        f"token {old}",
        f"token {github.tokens[GITHUB]}",
    ]


@pytest.mark.parametrize(
    "arguments",
    [("api", f"https://{STRANGER}/x"), ("api", "--hostname", STRANGER, "user")],
    ids=["url", "hostname"],
)
def test_a_foreign_host_gets_no_request(agent, github, arguments):
    """Whoever names it, and whatever token gh would send there."""
    agent.environ["GH_ENTERPRISE_TOKEN"] = PLACEHOLDER
    code, _, err = agent.gh(*arguments)

    assert code == 1
    assert "[foreign-url]" in err
    assert "HTTP 403" in err
    assert github.requests == []


def test_a_redirect_elsewhere_gets_no_token(agent, github):
    """gh follows it over the socket, and what it leads to hears nothing of who asks."""
    agent.gh("api", "redirect")

    assert [request.token for request in github.seen(STRANGER)] == [None]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (DeniedError("not this repository", hint="ask for it"), 403),
        (UnavailableError("the relay API is down"), 503),
    ],
)
def test_why_there_is_no_token(agent, github, workspace, error, status):
    """gh prints the message with code and hint, for a query too, and no advice to log in."""
    workspace.give = failing(error)
    for arguments in (("api", "user"), ("pr", "list", "-R", REPOSITORY)):
        code, _, err = agent.gh(*arguments)
        assert code != 0
        assert f"{error.message} [{error.code}]" in err
        assert f"HTTP {status}" in err
        assert "gh auth login" not in err
    assert github.requests == []


def test_the_process_holds_no_token(agent, github):
    """Neither its environment nor its memory, while it has a request under way."""
    token = github.tokens[GITHUB].encode()
    process = agent.start("api", "slow")
    try:
        github.wait_for("slow")
        environ = Path(f"/proc/{process.pid}/environ").read_bytes()
        arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        held = memory_of(process.pid)
    finally:
        github.gate.set()
        out, err = process.communicate(timeout=40)

    assert process.returncode == 0, err
    # Where its own token is, ours would be.
    assert all(PLACEHOLDER.encode() in data for data in (environ, held))
    assert not any(token in data for data in (environ, arguments, held, out.encode()))
    assert [request.token for request in github.requests] == [f"token {token.decode()}"]


def memory_of(pid: int) -> bytes:
    """What a process, stopped meanwhile, has in its writable memory."""
    os.kill(pid, signal.SIGSTOP)
    data = []
    try:
        lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            for line in lines:
                place, mode = line.split()[:2]
                start, end = (int(number, 16) for number in place.split("-"))
                if mode.startswith("rw") and end - start < 64 * 1024 * 1024:
                    memory.seek(start)
                    try:
                        data.append(memory.read(end - start))
                    except OSError:
                        continue  # not backed by anything
    finally:
        os.kill(pid, signal.SIGCONT)
    return b"".join(data)
