"""The stand-in for gh under real gh, Debian's and a current one, and who gets which token."""

from __future__ import annotations

import os
import pty
import pwd
import select
import signal
import subprocess
import sys
import time

import pytest

from git_credential_relay.secret import Secret, token_sha256
from tests.fakes.api import refuses
from tests.fakes.gh import assert_kept_to_its_host, write_stand_in
from tests.fakes.github import ENTERPRISE, GITHUB, REPOSITORY, STRANGER

P = "git-credential-relay: "


def test_api_user(agent):
    """`gh api user` goes to GitHub with the token that the relay API has just issued."""
    result = agent.gh("api", "user", "--jq", ".login")
    [request] = agent.github.seen(GITHUB)

    assert (result.exit_code, result.stdout, result.stderr) == (0, b"octo\n", "")
    assert request.token == f"token {agent.github.tokens[GITHUB]}"
    assert agent.asked() == [(GITHUB, None)]
    assert agent.api.requests[0].fields["use"] == "api"
    assert_kept_to_its_host(agent)


def test_every_call_gets_a_token_that_works(agent):
    """When the token has been replaced, the next call has the new one."""
    assert agent.gh("api", "user").exit_code == 0
    agent.github.issue(GITHUB)
    for path in agent.cache.iterdir():
        path.unlink()

    assert agent.gh("api", "user").exit_code == 0
    assert len({request.token for request in agent.github.seen(GITHUB)}) == 2


def test_auth_status(agent):
    """`gh auth status` says that gh is logged in, by GH_TOKEN."""
    result = agent.gh("auth", "status")
    said = result.stdout.decode() + result.stderr

    assert result.exit_code == 0, said
    assert "Logged in to github.com" in said
    assert "(GH_TOKEN)" in said
    assert_kept_to_its_host(agent)


def test_pr_list_of_the_checkout(agent):
    """`gh pr list` in a work tree asks for a token of the repository that its remote names."""
    checkout = agent.checkout(f"https://github.com/{REPOSITORY}.git")
    result = agent.gh("pr", "list", cwd=checkout)

    assert (result.exit_code, result.stderr) == (0, "")
    assert b"a pull request" in result.stdout
    assert agent.asked() == [(GITHUB, REPOSITORY)]


def test_pr_create(agent):
    """`gh pr create` makes one, and prints its URL."""
    checkout = agent.checkout(f"https://github.com/{REPOSITORY}.git")
    arguments = ["--title", "t", "--body", "b", "--base", "main", "--head", "feature"]
    result = agent.gh("pr", "create", *arguments, cwd=checkout)

    assert result.exit_code == 0, result.stderr
    assert result.stdout.decode().strip() == f"https://github.com/{REPOSITORY}/pull/7"
    assert agent.asked() == [(GITHUB, REPOSITORY)]


@pytest.mark.parametrize("host", [GITHUB, ENTERPRISE])
def test_repo_clone(agent, host):
    """`gh repo clone` clones, git being answered by the stand-in or by gh with our token."""
    result = agent.gh("repo", "clone", f"{host}/{REPOSITORY}", "clone")

    assert result.exit_code == 0, result.stderr
    assert (agent.work / "clone" / "README.md").is_file()
    assert all(path == REPOSITORY for _, path in agent.asked() if path)
    config = (agent.work / "clone" / ".git" / "config").read_text()
    assert agent.github.tokens[host] not in config
    assert_kept_to_its_host(agent)


def test_extension_keeps_its_exit_code(agent):
    """An extension has the token and its exit code 7 is ours; its GH_PATH is the stand-in."""
    agent.extension(
        "seven", 'gh api user --jq .login; "$GH_PATH" --version; echo "$GH_PATH"; exit 7'
    )
    result = agent.gh("seven")
    lines = result.stdout.decode().splitlines()

    assert (result.exit_code, result.stderr) == (7, "")
    assert lines[0] == "octo"
    assert lines[1].startswith("gh version ")
    assert lines[-1] == str(agent.shim)


