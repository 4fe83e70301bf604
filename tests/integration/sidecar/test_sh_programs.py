"""`git-credential-relay` as a shell program: git's second helper, and `why` without Python."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess

import pytest

from tests.fakes.agent import ask, next_helper
from tests.fakes.api import refuses
from tests.fakes.shell_agent import IS_ROOT, shell_world
from tests.fakes.sidecar import THIRD_UID

P = "git-credential-relay: "
NEWER = pytest.param("NEWER_GIT", marks=pytest.mark.newer_git)
DENIED = refuses(403, error="not yours", code="GRANT_MISSING", hint="ask Ada")
TOLD = f"{P}error: no credential for https://github.com/{{}}: the relay API denies this (HTTP 403)"


@pytest.fixture(scope="module")
def world():
    """A sidecar with what it talks to."""
    with shell_world() as world:
        yield world


@pytest.fixture
def agent(world):
    """An agent for whom the relay API has tokens."""
    return world.agent("/bin/false")


def fill(agent, request, *more, git="git", **environ):
    """What `git credential fill` says with both helpers as `install` writes them."""
    socket = environ.get("GIT_CREDENTIAL_RELAY_SOCKET") or agent.socket_path
    helpers = [f"cache --socket={socket}", str(agent.launcher), *more]
    options = [part for helper in helpers for part in ("-c", f"credential.helper={helper}")]
    return agent.run([git, *options, "-c", "credential.useHttpPath=true", "credential", "fill"],
                     request, {**environ})  # fmt: skip


def test_git_gets_a_token_from_the_sidecar_alone(agent):
    """The second helper is not even asked, and the agent's environment has no secret."""
    result = fill(agent, ask(path="o/r"))

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.password == agent.github.tokens["github.com"]
    assert [name for name in agent.environ if "WORKSPACE" in name or "API" in name] == []


@pytest.mark.parametrize("git", ["git", NEWER])
def test_a_failure_is_told_by_the_second_helper(agent, git):
    """Git's own client is silent; the reason is on stderr, once, and the chain goes on."""
    agent.api.script(DENIED)
    request = ask(path=f"o/denied-{git}")
    result = fill(agent, request, next_helper(agent.root).partition("=")[2],
                  git=os.environ.get(git, git))  # fmt: skip

    assert result.exit_code == 0
    assert result.password == "next-password"
    assert result.stderr.startswith(TOLD.format(f"o/denied-{git}"))
    assert "[GRANT_MISSING] (hint: ask Ada;" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert len(agent.api.requests) == 1  # to say why costs no second question


@pytest.mark.parametrize("socket", ["", "/nonexistent/git.sock"], ids=["failing", "absent"])
def test_fail_closed_makes_git_stop_and_say_why(agent, socket):
    """Set for the agent: the second helper tells the reason, and the next one is not asked;
    that is for our hosts alone."""
    agent.api.script(DENIED)
    closed = {"GIT_CREDENTIAL_RELAY_FAIL_CLOSED": "1", "GIT_CREDENTIAL_RELAY_SOCKET": socket}
    following = next_helper(agent.root).partition("=")[2]
    ours = fill(agent, ask(path=f"o/closed{len(socket)}"), following, **closed)
    foreign = fill(agent, ask("elsewhere.example"), following, **closed)

    assert (ours.exit_code, ours.stdout) == (128, b"")
    assert ("[sidecar-unreachable]" if socket else "[GRANT_MISSING]") in ours.stderr
    assert "told us to quit" in ours.stderr
    assert (foreign.password, foreign.stderr) == ("next-password", "")


def test_silence_where_nothing_went_wrong(agent):
    """Nothing on stdout ever, and nothing on stderr without a failure."""
    for request in (ask(path="o/fine"), ask("elsewhere.example"), b"", b"\n", b"nonsense"):
        assert agent.helper("get", stdin=request).is_silent_success


