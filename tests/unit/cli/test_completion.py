"""Completion scripts, run by the real shell."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.program import run_program

BIN = Path(sys.executable).parent


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell):
    """It names the program, and the variable by which the shell asks it."""
    done = run_program("completion", shell)

    assert (done.returncode, done.stderr) == (0, "")
    assert "_GIT_CREDENTIAL_RELAY_COMPLETE" in done.stdout


def test_another_shell_is_a_usage_error():
    """With the choices in the message."""
    done = run_program("completion", "tcsh")

    assert done.returncode == 2
    assert "'bash', 'zsh', 'fish'" in done.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["inst"], {"install"}),
        (["unin"], {"uninstall"}),
        (["install", "--ro"], {"--root"}),
        (["token", "--format", "j"], {"json"}),
    ],
)
def test_bash_completes_commands_options_and_values(words, expected):
    """The words that bash offers after the script was sourced as the help says."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash here")
    script = f"""
    PATH={BIN}:$PATH
    eval "$(git-credential-relay completion bash)"
    COMP_WORDS=(git-credential-relay {" ".join(words)}) COMP_CWORD={len(words)}
    _git_credential_relay_completion git-credential-relay
    printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run([bash, "-c", script], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert set(done.stdout.split()) == expected
