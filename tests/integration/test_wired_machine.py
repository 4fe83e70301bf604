"""After `install` on a machine, git pushes from wherever and as whomever it is run."""

from __future__ import annotations

import subprocess

import pytest

from tests.fakes.wired import wired_machine

CLONE = 'git clone --quiet "$1" work; cd work; '
COMMIT = 'echo "$2" >"$2"; git add "$2"; git commit --quiet --message "$2"; '
PUSH = 'git push --quiet origin "HEAD:refs/heads/$2"'


@pytest.fixture(scope="session")
def machine(open_directory, executable):
    """A machine that `install` has wired for the playground forge."""
    with wired_machine(executable, open_directory) as machine:
        yield machine


def pushed(machine, branch, script, repository="acme/app", **how):
    """Run a script with the repository's URL and the branch it has to push."""
    done = machine.run(script, machine.forge.url_of(repository), branch, **how)
    assert (done.returncode, done.stderr) == (0, ""), done
    return machine.forge.commit_of(repository, branch)


CASES = {
    "empty-environment": CLONE + COMMIT + PUSH,
    "no-home": CLONE + COMMIT + "unset HOME; " + PUSH,
    "home-elsewhere": CLONE + COMMIT + "export HOME=/nonexistent; " + PUSH,
    "home-of-root": CLONE + COMMIT + "export HOME=/root; " + PUSH + " 2>/dev/null",
    "another-directory": CLONE + COMMIT + 'd=$PWD; cd /; git -C "$d" push --quiet origin "HEAD:$2"',
    "directory-of-a-repository-that-is-away": CLONE + COMMIT + 'cd /; git --git-dir="$OLDPWD/.git" '
    'push --quiet origin "HEAD:$2"',
    "nested-shell": CLONE + COMMIT + "sh -c '" + PUSH + '\' sh "$1" "$2"',
    "login-shell": CLONE + COMMIT + "bash -l -c '" + PUSH + '\' bash "$1" "$2"',
    "scrubbed-twice": CLONE + COMMIT + "env -i /bin/sh -c '" + PUSH + '\' sh "$1" "$2"',
    "no-path": CLONE + COMMIT + 'git=$(command -v git); PATH=/nonexistent; "$git" push --quiet '
    'origin "HEAD:refs/heads/$2"',
    "no-global-configuration": CLONE + COMMIT + "export GIT_CONFIG_GLOBAL=/dev/null; " + PUSH,
    "linked-worktree": CLONE + 'git worktree add --quiet -b other ../tree; cd ../tree; ' + COMMIT
    + PUSH,
    "worktree-with-its-own-configuration": CLONE + "git config extensions.worktreeConfig true; "
    "git worktree add --quiet -b other ../tree; cd ../tree; " + COMMIT + PUSH,
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_push_works(machine, name):
    """A clone and a push by an ordinary user find the helper and its settings."""
    assert pushed(machine, name, CASES[name])


def test_push_works_inside_a_submodule(machine):
    """Both repositories are pushed to, each with a token of its own."""
    add = 'git submodule --quiet add "$3" lib; cd lib; '
    done = machine.run(
        CLONE + add + COMMIT + PUSH + "; cd ..; " + COMMIT + PUSH,
        machine.forge.url_of("acme/app"), "submodule", machine.forge.url_of("acme/lib"),
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    assert machine.forge.commit_of("acme/app", "submodule")
    assert machine.forge.commit_of("acme/lib", "submodule")
    asked = [vend.path for vend in machine.cloud.vends]
    assert {"acme/app", "acme/lib"} <= set(asked)
    assert None not in asked  # git always said which repository it meant


@pytest.mark.parametrize("uid", [0, 1000, 12345])
def test_push_works_as_any_user(machine, uid):
    """Users with and without a line in passwd, and root."""
    assert pushed(machine, f"user-{uid}", CLONE + COMMIT + PUSH, uid=uid)


def test_without_the_systems_configuration_it_does_not(machine):
    """The wiring is what made the pushes above work: the tests can fail."""
    done = machine.run(
        CLONE + COMMIT + "export GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0 "
        "GIT_AUTHOR_NAME=x GIT_AUTHOR_EMAIL=x@example.com; " + PUSH,
        machine.forge.url_of("acme/app"), "unwired",
    )  # fmt: skip

    assert done.returncode == 128
    assert "could not read Username" in done.stderr


def test_other_helpers_serve_other_hosts(machine):
    """Two inherited helpers, one in the system's file and one in the user's, are both asked for a
    host that is not ours. Of one that is, the system's hears nothing; the user's file is read
    after ours, so what stands there only doctor can find."""
    done = machine.run(
        """
        export HOME=$PWD GIT_CONFIG_SYSTEM=$PWD/system
        for name in one two; do
            printf '#!/bin/sh\\necho "$1 $(tr "\\\\n" " ")" >>%s/%s.log\\n' "$PWD" "$name" >"$name"
            chmod +x "$name"
        done
        { printf '[credential]\\n\\thelper = %s/one\\n' "$PWD"; cat /etc/gitconfig; } >system
        git config --global credential.helper "$PWD/two"
        printf 'url=https://elsewhere.example/o/r\\n\\n' |
            GIT_TERMINAL_PROMPT=0 git credential fill || true
        git clone --quiet "$1" work; cd work; echo x >x; git add x; git commit --quiet -m x
        git push --quiet origin HEAD:others
        cd ..; cat one.log; echo; cat two.log
        """,
        machine.forge.url_of("acme/app"),
    )

    assert done.returncode == 0, done
    first, second = (log.split("\n") for log in done.stdout.strip().split("\n\n"))
    asked = "get protocol=https host=elsewhere.example "
    assert first == [asked]
    assert second[0] == asked
    assert not any(line.startswith("get ") for line in second[1:])


def test_install_again_and_away_again(machine):
    """On a real machine too the second install changes nothing, and uninstall restores."""

    def enter(*command):
        return subprocess.run(
            ["nsenter", f"--target={machine.pid}", "--mount", *command],
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    told = enter("/usr/local/bin/git-credential-relay", "install")
    assert told.stdout.startswith("nothing to change")
    assert enter("/usr/local/bin/git-credential-relay", "uninstall", "--dry-run").returncode == 0
    assert enter("man", "--where", "git-credential-relay").returncode in (0, 127)
