"""The shell program in front of gh, with a token from the sidecar, under real gh."""

from __future__ import annotations

import os
import pwd

import pytest

from git_credential_relay.secret import Secret, token_sha256
from tests.fakes.agent import SECRET, files_with
from tests.fakes.api import refuses
from tests.fakes.gh import VERSIONS, real_gh
from tests.fakes.github import ENTERPRISE, GITHUB, REPOSITORY, STRANGER, TENANT
from tests.fakes.shell_agent import AS_AGENT, shell_world
from tests.fakes.sidecar import OTHER_UID

P = "git-credential-relay: "
AWAY = {"GIT_CREDENTIAL_RELAY_SOCKET": "/nonexistent/git.sock"}
OLD = "ghs_minted_an_hour_ago"
MARKED = {"GIT_CREDENTIAL_RELAY_TOKEN_SHA256": token_sha256(Secret(OLD))}


@pytest.fixture(scope="module")
def world():
    """A sidecar with what it talks to."""
    with shell_world() as world:
        yield world


@pytest.fixture
def agent(world):
    """An agent with Debian's gh."""
    return world.agent(real_gh("debian"))


@pytest.fixture(params=VERSIONS)
def either(world, request):
    """An agent with one gh or the other."""
    return world.agent(real_gh(request.param))


@pytest.fixture
def scripted(agent):
    """An agent whose real gh is a script that shows its environment, quicker than gh is."""
    agent.real.unlink()
    agent.real.write_text("#!/bin/sh\nexec /usr/bin/env\n")
    agent.real.chmod(0o755)
    return agent


def shown(result):
    """The environment that a command has printed."""
    assert result.exit_code == 0, result.stderr
    return dict(line.split("=", 1) for line in result.stdout.decode().splitlines())


def test_gh_has_a_token(either):
    """It goes to GitHub, from an environment and files without the workspace's secret."""
    result = either.gh("api", "user", "--jq", ".login")

    assert (result.exit_code, result.stdout, result.stderr) == (0, b"octo\n", "")
    assert either.github.seen(GITHUB)[-1].token == f"token {either.github.tokens[GITHUB]}"
    assert files_with(SECRET, either.root) == []
    assert files_with(either.github.tokens[GITHUB], either.root) == []


def test_repo_clone(either):
    """Git below gh is answered too, by gh itself or by the program in its place."""
    result = either.gh("repo", "clone", REPOSITORY, "clone")

    assert result.exit_code == 0, result.stderr
    assert (either.work / "clone" / "README.md").is_file()
    assert files_with(either.github.tokens[GITHUB], either.work) == []


@pytest.mark.parametrize(
    ("arguments", "remotes", "asked"),
    [
        (["pr", "list"], {"origin": "https://github.com/octo/one.git"}, "octo/one"),
        (["pr", "list"], {"origin": "git@github.com:octo/two.git"}, "octo/two"),
        (["run", "list"], {"origin": "ssh://git@github.com/octo/three/"}, "octo/three"),
        (["pr", "list"], {"origin": "https://github.com/octo/x", "upstream":
                          "https://me@github.com/octo/four"}, "octo/four"),
        (["pr", "list", "-R", "octo/five"], {"origin": "https://github.com/octo/x"}, "octo/five"),
        (["issue", "list", "-Rgithub.com/octo/six"], {}, "octo/six"),
        (["pr", "view", "--repo=https://github.com/octo/seven"], {}, None),
        (["pr", "list", "-wR", "octo/y"], {"origin": "https://github.com/octo/x"}, None),
        (["pr", "view", "https://github.com/o/r/pull/1"],
         {"origin": "https://github.com/octo/x"}, None),
        (["api", "repos/o/r"], {"origin": "https://github.com/octo/x"}, None),
        (["pr", "list"], {"origin": "https://github.com/octo/$(touch ran)"}, None),
        (["pr", "list"], {"origin": "https://github.com/a/b/c"}, None),
        (["pr", "list"], {"origin": "https://evil.example.test/@github.com/octo/x"}, None),
        (["pr", "list"], {}, None),
    ],
)  # fmt: skip
def test_the_token_is_for_the_repository_where_that_is_beyond_doubt(
    scripted, world, arguments, remotes, asked
):
    """From -R or gh's preferred remote; else for whatever the workspace may have."""
    checkout = scripted.checkout("https://unused.example.test/o/r", remote="unused")
    for name, url in remotes.items():
        scripted.checkout(url, remote=name)
    assert shown(scripted.gh(*arguments, cwd=checkout))["GH_TOKEN"]
    # A token for no repository in particular is in the sidecar's memory by now, or is asked for.
    paths = [request.fields.get("path") for request in scripted.api.requests]

    assert paths == ([asked] if asked else paths[:1])
    assert asked or paths in ([], [None])


