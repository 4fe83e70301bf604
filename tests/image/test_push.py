"""An agent in a container pushes to a real forge, wherever and as whoever it runs."""

from __future__ import annotations

import itertools

import pytest

SUBMODULE = """\
set -eu
directory=$(mktemp -d)
git clone --quiet "$1" "$directory/app"
cd "$directory/app"
git submodule --quiet add "$2" lib 2>/dev/null
cd lib
git -c user.name=Agent -c user.email=agent@example.com commit --quiet --allow-empty -m Write
git push --quiet origin "HEAD:refs/heads/$3"
git rev-parse HEAD
"""
WORKTREE = """\
set -eu
directory=$(mktemp -d)
git clone --quiet "$1" "$directory/app"
cd "$directory/app"
git worktree add --quiet -b other ../other
cd ../other
git -c user.name=Agent -c user.email=agent@example.com commit --quiet --allow-empty -m Write
git push --quiet origin "HEAD:refs/heads/$2"
git rev-parse HEAD
"""
READ_ONLY = (
    "--read-only",
    "--read-only-tmpfs=false",
    "--tmpfs=/work:mode=1777",
    "--env=TMPDIR=/work",
)

_numbers = itertools.count(1)


@pytest.fixture
def branch():
    """A branch that no other test pushes to."""
    return f"branch-{next(_numbers)}"


@pytest.mark.parametrize(
    ("flags", "command"),
    [
        pytest.param((), "sh -c", id="sh"),
        pytest.param((), "bash -c", id="bash"),
        pytest.param((), "bash -l -c", id="login-shell"),
        pytest.param((), "env -i sh -c", id="empty-environment"),
        pytest.param((), "env -i bash -l -c", id="login-shell-in-an-empty-environment"),
        pytest.param((), "env -u HOME sh -c", id="no-home"),
        pytest.param((), "env HOME=/nonexistent sh -c", id="home-that-is-not-there"),
        pytest.param((), "env HOME=/tmp sh -c", id="another-home"),
        pytest.param(("--workdir=/usr",), "sh -c", id="another-directory"),
        pytest.param(("--user=12345:12345",), "sh -c", id="another-user"),
        pytest.param(("--user=12345:12345",), "bash -l -c", id="login-shell-of-another-user"),
        pytest.param(("--read-only",), "sh -c", id="read-only"),
        pytest.param(READ_ONLY, "sh -c", id="read-only-run-too"),
        pytest.param(("--user=12345:12345", *READ_ONLY), "sh -c", id="read-only-for-another-user"),
        pytest.param(
            ("--cap-drop=ALL", "--security-opt=no-new-privileges"), "sh -c", id="no-capabilities"
        ),
        pytest.param(("--user=0",), "sh -c", id="started-as-root"),
        pytest.param(("--user=0",), "env -i sh -c", id="started-as-root-empty-environment"),
        pytest.param(("--user=0",), "env -i bash -l -c", id="started-as-root-login-shell"),
        pytest.param(("--user=0", "--read-only"), "env -i sh -c", id="started-as-root-read-only"),
        pytest.param(("--user=0", "--env=AGENT_USER=4242"), "env -i sh -c", id="started-for-a-uid"),
    ],
)
def test_push(engine, wired_image, playground, branch, flags, command):
    """A clone and a push succeed without a word on stderr, with a token for that repository."""
    script = playground.push_by(*command.split(), branch=branch)
    done = engine.run(wired_image, *script, flags=flags, environ=playground.environ)

    assert playground.arrived(done, branch)
    assert playground.cloud.vends[-1].path == "acme/app"


def test_push_in_a_submodule(engine, wired_image, playground, branch):
    """A push from inside a submodule gets a token for the submodule's repository."""
    urls = [playground.forge.url_of(name) for name in ("acme/app", "acme/lib")]
    command = ["sh", "-c", SUBMODULE, "submodule", *urls, branch]
    done = engine.run(wired_image, *command, environ=playground.environ)

    assert playground.arrived(done, branch, "acme/lib")
    assert [vend.path for vend in playground.cloud.vends[-2:]] == ["acme/app", "acme/lib"]


def test_push_in_a_linked_worktree(engine, wired_image, playground, branch):
    """A push from a linked work tree succeeds."""
    command = ["sh", "-c", WORKTREE, "worktree", playground.forge.url_of("acme/app"), branch]
    done = engine.run(wired_image, *command, environ=playground.environ)

    assert playground.arrived(done, branch)


def test_push_to_a_host_named_when_the_container_starts(engine, agent_image, playground, branch):
    """A host that the image was not built for is served when the environment names it."""
    script = playground.push_by("sh", "-c", branch=branch)
    environ = {**playground.environ, "GIT_CREDENTIAL_RELAY_HOSTS": playground.forge.url}
    done = engine.run(agent_image, *script, environ=environ)

    assert playground.arrived(done, branch)


def test_push_by_another_session(engine, wired_image, playground, branch):
    """A session that was given no variable at all, like an SSH login, can push."""
    container = engine.start(
        wired_image, "sleep", "60", flags=("--user=0",), environ=playground.environ
    )
    script = playground.push_by("env", "-i", "bash", "-l", "-c", branch=branch)
    done = engine.execute(container, *script, flags=("--user=agent",))

    assert playground.arrived(done, branch)


def test_nothing_secret_stays_on_a_disk(engine, wired_image, playground, branch):
    """After a push, neither token nor workspace secret is in the image or in the container's own
    layer."""
    container = engine.start(
        wired_image,
        *("sh", "-c", 'sh -c "$0" "$@" >/tmp/commit; echo marker >/tmp/done; exec sleep 60'),
        *playground.push_by("sh", "-c", branch=branch)[2:],
        flags=("--user=0",),
        environ=playground.environ,
    )
    waited = engine.execute(container, "sh", "-c", "until [ -s /tmp/done ]; do sleep 0.1; done")
    assert waited.exit_code == 0
    assert playground.forge.commit_of("acme/app", branch)
    tokens = [issued.token for issued in playground.forge.tokens.issued]
    secrets = [playground.cloud.workspace_secret, *tokens]

    assert engine.find(["marker", *secrets], "export", container) == ["marker"]
    assert engine.find(secrets, "save", wired_image) == []