def test_alias_keeps_its_exit_code(agent):
    """A shell alias that fails with 7 is a gh that fails with 7."""
    assert agent.gh("alias", "set", "--shell", "seven", "exit 7").exit_code == 0
    bare = agent.bare_gh("seven", environ={"GH_TOKEN": "any"})

    assert agent.gh("seven").exit_code == bare.exit_code == 7


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_as_they_end_gh(agent, number):
    """A gh that is interrupted ends in the same way with us and without us."""
    codes = []
    for program in (agent.real, agent.shim):
        agent.github.requests.clear()
        environ = {"GH_TOKEN": agent.github.tokens[GITHUB]} if program == agent.real else {}
        with agent.start_gh(program, "api", "slow", environ=environ) as process:
            agent.github.wait_for("/slow")
            process.send_signal(number)
            process.communicate(timeout=20)
            codes.append(process.returncode)

    assert codes[0] == codes[1]
    assert codes[1] == -number


def test_interrupt_while_the_token_is_fetched(agent):
    """Ctrl-C ends the stand-in as it would end gh, before gh is there."""
    agent.api.gate.clear()
    with agent.start_gh(agent.shim, "api", "user") as process:
        deadline = time.monotonic() + 20
        while not agent.api.requests:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    agent.api.gate.set()

    assert (process.returncode, out, err) == (-signal.SIGINT, b"", b"")


def test_stdin_reaches_gh(agent):
    """What is piped into the stand-in is what gh reads."""
    body = b'{"query": "query UserCurrent{viewer{login}}"}'
    result = agent.gh("api", "graphql", "--input", "-", "--jq", ".data.viewer.login", stdin=body)

    assert (result.exit_code, result.stdout) == (0, b"octo\n")
    assert agent.github.seen(GITHUB)[-1].body == body


def test_terminal_reaches_gh(agent):
    """On a terminal gh still sees a terminal, on all three streams."""
    agent.extension("tty", "test -t 0 && test -t 1 && test -t 2 && echo is a terminal")
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(agent.shim, [str(agent.shim), "tty"], agent.environ)  # noqa: S606
    said = b""
    while select.select([terminal], [], [], 20)[0]:
        try:
            said += os.read(terminal, 4096)
        except OSError:  # how a terminal says that the other side has gone
            break
    _, status = os.waitpid(pid, 0)
    os.close(terminal)

    assert os.waitstatus_to_exitcode(status) == 0
    assert b"is a terminal" in said


FOREIGN = {
    "-R": (["pr", "list", "-R", "evil.example.test/o/r"], {}),
    "--repo=": (["pr", "list", "--repo=evil.example.test/o/r"], {}),
    "GH_REPO": (["pr", "list"], {"GH_REPO": "evil.example.test/o/r"}),
    "--hostname": (["api", "--hostname", "evil.example.test", "user"], {}),
    "URL of a pull request": (["pr", "view", "https://evil.example.test/o/r/pull/1"], {}),
    "URL for api": (["api", "https://evil.example.test/api/v3/user"], {}),
    "URL to clone": (["repo", "clone", "https://evil.example.test/o/r"], {}),
    "redirect": (["api", "redirect"], {}),
    "flag of one host, URL of another": (
        ["pr", "view", "-R", "octo/demo", "https://evil.example.test/o/r/pull/1"],
        {},
    ),
    "Enterprise flag, URL of another": (
        ["api", "--hostname", "ghe.example.test", "https://evil.example.test/api/v3/user"],
        {},
    ),
    "host of a value we do not read": (
        ["api", "user", "-fx=y", "--method=GET", "--hostname=evil.example.test"],
        {},
    ),
}


IN_A_CODESPACE = {"CODESPACES": "true", "GITHUB_TOKEN": "stale"}


