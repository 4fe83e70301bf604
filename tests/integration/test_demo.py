"""The demo itself, with real git and the real helper."""

import io
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from git_credential_relay.demo import resident_steps
from git_credential_relay.demo.acts import (
    BrokenPromiseError,
    LeftOutError,
    expect,
    within_a_life,
)
from git_credential_relay.demo.broker import Vend
from git_credential_relay.demo.step import Step
from git_credential_relay.demo.steps import STEPS as DIRECT_STEPS
from git_credential_relay.demo.story import STEPS, run
from git_credential_relay.demo.world import World
from git_credential_relay.main import main


@pytest.fixture(autouse=True)
def temporary_directory(monkeypatch):
    """A directory for temporary files in which leftovers can be seen.

    Every user can enter it, unlike pytest's own, and its path is short enough for a socket's.
    """
    with tempfile.TemporaryDirectory(prefix="demo-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        monkeypatch.setattr(tempfile, "tempdir", name)
        yield directory
        assert list(directory.iterdir()) == []


def step(act) -> Step:
    """Return a step that does what a test wants."""
    return Step("A step", "a promise", act)


@pytest.mark.timeout(180)
def test_every_promise_is_kept():
    """The whole story succeeds in bounded time and leaves no thread behind."""
    threads = set(threading.enumerate())
    out = io.StringIO()
    is_kept = run(out)
    text = out.getvalue()

    assert is_kept, text
    left_out = text.count("- left out: ")
    assert text.count("✓") + left_out == len(STEPS) + 1
    assert left_out <= (os.geteuid() != 0) + (shutil.which("gh") is None)
    assert "ghs_" not in text
    assert "glpat-" not in text
    assert set(threading.enumerate()) == threads
    seconds = float(text.splitlines()[-1].split(" in ")[1].split(" s,")[0])
    assert seconds < 150


@pytest.mark.newer_git
def test_newer_git_recovers_within_the_same_push(monkeypatch):
    """With git >= 2.46 a revoked token is replaced within the push that meets it."""
    newer = Path(os.environ["NEWER_GIT"]).parent
    monkeypatch.setenv("PATH", f"{newer}{os.pathsep}{os.environ['PATH']}")
    out = io.StringIO()
    is_kept = run(out, DIRECT_STEPS[:4])

    assert is_kept, out.getvalue()
    assert "asked again within the same push" in out.getvalue()


def test_broken_promise_fails_the_demo_and_shows_no_secret():
    """A step that is not as promised is told with its evidence, redacted, and the demo fails."""

    def lie(world: World) -> str:
        issued = world.forge.tokens.issue(["acme/app"], push=True, lifetime_seconds=5)
        raise BrokenPromiseError(f"found {issued.token} and {world.broker.admin_secret}")

    out = io.StringIO()
    is_kept = run(out, [step(lie), step(lambda _: "well")])

    assert not is_kept
    assert "✗ a promise\n     but found [secret] and [secret]\n" in out.getvalue()
    assert "✓ a promise\n     well\n" in out.getvalue()
    assert out.getvalue().endswith("✗ 1 of 2 promises broken\n")


@pytest.mark.newer_git
def test_newer_git_recovers_within_the_same_push_beside_a_sidecar(monkeypatch):
    """Git's own client passes on what lets git >= 2.46 ask again within the push."""
    newer = Path(os.environ["NEWER_GIT"]).parent
    monkeypatch.setenv("PATH", f"{newer}{os.pathsep}{os.environ['PATH']}")
    out = io.StringIO()
    first, _, revoked, *_ = resident_steps.STEPS
    is_kept = run(out, [first, revoked])

    assert is_kept, out.getvalue()
    assert "asked again within the same push" in out.getvalue()


@pytest.mark.parametrize("leak", ["file", "output"])
def test_leaked_secret_fails_the_demo(leak):
    """The last search of the sidecar's part finds what the agent can read, and tells no secret."""

    def spill(world: World) -> str:
        assert world.residence is not None
        secret = world.residence.sidecar.secret
        if leak == "output":
            world.agent.run("/bin/echo", secret)
            return ""
        (world.root / "spilled").write_text(secret)
        (world.root / "spilled").chmod(0o644)
        return ""

    out = io.StringIO()
    is_kept = run(out, [resident_steps.STEPS[0], step(spill), resident_steps.STEPS[-1]])

    assert not is_kept
    assert "the agent can read a secret" in out.getvalue()
    assert out.getvalue().endswith("✗ 1 of 3 promises broken\n")


def test_step_that_cannot_be_shown_is_no_broken_promise():
    """It is told in a line, and neither kept nor broken."""

    def leave_out(world: World) -> str:
        raise LeftOutError("no such machine")

    out = io.StringIO()
    is_kept = run(out, [step(leave_out), step(lambda _: "")])

    assert is_kept
    assert "   - left out: no such machine\n" in out.getvalue()
    assert "✓ 1 of 1 promises kept" in out.getvalue()
    assert out.getvalue().endswith("none left behind; 1 could not be shown here\n")


def test_token_that_runs_out_during_a_step_is_no_broken_promise():
    """On a machine too slow for its token's life a step is done again, with a longer one."""
    lives: list[float] = []

    def be_slow(world: World) -> str:
        def act(token: Vend) -> None:
            lives.append(world.hub.lifetime_seconds)
            late = len(lives) == 1
            # As if the first time had taken until the token's end.
            world.now = (lambda: float(token.expires_at or 0)) if late else time.time
            expect(not late, "the broker was asked again")

        within_a_life(world, act)
        return ""

    out = io.StringIO()
    is_kept = run(out, [DIRECT_STEPS[0], step(be_slow)])

    assert is_kept, out.getvalue()
    assert "too slow" in out.getvalue()
    assert len(lives) == 2
    assert lives[1] == 2 * lives[0]


def test_promise_broken_within_a_life_is_broken():
    """Where the token was good all the time a step gets no second chance."""
    tries: list[Vend] = []

    def act(token: Vend) -> None:
        tries.append(token)
        raise BrokenPromiseError("another token was used")

    def lie(world: World) -> str:
        within_a_life(world, act)
        return ""

    out = io.StringIO()
    is_kept = run(out, [DIRECT_STEPS[0], step(lie)])

    assert not is_kept
    assert "another token was used" in out.getvalue()
    assert len(tries) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_everything_is_gone_after_an_error(error):
    """An interrupt or an error in a step reaches the caller, after everything was cleaned up."""
    threads = set(threading.enumerate())

    def fail(world: World) -> str:
        raise error

    with pytest.raises(error):
        run(io.StringIO(), [step(fail)])
    assert set(threading.enumerate()) == threads


def test_missing_git_is_one_clear_line(monkeypatch, tmp_path):
    """Without git the demo says in one line how to get it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    out = io.StringIO()
    is_kept = run(out)

    assert not is_kept
    assert out.getvalue() == "git is not installed: run `apt-get install git`\n"


def test_demo_that_cannot_be_shown_exits_non_zero(tmp_path):
    """A script that runs the demo learns from the exit code that it did not go as promised."""
    executable = Path(sys.executable).with_name("git-credential-relay")
    environ = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run([executable, "demo"], env=environ, capture_output=True, check=False)

    assert done.returncode == 1
    assert b"git is not installed" in done.stdout


@pytest.mark.parametrize("library", ["starlette", "uvicorn", "jwt", "cryptography", "msgspec"])
def test_missing_extra_is_one_clear_line(monkeypatch, capsys, library):
    """Without the broker's libraries the demo says what to install before anything runs."""
    monkeypatch.setitem(sys.modules, library, None)
    code = main(["demo"])
    said = capsys.readouterr()

    assert code == 2
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "[missing-extra]" in said.err
    assert "pip install 'git-credential-relay[broker]'" in said.err