FOREIGN = {
    "-R": (["pr", "list", "-R", f"{STRANGER}/o/r"], {}),
    "GH_REPO": (["pr", "list"], {"GH_REPO": f"{STRANGER}/o/r"}),
    "--hostname": (["api", "--hostname", STRANGER, "user"], {}),
    "URL": (["pr", "view", f"https://{STRANGER}/o/r/pull/1"], {}),
    "codespace": (["api", "--hostname", STRANGER, "user"], {"CODESPACES": "true"}),
    "tenant": (["api", "--hostname", TENANT, "user"], {}),
    "tenant by GH_HOST": (["api", "user"], {"GH_HOST": TENANT}),
    "tenant in capitals": (["api", "--hostname", TENANT.upper(), "user"], {}),
}


@pytest.mark.parametrize(("arguments", "environ"), FOREIGN.values(), ids=FOREIGN)
@pytest.mark.newer_gh
def test_a_foreign_host_gets_no_token(world, arguments, environ):
    """Whichever way gh is sent to a host that the token is not for, it goes without."""
    agent = world.agent(real_gh("newer"))
    agent.gh(*arguments, environ=environ)

    for host in (STRANGER, TENANT):
        assert [request.token for request in agent.github.seen(host) if request.token] == []


@pytest.mark.parametrize(
    "name", [".config/gh/hosts.yml", ".config/gh/config.yml", "remote", "insteadOf"]
)
def test_what_may_lead_gh_astray_costs_the_token(scripted, name):
    """A login or an alias of the user's own, or a remote, at a host that takes GH_TOKEN too."""
    checkout = scripted.checkout("https://github.com/octo/demo")
    if name == "remote":
        scripted.checkout(f"https://{TENANT}/o/r", remote="other")
    elif name == "insteadOf":
        scripted.git("config", f"url.https://{TENANT}/.insteadOf", "t:", cwd=checkout)
    else:
        path = scripted.home / name
        path.parent.mkdir(parents=True)
        path.write_text(f"{TENANT}:\n    user: me")
    result = scripted.gh("api", "user", cwd=checkout)

    assert "GH_TOKEN" not in shown(result)
    assert "[no-token]" in result.stderr


def test_enterprise_hosts_need_the_socket(scripted):
    """No variable binds a token to one; that is told, with what to do."""
    result = scripted.gh("api", "--hostname", ENTERPRISE, "user")

    assert not {"GH_TOKEN", "GH_ENTERPRISE_TOKEN"} & shown(result).keys()
    assert "[no-token] (hint: have install set up gh with --gh-socket;" in result.stderr


def test_a_token_of_ones_own_is_respected(scripted):
    """Also beside the mark of another one, which was ours once; the sidecar is not asked."""
    for environ in (MARKED, {**MARKED, **AWAY}):
        result = scripted.gh("api", "user", environ={"GH_TOKEN": "my-own", **environ})
        tokens = {k: v for k, v in shown(result).items() if "TOKEN" in k}

        assert (tokens, result.stderr) == ({"GH_TOKEN": "my-own"}, "")


def test_a_token_that_lies_about_is_not_taken_for_gh(scripted):
    """GITHUB_TOKEN is what images leave behind; the fresh one stands in front of it."""
    environ = shown(scripted.gh("api", "user", environ={"GITHUB_TOKEN": "stale"}))

    assert environ["GH_TOKEN"] == scripted.github.tokens[GITHUB]