@pytest.mark.parametrize("codespaces", [{}, IN_A_CODESPACE], ids=["", "codespace"])
@pytest.mark.parametrize(("arguments", "environ"), FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_host_gets_no_token(agent, arguments, environ, codespaces):
    """Whichever way gh is sent to a host that is not ours, it goes there without a token."""
    agent.gh(*arguments, environ={**environ, **codespaces})
    seen = agent.github.seen(STRANGER)
    assert [request.token for request in seen if request.token] == []
    assert_kept_to_its_host(agent)


@pytest.mark.parametrize(
    ("arguments", "environ"),
    [
        (arguments, environ)
        for arguments, environ in FOREIGN.values()
        if "redirect" not in arguments
    ],
)
def test_a_foreign_host_would_get_an_unbound_token(agent, arguments, environ):
    """Each of these does lead gh there: without us, a token that gh offers to everybody arrives."""
    unbound = {"GH_TOKEN": "any", "GH_ENTERPRISE_TOKEN": "unbound"}
    agent.bare_gh(*arguments, environ={**environ, **unbound})

    assert any(request.token for request in agent.github.seen(STRANGER))


def test_stale_github_token_does_not_win(agent):
    """The GITHUB_TOKEN that a container was started with is not what gh uses."""
    result = agent.gh("api", "user", environ={"GITHUB_TOKEN": "stale"})

    assert result.exit_code == 0
    assert agent.github.seen(GITHUB)[-1].token == f"token {agent.github.tokens[GITHUB]}"


def test_a_token_of_ones_own_is_respected(agent):
    """With GH_TOKEN set by the user, gh uses that, and the relay API is not asked."""
    result = agent.gh("api", "user", environ={"GH_TOKEN": "my-own"})

    assert result.exit_code != 0
    assert agent.github.seen(GITHUB)[-1].token == "token my-own"
    assert agent.asked() == []


def test_a_token_of_ours_is_renewed(agent):
    """A gh started by a gh, or by `exec`, an hour later has a fresh token in both variables."""
    old = "ghs_minted_an_hour_ago"
    environ = {
        "GH_TOKEN": old,
        "GITHUB_TOKEN": old,
        "GIT_CREDENTIAL_RELAY_TOKEN_SHA256": token_sha256(Secret(old)),
    }
    agent.extension("show", 'echo "$GH_TOKEN $GITHUB_TOKEN"')
    result = agent.gh("show", environ=environ)
    new = agent.github.tokens[GITHUB]

    assert (result.exit_code, result.stdout.decode()) == (0, f"{new} {new}\n")


def test_nothing_else_changes_in_the_environment(agent):
    """gh's children see the environment as it was, plus the token and what marks it."""
    agent.extension("show", "exec env")
    environ = {"GITHUB_TOKEN": "stale", "LC_ALL": ""}
    bare = agent.bare_gh("show", environ={**environ, "PATH": agent.environ["PATH"]})
    ours = agent.gh("show", environ=environ)
    before, after = (
        dict(line.split("=", 1) for line in done.stdout.decode().splitlines())
        for done in (bare, ours)
    )
    added = {name for name in after if before.get(name) != after[name]}

    assert not before.keys() - after.keys()
    assert added == {
        "GH_TOKEN",
        "GH_PATH",
        "GIT_CREDENTIAL_RELAY_GH_DEPTH",
        "GIT_CREDENTIAL_RELAY_TOKEN_SHA256",
    }


PLANTED = {
    "alias": ("hi", ".config/gh/config.yml", "aliases:\n    hi: '!touch ran'\n"),
    "extension": ("hi", ".local/share/gh/extensions/gh-hi/gh-hi", "#!/bin/sh\ntouch ran\n"),
}
RELATIVE = {
    "GH_CONFIG_DIR": {"GH_CONFIG_DIR": ".config/gh"},
    "XDG": {"XDG_CONFIG_HOME": ".config", "XDG_DATA_HOME": ".local/share"},
    "HOME": {"HOME": ".", "XDG_DATA_HOME": ""},
}


@pytest.mark.parametrize(
    ("planted", "variables"),
    [
        ("alias", "GH_CONFIG_DIR"),
        ("alias", "XDG"),
        ("extension", "XDG"),
        ("extension", "HOME"),
    ],
)
def test_a_work_tree_brings_no_commands(agent, planted, variables):
    """gh's settings and extensions are the user's, never those of the directory it stands in.

    With HOME itself gh is given a directory for its settings, as it might write to the real home.
    """
    command, name, text = PLANTED[planted]
    path = agent.work / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    path.chmod(0o755)
    environ = dict(RELATIVE[variables])
    if variables == "HOME":
        environ["GH_CONFIG_DIR"] = str(agent.home)
    ran = agent.work / "ran"

    agent.bare_gh(command, environ=environ)
    assert ran.exists()
    ran.unlink()

    agent.gh(command, environ=environ)
    assert not ran.exists()


@pytest.mark.parametrize("arguments", [["api", "user"], ["--version"], ["auth", "login"]])
@pytest.mark.parametrize("home", ["", "."])
def test_gh_always_has_a_home(agent, arguments, home):
    """Whatever gh is called for, without a HOME it is given that of the user; shown by a script."""
    agent.real.unlink()
    agent.real.write_text('#!/bin/sh\necho "$HOME"\n')
    agent.real.chmod(0o755)
    result = agent.gh(*arguments, environ={"HOME": home})

    assert result.stdout.decode() == f"{pwd.getpwuid(os.getuid()).pw_dir}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--version"],
        ["version"],
        ["--help"],
        ["help", "pr"],
        ["pr", "list", "--help"],
        ["pr", "list", "-h"],
        ["completion", "--shell", "bash"],
        ["__complete", "pr", "li"],
        ["config", "get", "git_protocol"],
        ["alias", "list"],
        ["auth"],
        ["auth", "logout", "--hostname", "github.com"],
        ["auth", "login", "--hostname", "ghe.example.test", "--help"],
    ],
    ids=" ".join,
)
def test_what_needs_no_token_asks_for_none(agent, arguments):
    """Help, versions, completion, settings and logins are gh's own, byte for byte."""
    bare = agent.bare_gh(*arguments)
    result = agent.gh(*arguments)

    assert (result.exit_code, result.stdout, result.stderr) == (
        bare.exit_code,
        bare.stdout,
        bare.stderr,
    )
    assert agent.asked() == []


