"""The launcher: its text, and that it runs our code and nobody else's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from git_credential_relay.errors import ConfigError
from git_credential_relay.wiring.launcher import launcher_script

PROGRAM = "from git_credential_relay.main import launch\n\nlaunch()\n"
MAIN = """
import sys

def launch():
    print(sys.flags.isolated, sys.argv[0], *sys.argv[1:])
    sys.exit(7)
"""


@pytest.fixture
def interpreter(tmp_path: Path) -> str:
    """An interpreter of its own, in whose packages lies a stand-in for the real package."""
    return make_interpreter(tmp_path / "python")


def make_interpreter(directory: Path) -> str:
    """Make a virtual environment with a stand-in for the package and return its interpreter."""
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", "--symlinks", str(directory)], check=True
    )
    (packages,) = directory.glob("lib/python*/site-packages")
    (packages / "git_credential_relay").mkdir()
    (packages / "git_credential_relay" / "main.py").write_text(MAIN)
    return str(directory / "bin" / "python")


def run(launcher: Path, cwd: Path, **environment: str):
    """Run a launcher by its path."""
    return subprocess.run(
        [str(launcher), "get", "a b"],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def write(directory: Path, interpreter: str) -> Path:
    """Write a launcher where git would find it."""
    launcher = directory / "git-credential-relay"
    launcher.write_text(launcher_script(interpreter))
    launcher.chmod(0o755)
    return launcher


def test_script_has_four_lines():
    """The launcher is a shebang with -I and the call of our entry point."""
    assert launcher_script("/usr/bin/python3") == "#!/usr/bin/python3 -I\n" + PROGRAM


def test_shebang_at_the_kernel_limit_is_kept():
    """A shebang line of exactly 127 bytes is still used, one of 128 is not."""
    longest = "/" + "x" * (127 - len("#! -I") - 1)

    assert launcher_script(longest) == f"#!{longest} -I\n{PROGRAM}"
    assert launcher_script(longest + "x").startswith("#!/bin/sh\n")


@pytest.mark.parametrize(
    "interpreter",
    ["python3", "./python3", "", "/usr/bin/py\nthon", "/usr/bin/py\\thon", "/usr/\0bin/python"],
)
def test_unusable_interpreter_is_refused(interpreter):
    """A relative path or one that cannot stand in a script is refused."""
    with pytest.raises(ConfigError, match="interpreter"):
        launcher_script(interpreter)


def test_launcher_runs_our_entry_point_and_returns_its_status(interpreter, tmp_path):
    """Run by its path, the launcher is isolated, passes its arguments and returns the status."""
    launcher = write(tmp_path, interpreter)
    result = run(launcher, tmp_path)

    assert (result.returncode, result.stderr) == (7, "")
    assert result.stdout == f"1 {launcher} get a b\n"


@pytest.mark.parametrize("name", ["with space", "it's", "n" * 130, "$(id) `id`"])
def test_odd_interpreter_path_runs_too(tmp_path, name):
    """A path that no shebang line can hold runs through the shell, with the same behaviour."""
    launcher = write(tmp_path, make_interpreter(tmp_path / name))
    result = run(launcher, tmp_path)

    assert (result.returncode, result.stderr) == (7, "")
    assert result.stdout == f"1 {launcher} get a b\n"


def test_nothing_is_imported_from_the_work_tree_or_the_environment(interpreter, tmp_path):
    """Modules in the current directory or on PYTHONPATH do not run."""
    launcher = write(tmp_path, interpreter)
    trap = tmp_path / "worktree"
    (trap / "git_credential_relay").mkdir(parents=True)
    (trap / "git_credential_relay" / "main.py").write_text("raise SystemExit(99)")
    (trap / "sitecustomize.py").write_text("import os; os._exit(99)")
    result = run(launcher, trap, PYTHONPATH=str(trap), PYTHONHOME="", HOME=os.devnull)

    assert result.returncode == 7
