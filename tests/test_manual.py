"""The manual page: complete, well-formed, and what `git credential-relay --help` opens."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from git_credential_relay.cli import COMMANDS
from git_credential_relay.config import SYSTEM_FILES
from git_credential_relay.settings import SETTINGS
from tests.fakes.program import EXECUTABLE, run_program

MANUAL = Path(__file__).parents[1] / "git_credential_relay" / "manual" / "git-credential-relay.1"
needs_man = pytest.mark.skipif(shutil.which("man") is None, reason="no man here (apt: man-db)")


def plain() -> str:
    """The page's source without the escapes of its typesetter."""
    return MANUAL.read_text().replace("\\-", "-").replace("\\fR", "").replace("\\fI", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_described(command):
    """In the synopsis and among the commands."""
    synopsis, _, rest = plain().partition(".SH DESCRIPTION")

    assert command in synopsis
    assert f"\n.B {command}\n" in rest or command in ("login", "logout")


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_is_described(setting):
    """With its other spellings, its flag, its default and what it means."""
    entry = plain().split(f"\n.B {setting.name}")[1].split("\n.TP")[0].replace("\\(aq", "'")

    assert setting.meaning in entry
    assert setting.flag in entry
    assert setting.default is None or setting.default in entry
    assert all(name in entry for name in setting.names[1:] if not name.endswith("_FILE"))


@pytest.mark.parametrize(
    "command", ["install", "uninstall", "doctor", "token", "exec", "sidecar", "status"]
)
def test_the_synopsis_has_every_option(command):
    """Each option that the command's own help lists."""
    shown = run_program(command, "--help", COLUMNS="200").stdout
    options = {word.rstrip(",") for word in shown.replace("/", " ").split() if word[:2] == "--"}
    line = next(part for part in plain().splitlines() if f" {command} [" in part)

    assert {option for option in options if option[2:]} - {"--help"} - set(
        line.replace("[", " ").replace("]", " ").split()
    ) == set()


def test_every_file_is_named():
    """The settings files in the order in which they win."""
    text = plain().split(".SH FILES")[1]

    assert [text.index(f".I {path}") for path in SYSTEM_FILES] == sorted(
        text.index(f".I {path}") for path in SYSTEM_FILES
    )


@needs_man
def test_the_page_has_no_mistakes():
    """The typesetter finds nothing to warn about."""
    done = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", str(MANUAL)],
        capture_output=True, text=True, check=False, env={**os.environ, "MANWIDTH": "80"},
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")


@needs_man
def test_git_opens_it(tmp_path):
    """`git credential-relay --help` shows the page that install has put in its place."""
    (tmp_path / "root").mkdir()
    assert run_program("install", "--root", str(tmp_path / "root")).returncode == 0
    pages = tmp_path / "root" / "usr" / "local" / "share" / "man"
    done = subprocess.run(
        ["git", "credential-relay", "--help"],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "PATH": f"{EXECUTABLE.parent}:{os.environ['PATH']}",
            "MANPATH": str(pages),
            "MANPAGER": "cat",
        },
    )

    assert done.returncode == 0, done.stderr
    assert "fresh, short-lived credentials" in done.stdout