@pytest.mark.parametrize("value", ["", "null", "seed-me"])
def test_a_template_is_no_token(scripted, value):
    """What nobody filled in is as if it were not there."""
    environ = shown(scripted.gh("api", "user", environ={"GH_TOKEN": value, "GITHUB_TOKEN": value}))

    assert environ["GH_TOKEN"] == scripted.github.tokens[GITHUB]


def test_a_token_of_ours_is_renewed(scripted):
    """A gh below `exec` or another gh, an hour later, has a fresh one where the old one was."""
    old = {"GH_TOKEN": OLD, "GITHUB_TOKEN": OLD, "CODESPACES": "true", **MARKED}
    environ = shown(scripted.gh("api", "user", environ=old))
    new = scripted.github.tokens[GITHUB]

    assert (environ["GH_TOKEN"], environ["GITHUB_TOKEN"]) == (new, new)
    mark = environ["GIT_CREDENTIAL_RELAY_TOKEN_SHA256"]
    assert mark == token_sha256(Secret(new))
    # The mark is what the Python programs make of it, for every length of padding and sign.
    assert OLD not in environ.values()
    # In a codespace an older gh would show GITHUB_TOKEN to any host.
    assert "CODESPACES" not in environ


def test_nothing_else_changes_in_the_environment(scripted):
    """Not even by variables that are called as the program's own, which might carry the token."""
    own_names = {
        name: "theirs"
        for line in scripted.shim.read_text().splitlines()
        for name in line.replace("\\", " ").split()
        if name.startswith(("gcr_", "GCR_")) and name.isidentifier()
    }
    assert len(own_names) > 30
    before = {**scripted.environ, **own_names, "LC_ALL": "", "EMPTY": ""}
    after = shown(scripted.gh("api", "user", environ={**own_names, "LC_ALL": "", "EMPTY": ""}))
    added = {name for name in after if before.get(name) != after[name]}

    assert added - {"PWD", "OLDPWD", "_", "SHLVL"} == {
        *("GH_TOKEN", "GH_PATH"),
        *("GIT_CREDENTIAL_RELAY_GH_DEPTH", "GIT_CREDENTIAL_RELAY_TOKEN_SHA256"),
    }
    assert before.keys() - after.keys() <= set(own_names)
    assert [name for name, value in after.items() if value == after["GH_TOKEN"]] == ["GH_TOKEN"]


@pytest.mark.parametrize(
    "arguments",
    [[], ["--version"], ["--help"], ["pr", "list", "--help"], ["pr", "list", "-h"], ["auth"],
     ["config", "get", "git_protocol"], ["alias", "list"], ["__complete", "pr", "li"],
     ["auth", "logout", "-h", "github.com"]],
    ids=" ".join,
)  # fmt: skip
def test_what_needs_no_token_asks_for_none(agent, arguments):
    """Help, versions, settings and logins are gh's own, byte for byte; nobody is asked."""
    bare = agent.bare_gh(*arguments)
    result = agent.gh(*arguments, environ=AWAY)

    assert (result.exit_code, result.stdout, result.stderr) == (
        bare.exit_code, bare.stdout, bare.stderr,
    )  # fmt: skip


def test_without_a_token_gh_says_so_itself(agent):
    """First the sidecar's reason, in the words of the Python programs, then gh's own."""
    agent.api.script(refuses(403, error="not yours", code="GRANT_MISSING", hint="ask Ada"))
    bare = agent.bare_gh("pr", "list", "-R", "octo/denied")
    result = agent.gh("pr", "list", "-R", "octo/denied")
    first, rest = result.stderr.split("\n", 1)

    assert (result.exit_code, result.stdout) == (bare.exit_code, bare.stdout) == (4, b"")
    assert first.startswith(f"{P}error: no credential for https://github.com/octo/denied: ")
    assert "[GRANT_MISSING] (hint: ask Ada; trying again before that will not help)" in first
    assert rest == bare.stderr


def test_without_a_sidecar_gh_runs(scripted):
    """One line says that there is none."""
    result = scripted.gh("api", "user", environ=AWAY)

    assert "GH_TOKEN" not in shown(result)
    assert "[sidecar-unreachable]" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("variable", ["HOME", "GH_CONFIG_DIR", "XDG_CONFIG_HOME"])
