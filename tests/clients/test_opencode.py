"""Whatever an opencode that is already running starts, git and gh in it are wired."""

from __future__ import annotations

import shutil
import time
from functools import partial

import pytest

from git_credential_relay.demo.leaks import find_in_files, needles_for
from tests.clients.modes import DIRECT
from tests.clients.opencode import WAYS, wait_until
from tests.clients.short_lived import short_lived

CLONE = "set -eu; git clone --quiet {url} {clone}; cd {clone}\n"
COMMIT = "echo {branch} >file; git add file; git commit --quiet --message {branch}\n"
UNWIRED = "export GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0\n"
PUSH = "git push --quiet origin HEAD:refs/heads/{branch}; git rev-parse HEAD\n"


@pytest.mark.parametrize("way", WAYS)
def test_a_push_arrives(machine, run, way):
    """A clone, a commit and a push, started in each of the ways, need nothing from the server."""
    *said, commit = run(way, CLONE + COMMIT + PUSH, branch=f"by-{way}")

    assert machine.forge.commit_of("acme/app", f"by-{way}") == commit
    if way == "terminal":
        assert said.pop(0).startswith("/dev/pts/")
    assert said == []


@pytest.mark.parametrize("way", WAYS)
def test_a_push_arrives_from_elsewhere(machine, run, way):
    """In another repository than the session's, and with a home directory that does not exist."""
    run(way, CLONE)
    elsewhere = "export HOME=/nonexistent\n" + CLONE + COMMIT + PUSH
    commit = run(way, elsewhere, f"away-{way}", "acme/lib", "../other", within="clone")[-1]

    assert machine.forge.commit_of("acme/lib", f"away-{way}") == commit


@pytest.mark.parametrize("way", WAYS)
def test_without_the_wiring_none_does(machine, run, way):
    """It is the system's configuration that the pushes above rest on: these tests can fail."""
    *_, said = run(way, UNWIRED + "git ls-remote {url} 2>&1")

    assert said.startswith("fatal: could not read Username")


def test_a_push_with_the_next_token(machine, opencode, run):
    """A token that died of age meanwhile is replaced, and the server is the same."""
    # Without a Python to start for each question less time is enough.
    lifetime, min_lifetime = (10, 5) if machine.mode == DIRECT else (5, 2)
    with short_lived(machine, lifetime, min_lifetime) as cloud:
        run("shell", CLONE + COMMIT + PUSH, branch="first")
        [*_, first] = cloud.vends
        used = {request.token_sha256 for request in machine.forge.requests}
        assert first.token_sha256 in used

        assert first.expires_at is not None
        wait_until(partial(has_passed, first.expires_at), 12)
        asked = len(machine.forge.requests)
        commit = run("agent", "cd clone\n" + COMMIT + PUSH, branch="second")[-1]
        later = machine.forge.requests[asked:]

    assert machine.forge.commit_of("acme/app", "second") == commit
    shown = {request.token_sha256 for request in later if request.has_authorization}
    assert shown == {cloud.vends[-1].token_sha256}
    assert first.token_sha256 not in shown
    assert opencode.http.get("/global/health").json()["healthy"]


def test_a_push_after_a_revocation(machine, run):
    """A token that the forge refuses costs the push that showed it, and the next one works."""
    run("shell", CLONE + COMMIT, branch="revoked")
    tokens = [t for t in machine.forge.tokens.issued if t.repositories == {"acme/app"}]
    for token in tokens:
        machine.forge.tokens.revoke_sha256(token.sha256)
    asked = len(machine.forge.requests)
    push = "cd clone; git push --quiet origin HEAD:refs/heads/{branch} 2>&1 && git rev-parse HEAD\n"
    [*_, said] = run("shell", push, branch="revoked")
    if "Authentication failed" in said:  # git before 2.46 asks once
        [*_, said] = run("shell", push, branch="revoked")
    refused = [r.token_sha256 for r in machine.forge.requests[asked:] if r.status == 401]

    assert {token.sha256 for token in tokens} & set(refused)
    assert machine.forge.commit_of("acme/app", "revoked") == said


@pytest.mark.parametrize("way", WAYS)
def test_gh_is_ours(run, way):
    """Also in a login shell, which sets PATH anew; and the real gh is behind it."""
    if shutil.which("gh") is None:
        pytest.skip("gh is not installed")
    *_, path, undone, version = run(
        way, "command -v gh; gh auth setup-git 2>&1; gh --version | head -n 1"
    )

    assert path == "/usr/local/bin/gh"
    assert undone.startswith("git-credential-relay: `gh auth setup-git` left undone")
    assert version.startswith("gh version 2.")


@pytest.mark.parametrize("way", WAYS)
def test_no_environment_tells(machine, opencode, run, way):
    """Neither the server's environment nor that of what it starts has a token or the secret."""
    run(way, CLONE)
    canaries = needles_for(issued(machine))
    inherited = "\n".join(run(way, "env"))

    assert b"OPENCODE_DISABLE_AUTOUPDATE=1" in opencode.environ()
    assert "OPENCODE_DISABLE_AUTOUPDATE=1" in inherited
    assert not [canary for canary in canaries if canary in opencode.environ()]
    assert not [canary for canary in canaries if canary in inherited.encode()]


def test_nothing_that_is_kept_tells(machine, opencode, run):
    """After a push with all that git says of itself, neither the server's log, nor what it keeps
    of its sessions, nor the clones have a token or the secret."""
    trace = "export GIT_TRACE=1 GIT_CURL_VERBOSE=1\n"
    said = run("agent", trace + "{{ " + CLONE + COMMIT + PUSH + "}} 2>&1", branch="traced")
    tokens = issued(machine)

    assert len(tokens) > 1
    assert any("Authorization: Basic <redacted>" in line for line in said)
    files = opencode.home.parent
    assert find_in_files(files, needles_for(tokens)) == ()
    # The search is not blind: it finds the branch, which is no secret, where sessions are kept.
    kept = find_in_files(opencode.home / ".local/share/opencode", [b"refs/heads/traced"])
    assert kept
    assert opencode.log.stat().st_size > 0


def issued(machine):
    """The workspace's secret and every token that there has been."""
    tokens = [issued.token for issued in machine.forge.tokens.issued]
    return [machine.cloud.workspace_secret, *tokens]


def has_passed(moment):
    """Whether the clock shows a later time than `moment`."""
    return time.time() > moment
