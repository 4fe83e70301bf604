"""Git's own word about its configuration: which files, what is in them, how a value is written."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from git_credential_relay.errors import WiringError
from git_credential_relay.executables import DEFAULT_PATH
from git_credential_relay.secret import printable, redact
from git_credential_relay.wiring.entries import Entries

_GIT_SECONDS = 20
# Nobody's GIT_CONFIG_SYSTEM or NOSYSTEM: what counts is what a scrubbed environment will see.
_ENVIRON = {"PATH": DEFAULT_PATH, "LC_ALL": "C", "GIT_EDITOR": "echo"}


def find_gits(path: str | None) -> list[str]:
    """Every git on PATH and in the usual places, by absolute path, first one first.

    Raises WiringError when there is none.
    """
    found = []
    for directory in [*(path or "").split(os.pathsep), *DEFAULT_PATH.split(os.pathsep)]:
        candidate = os.path.join(directory, "git")
        if directory.startswith("/") and os.access(candidate, os.X_OK):
            found.append(candidate)
    if not found:
        raise WiringError(
            "there is no git here", code="git-missing", hint="apt-get install git, then run this"
        )
    return list(dict.fromkeys(found))


def system_file(git: str) -> str:
    """The system configuration that this git reads: a matter of how it was built."""
    # `git var GIT_CONFIG_SYSTEM` would need git 2.42; every git tells its editor.
    return _run([git, "config", "--system", "--edit"]).strip()


def parse(git: str, text: str) -> Entries:
    """Every key and value in a configuration's text, in order; keys in git's own spelling.

    Raises WiringError for what git cannot parse.
    """
    # By a pipe: there may be secrets in it, which no other file should get to hold.
    command = [git, "config", "--file", "-", "--no-includes", "--list", "--null"]
    listed = _run(command, stdin=text)
    entries = []
    for record in listed.split("\0")[:-1]:
        # A key without a value stands for true.
        key, newline, value = record.partition("\n")
        entries.append((key, value if newline else "true"))
    return entries


def render(git: str, entries: Entries) -> str:
    """The lines that git writes for `entries`: its quoting, its sections."""
    with tempfile.TemporaryDirectory(prefix="git-credential-relay-") as directory:
        path = Path(directory, "config")
        for key, value in entries:
            _run([git, "config", "--file", str(path), "--add", key, value])
        return path.read_text(encoding="utf-8", errors="surrogateescape")


def remove(git: str, text: str, entries: Entries) -> str:
    """The text of a configuration without `entries`, by git's own editing."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - mkdtemp's 0700
    with tempfile.TemporaryDirectory(prefix="git-credential-relay-", dir=memory) as directory:
        path = Path(directory, "config")
        path.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")
        present = parse(git, text)
        for key, value in dict.fromkeys(entry for entry in entries if entry in present):
            _run([git, "config", "--file", str(path), "--fixed-value", "--unset-all", key, value])
        return path.read_text(encoding="utf-8", errors="surrogateescape")


def _run(command: list[str], stdin: str = "") -> str:
    try:
        done = subprocess.run(
            command,
            input=stdin.encode("utf-8", "surrogateescape"),
            capture_output=True,
            env=_ENVIRON,
            cwd="/",  # no repository has a say in this
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WiringError(
            f"{command[0]} cannot be run: {type(error).__name__}", code="git-failed"
        ) from error
    if done.returncode != 0:
        said = printable(redact(done.stderr.decode("utf-8", "replace")))
        raise WiringError(
            f"git config failed: {said}", code="git-failed", hint="mend what git complains about"
        )
    return done.stdout.decode("utf-8", "surrogateescape")