def test_a_work_tree_brings_no_commands(agent, variable):
    """gh's aliases are the user's, never those of the directory it stands in."""
    paths = {"HOME": (".", ".config/gh"), "GH_CONFIG_DIR": ("cfg", "cfg"),
             "XDG_CONFIG_HOME": ("xdg", "xdg/gh")}  # fmt: skip
    value, name = paths[variable]
    config = agent.work / name / "config.yml"
    config.parent.mkdir(parents=True)
    config.write_text("aliases:\n    hi: '!touch ran'\n")
    environ = {"XDG_CONFIG_HOME": "", "GH_CONFIG_DIR": "", variable: value}
    agent.bare_gh("hi", environ=environ)
    ran = agent.work / "ran"
    assert ran.exists()
    ran.unlink()

    agent.gh("hi", environ=environ)
    assert not ran.exists()


@pytest.mark.parametrize("home", ["", "."])
def test_gh_always_has_a_home(scripted, home):
    """That of the user in the list of users, or / for somebody who is not in it."""
    try:
        expected = pwd.getpwuid(OTHER_UID if AS_AGENT else os.getuid()).pw_dir
    except KeyError:
        expected = "/"

    assert shown(scripted.gh("--version", environ={"HOME": home}))["HOME"] == expected


@pytest.mark.skipif(not AS_AGENT, reason="only root can be another user")
def test_a_home_is_found_in_the_list_of_users(scripted):
    """For a user who is in it."""
    nobody = pwd.getpwnam("nobody")
    command = [
        "setpriv",
        f"--reuid={nobody.pw_uid}",
        "--clear-groups",
        str(scripted.shim),
        "version",
    ]
    result = super(type(scripted), scripted).run(command, environ={"HOME": ""}, cwd=scripted.root)

    assert shown(result)["HOME"] == nobody.pw_dir


def test_a_circle_of_stand_ins_ends(scripted):
    """A gh behind ours that calls ours again is stopped."""
    scripted.real.write_text(f'#!/bin/sh\nexec "{scripted.shim}" "$@"\n')
    result = scripted.gh("version")

    assert result.exit_code == 127
    assert "[gh-loop]" in result.stderr


@pytest.mark.parametrize("depth", ["09", "x", "99999", "$(touch ran)", "-1"])
def test_a_strange_depth_is_none(scripted, depth):
    """Whatever stands in that variable, gh runs, and counts on from a number."""
    environ = shown(scripted.gh("version", environ={"GIT_CREDENTIAL_RELAY_GH_DEPTH": depth}))

    assert environ["GIT_CREDENTIAL_RELAY_GH_DEPTH"] == ("10" if depth == "09" else "1")
    assert list(scripted.work.iterdir()) == []


def test_the_real_gh_is_found_behind_ours(scripted):
    """Other launchers of ours and the work tree are passed over, what one displaced is not."""
    other = scripted.root / "other"
    other.mkdir()
    for path, text in {
        other / "gh": scripted.shim.read_text(),
        other / "gh.displaced": "#!/bin/sh\necho displaced\n",
        scripted.work / "gh": "#!/bin/sh\necho trap\n",
    }.items():
        path.write_text(text)
        path.chmod(0o755)
    path = f".::{scripted.shim.parent}:{other}:{scripted.real.parent}"
    result = scripted.gh("version", environ={"PATH": path})

    assert (result.exit_code, result.stdout) == (0, b"displaced\n")


def test_without_a_gh_it_says_so(scripted):
    """Exit code 127, as a shell's for a command that is not there."""
    result = scripted.gh("version", environ={"PATH": str(scripted.shim.parent)})

    assert (result.exit_code, result.stdout) == (127, b"")
    assert "[gh-not-found]" in result.stderr


def test_it_becomes_gh(scripted):
    """Exit code and arguments are those of the real one, whatever is in them."""
    scripted.real.write_text('#!/bin/sh\nprintf "<%s>" "$@"\ncat\nexit 7\n')
    strange = ["pr", "comment", "--body", "$(touch ran) `x` \\n %s *", "", "--", "-x y"]
    result = scripted.gh(*strange, stdin=b"piped")
    expected = "".join(f"<{word}>" for word in strange) + "piped"

    assert (result.exit_code, result.stdout.decode()) == (7, expected)