def test_login_and_logout_still_work(agent):
    """A person can log in at a host with a token of their own, even below a gh of ours."""
    old = "ghs_ours"
    ours = {"GH_TOKEN": old, "GIT_CREDENTIAL_RELAY_TOKEN_SHA256": token_sha256(Secret(old))}
    token = agent.github.tokens[ENTERPRISE].encode()
    arguments = ["auth", "login", "--hostname", ENTERPRISE, "--with-token"]
    result = agent.gh(*arguments, stdin=token, environ=ours)

    assert result.exit_code == 0, result.stderr
    assert ENTERPRISE in (agent.home / ".config" / "gh" / "hosts.yml").read_text()


def test_without_a_token_gh_says_so_itself(agent):
    """When the API refuses, stderr has the reason, and gh ends as it does without a token."""
    agent.api.script(refuses(403, error="not yours", code="GRANT_MISSING", hint="ask Ada"))
    bare = agent.bare_gh("pr", "list", "-R", REPOSITORY)
    result = agent.gh("pr", "list", "-R", REPOSITORY)

    assert (result.exit_code, result.stdout) == (bare.exit_code, bare.stdout) == (4, b"")
    first, rest = result.stderr.split("\n", 1)
    assert first.startswith(f"{P}error: no credential for https://github.com/{REPOSITORY}: ")
    assert "[GRANT_MISSING] (hint: ask Ada;" in first
    assert rest == bare.stderr
    assert agent.github.requests == []


