"""The shell programs as texts: well-formed, known as launchers, and free of names of others."""

import re
import shutil
import subprocess

import pytest

from git_credential_relay.executables import find_program, is_launcher
from git_credential_relay.relay import variables
from git_credential_relay.relay.gh.shim import SETUP_GIT_MESSAGE
from git_credential_relay.wiring import programs
from git_credential_relay.wiring.place import root_place
from git_credential_relay.wiring.sidecar import Sidecar
from tests.fakes.configs import CODEBERG, GITHUB_COM, GITLAB_OWN

PATHS = Sidecar("/run/my relay/git.sock", "/run/gh.sock")


@pytest.fixture(params=["helper_program", "gh_program"])
def text(request, tmp_path):
    """The text of one of the programs."""
    place = root_place(str(tmp_path), "/usr/bin:/bin")
    return getattr(programs, request.param)(place, PATHS, [GITHUB_COM, GITLAB_OWN, CODEBERG])


def test_shellcheck_finds_nothing(text):
    """Not in the whole program as it is installed."""
    if shutil.which("shellcheck") is None:
        pytest.skip("needs shellcheck")
    done = subprocess.run(
        ["shellcheck", "--shell=sh", "-"], input=text, capture_output=True, text=True, check=False
    )

    assert done.stdout == ""


@pytest.mark.parametrize("shell", ["dash", "bash --posix", "busybox sh"])
def test_shells_can_read_it(text, shell):
    """Its syntax is that of every POSIX shell."""
    if shutil.which(shell.split()[0]) is None:
        pytest.skip(f"needs {shell}")
    done = subprocess.run(
        [*shell.split(), "-n"], input=text, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_is_known_as_a_launcher(text, tmp_path):
    """So it is passed over where the program behind it is looked for."""
    for directory in ("one", "two"):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "gh").write_text(text if directory == "one" else "#!/bin/sh\n")
        (tmp_path / directory / "gh").chmod(0o755)

    assert is_launcher(str(tmp_path / "one" / "gh"))
    assert find_program("gh", f"{tmp_path}/one:{tmp_path}/two") == str(tmp_path / "two" / "gh")


def test_every_variable_is_taken_out_of_the_environment_first(text):
    """One that came in exported would carry what is assigned to it, a token, out to gh."""
    assigned = set(re.findall(r"\b(gcr_\w+)=", text))
    assigned |= {
        n for line in re.findall(r"\bread -r (.*?)(?:;| \|\|)", text) for n in line.split()
    }
    constants = set(re.findall(r"^(GCR_\w+)=", text, re.MULTILINE))
    unset = {name for line in re.findall(r"^unset ((?:.*\\\n)*.*)$", text, re.MULTILINE)
             for name in line.replace("\\", "").split()}  # fmt: skip

    assert "gcr_line" in assigned
    assert assigned | constants <= unset
    assert {name for name in unset if name.startswith("gcr_")} >= assigned


def test_agrees_with_the_python_program(tmp_path):
    """The same words about setup-git, and the same count of stand-ins, which both add to."""
    place = root_place(str(tmp_path), "/usr/bin:/bin")
    path = tmp_path / "gh"
    path.write_text(programs.gh_program(place, PATHS, []))
    done = subprocess.run(
        ["sh", path, "auth", "setup-git"], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", SETUP_GIT_MESSAGE)
    assert programs.MAX_DEPTH == variables.MAX_DEPTH
    for name in (variables.MARK, variables.DEPTH, variables.CODESPACES, *variables.UNBOUND_IN_GH):
        assert name in path.read_text()