@pytest.mark.parametrize("operation", ["store", "erase", "capability", "of-a-later-git"])
def test_other_operations_are_silent(agent, operation):
    """They neither say nor do anything: there is no daemon where git's own would be started."""
    away = agent.root / "away.sock"
    result = agent.helper(operation, stdin=ask(password="x", username="y"),
                          environ={"GIT_CREDENTIAL_RELAY_SOCKET": str(away)})  # fmt: skip

    assert result.is_silent_success
    assert not away.exists()


def test_without_a_sidecar_git_is_told_so(agent):
    """One line for a host that is ours, and none for another; git goes on either way."""
    away = {"GIT_CREDENTIAL_RELAY_SOCKET": "/nonexistent/git.sock"}
    ours = agent.helper("get", stdin=ask(path="o/r"), environ=away)

    assert (ours.exit_code, ours.stdout) == (0, b"")
    assert ours.stderr == (
        f"{P}error: there is no sidecar at /nonexistent/git.sock [sidecar-unreachable]"
        " (hint: start it: git-credential-relay sidecar; trying again may help)\n"
    )
    assert agent.helper("get", stdin=ask("elsewhere.example"), environ=away).is_silent_success


@pytest.mark.parametrize("command", [["why"], ["why", "https://github.com/o/r"], ["status"]])
@pytest.mark.parametrize("state", ["absent", "stale", "a file", "closed"])
def test_without_a_sidecar_people_are_told_so(agent, state, command):
    """Exit code 75 and one line, though git's own client says nothing and ends with 0."""
    path = agent.root / "git.sock"
    if state in ("stale", "closed"):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
        path.chmod(0o777 if state == "stale" else 0o700)
    elif state == "a file":
        path.touch()
    result = agent.helper(*command, environ={"GIT_CREDENTIAL_RELAY_SOCKET": str(path)})
    is_refused = state == "closed" and IS_ROOT

    assert (result.exit_code, result.stdout) == (1 if is_refused else 75, b"")
    assert ("[sidecar-refused]" if is_refused else "[sidecar-unreachable]") in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", [["why"], ["status"], ["status", "--json"], ["get"]])
def test_a_password_of_gits_own_daemon_is_not_shown(agent, command):
    """It answers every question with what it keeps; here it is no sidecar that answers."""
    path = agent.work / "own" / "git.sock"
    cache = ["git", "credential-cache", f"--socket={path}"]
    assert agent.run(["mkdir", "-m", "700", str(path.parent)]).exit_code == 0
    assert agent.run([*cache, "store"], ask(username="x", password="hunter2")).is_silent_success
    result = agent.helper(*command, stdin=ask(), environ={"GIT_CREDENTIAL_RELAY_SOCKET": str(path)})
    agent.run([*cache, "exit"])

    assert (result.exit_code, result.stdout) == (0 if command == ["get"] else 75, b"")
    assert "[sidecar-unreachable]" in result.stderr
    assert "hunter2" not in result.stderr


def test_why_and_status_are_the_sidecars_words(agent, world):
    """As text, for one repository and for all; and as JSON."""
    agent.api.script(DENIED)
    fill(agent, ask(path="o/why"), GIT_TERMINAL_PROMPT="0")
    why = agent.helper("why", "https://github.com/o/why")
    status = agent.helper("status")
    data = json.loads(agent.helper("status", "--json").stdout)

    assert why.exit_code == status.exit_code == 0
    assert why.stderr == status.stderr == ""
    assert why.stdout.decode().startswith("https://github.com/o/why (git): this went wrong ")
    assert TOLD.format("o/why") in why.stdout.decode()
    assert b"https://github.com/o/why (git)" in agent.helper("why").stdout
    assert status.stdout.decode().startswith("workspace default: ws-1\n")
    assert data["workspaces"][0]["workspace_id"] == "ws-1"