def test_broken_configuration_does_not_stop_gh(agent):
    """A mistake in our settings is told, and gh runs."""
    result = agent.gh("api", "user", environ={"GIT_CREDENTIAL_RELAY_DEADLINE": "soon"})

    assert result.exit_code == 4
    assert result.stderr.startswith(f"{P}error: GIT_CREDENTIAL_RELAY_DEADLINE in the environment: ")
    assert "gh auth login" in result.stderr


@pytest.mark.parametrize("arguments", [["pr", "list"], ["--version"]], ids=" ".join)
def test_no_gh_behind_it(agent, arguments):
    """Where there is no gh, one line says so, with the exit code of a command that is not there."""
    result = agent.gh(*arguments, environ={"PATH": str(agent.shim.parent)})

    assert (result.exit_code, result.stdout) == (127, b"")
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith(f"{P}error: there is no gh on PATH")
    assert "[gh-not-found]" in result.stderr


def test_two_stand_ins_do_not_call_each_other(agent):
    """Of two stand-ins on PATH neither runs the other; the real gh behind both is found."""
    second = agent.root / "second"
    second.mkdir()
    write_stand_in(second / "gh")
    environ = {"PATH": f"{agent.shim.parent}:{second}:{agent.real.parent}:/usr/bin:/bin"}

    assert agent.gh("api", "user", environ=environ).exit_code == 0


def test_a_gh_that_calls_us_again_is_stopped(agent):
    """A script in gh's place that calls the stand-in again ends with one error, not never."""
    script = agent.root / "loop" / "gh"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\n"{agent.shim}" "$@"\n')
    script.chmod(0o755)
    result = agent.gh("version", environ={"PATH": f"{script.parent}:/bin"})

    assert (result.exit_code, result.stdout) == (127, b"")
    assert "[gh-loop]" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_script_as_gh_is_no_way_back_to_us(agent):
    """Where the gh that we ask for a token calls us, we say nothing to it, and it ends at once."""
    script = agent.root / "loop" / "gh"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\necho called >>"{agent.root}/calls"\n"{agent.shim}" "$@"\n')
    script.chmod(0o755)
    path = f"{script.parent}:/usr/bin:/bin"
    environ = {"GIT_CREDENTIAL_RELAY_FALLBACK": "gh", "CLOUD_API_URL": "", "PATH": path}
    result = agent.get(environ=environ)

    assert result.stdout == b""
    assert "gh - no token" in result.stderr
    assert (agent.root / "calls").read_text().count("called") == 1


def test_setup_git_is_left_undone(agent):
    """`gh auth setup-git` says why it does nothing; git's configuration stays as it is."""
    before = agent.gitconfig.read_text()
    result = agent.gh("auth", "setup-git")

    assert (result.exit_code, result.stdout) == (0, b"")
    assert result.stderr.startswith(f"{P}`gh auth setup-git` left undone")
    assert agent.gitconfig.read_text() == before


def test_little_is_loaded_before_gh(agent):
    """With a token in the cache the stand-in loads neither click nor an HTTP client."""
    assert agent.gh("api", "user").exit_code == 0
    command = [sys.executable, "-I", "-X", "importtime", str(agent.shim), "api", "user"]
    done = subprocess.run(
        command, capture_output=True, text=True, env=agent.environ, cwd=agent.work, check=True
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}

    assert "git_credential_relay.relay.gh.shim" in loaded
    banned = {"click", "httpx2", "tenacity", "yaml", "json", "re", "ssl", "signal", "subprocess"}
    assert loaded & (banned - site_modules()) == set()


def site_modules() -> set[str]:
    """What the .pth files of this environment load into every interpreter."""
    command = [sys.executable, "-I", "-c", "import sys; print(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