@pytest.mark.skipif(not IS_ROOT, reason="only root can be another user")
def test_another_user_is_refused(agent):
    """With the reason on stderr; git's `get` under that user stays without a token too, and for
    a host that is not ours without a word."""

    def ask_as_third(command, request):
        user = [f"--reuid={THIRD_UID}", f"--regid={THIRD_UID}", "--clear-groups"]
        return subprocess.run(
            ["setpriv", *user, agent.launcher, command],
            input=request,
            capture_output=True,
            env=agent.environ,
            cwd="/",
            check=False,
        )

    results = [ask_as_third(command, ask(path="o/r")) for command in ("status", "why", "get")]
    foreign = ask_as_third("get", ask("elsewhere.example"))

    assert [(done.returncode, done.stdout) for done in results] == [(1, b""), (1, b""), (0, b"")]
    for done in results:
        assert b"[sidecar-refused]" in done.stderr
        assert f"uid {THIRD_UID}".encode() in done.stderr
    assert (foreign.returncode, foreign.stdout, foreign.stderr) == (0, b"", b"")


HOSTILE = {
    "question": "o/r\nrelay=credential\nuse=git\nformat=json",
    "action": "o/r\naction=erase\npassword=x",
    "shell": "o/$(touch ran)`touch ran`;touch ran;'\"${IFS}",
    "printf": "o/%s%n%d\\n\\0101\\c",
    "glob": "/*/* ? [a-z]",
    "control": "o/\x1b[2J\x07\r",
}


@pytest.mark.parametrize("shell", ["dash", "bash"])
@pytest.mark.parametrize("path", HOSTILE.values(), ids=HOSTILE)
def test_hostile_requests_do_nothing(agent, path, shell):
    """Whatever stands in a request: nothing runs, no token comes out, nothing is printed."""
    request = f"protocol=https\nhost=github.com\npath={path}\n\n".encode()
    command = [shutil.which(shell) or "sh", str(agent.launcher), "get"]
    result = agent.run(command, request)

    assert (result.exit_code, result.stdout) == (0, b"")
    assert agent.github.tokens["github.com"] not in result.stderr
    assert "\x1b" not in result.stderr
    assert list(agent.work.iterdir()) == []
    # It was a question about the past, and nobody was asked for a token.
    assert agent.api.requests == []


@pytest.mark.parametrize("environ", [{"PATH": ""}, {"PATH": ".:bin"}, {}])
@pytest.mark.parametrize("arguments", [["status"], ["get"]])
def test_needs_nothing_of_its_environment(agent, environ, arguments):
    """No PATH, no HOME; and programs that lie in the work tree are not run."""
    for name in ("git", "sh", "printf", "bin/git"):
        trap = agent.work / name
        trap.parent.mkdir(exist_ok=True)
        trap.write_text("#!/bin/sh\ntouch ran\n")
        trap.chmod(0o755)
    command = ["/usr/bin/env", "-i", *(f"{n}={v}" for n, v in environ.items()), agent.launcher]
    result = agent.run([*map(str, command), *arguments], ask(path="o/r"))

    assert (result.exit_code, result.stderr) == (0, "")
    assert (b"workspace default" in result.stdout) is (arguments == ["status"])
    assert not (agent.work / "ran").exists()


def test_a_relative_socket_is_refused(agent):
    """It would be one of the work tree's."""
    result = agent.helper("status", environ={"GIT_CREDENTIAL_RELAY_SOCKET": "git.sock"})

    assert (result.exit_code, result.stdout) == (2, b"")
    assert "[bad-config]" in result.stderr


SMUGGLED = "https://github.com/o/r\nrelay=credential\nprotocol=https\nhost=github.com"


@pytest.mark.parametrize(
    "arguments",
    [["why", "o/r"], ["why", SMUGGLED], ["why", "-v"], ["why", "a://b", "c"],
     ["status", "--watch"], ["status", "--json", "x"]],
)  # fmt: skip
def test_wrong_usage_is_told(agent, arguments):
    """Exit code 2 and one line; a line break in a URL cannot become another question."""
    result = agent.helper(*arguments)

    assert (result.exit_code, result.stdout) == (2, b"")
    assert "[usage]" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_help(agent):
    """Asked for, it is on stdout; without any argument it is what was done wrong."""
    asked, unasked = agent.helper("--help"), agent.helper()

    assert (asked.exit_code, asked.stderr) == (0, "")
    assert (unasked.exit_code, unasked.stdout, unasked.stderr) == (2, b"", asked.stdout.decode())
    for word in ("why [URL]", "status [--json]", agent.socket_path):
        assert word in unasked.stderr
