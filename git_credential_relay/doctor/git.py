"""Asking git about itself and its configuration, without giving a repository a say.

Only commands that run nothing a repository names: no hooks, no file system monitor.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from git_credential_relay.doctor.gitconfig import Entry, parse_listing
from git_credential_relay.doctor.owner import Owner

GIT_SECONDS = 5.0  # it takes 2 ms, unless it is somebody's script
# They would make git tell more than it was asked for.
_HIDDEN = re.compile(r"GIT_(TRACE.*|CURL_VERBOSE)")
_FOR_OWNERS = frozenset({"PATH"})
_FROM_THE_SYSTEM = ("GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_SYSTEM")

Version = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended; `code` is -1 when it could not be run or took too long."""

    code: int
    out: bytes
    err: str


def run(
    command: list[str],
    environ: Mapping[str, str],
    *,
    cwd: str = "/",
    owner: Owner | None = None,
    seconds: float = GIT_SECONDS,
    stdin: bytes = b"",
) -> Done:
    """Run a command with `stdin` as its input, for at most `seconds`.

    As another user, `owner`, it has nothing of ours: no variables, groups, files or terminal.
    """
    # The owner can read the environment of the process and take hold of its terminal.
    names = _FOR_OWNERS & environ.keys() if owner else environ.keys()
    other: dict[str, object] = {}
    if owner:
        other = {"user": owner.uid, "group": owner.gid, "extra_groups": []}
        other["start_new_session"] = True
    try:
        done = subprocess.run(  # type: ignore[call-overload]
            command,
            env={name: environ[name] for name in names if not _HIDDEN.fullmatch(name)}
            | {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"},
            cwd=cwd,
            input=stdin,
            capture_output=True,
            timeout=seconds,
            check=False,
            **other,
        )
    except subprocess.TimeoutExpired:
        return Done(-1, b"", f"{command[0]} did not answer within {seconds:g} s")
    except (OSError, ValueError) as error:
        return Done(-1, b"", f"{command[0]} cannot be run: {error}")
    return Done(done.returncode, done.stdout, done.stderr.decode("utf-8", "replace"))


def version_in(text: bytes) -> Version | None:
    """The first two numbers of `git version 2.39.5` or `gh version 2.23.0 (…)`."""
    match = re.search(rb"version (\d{1,4})\.(\d{1,4})", text)
    return (int(match[1]), int(match[2])) if match else None


class Git:
    """One git, in one environment."""

    def __init__(self, program: str, environ: Mapping[str, str]) -> None:
        self.program = program
        self.environ = environ

    def run(self, *arguments: str, cwd: str = "/", owner: Owner | None = None) -> Done:
        """Run it in `cwd`."""
        return run([self.program, *arguments], self.environ, cwd=cwd, owner=owner)

    def version(self) -> tuple[Version | None, str]:
        """Its version, and in its own words."""
        done = self.run("--version")
        words = done.out.decode("utf-8", "replace").strip() or done.err.strip()
        return version_in(done.out), words.removeprefix("git version ")

    def entries(self, cwd: str) -> tuple[list[Entry], Done]:
        """Everything that is configured for somebody who works in `cwd`."""
        done = self.run("config", "--list", "--show-origin", "--show-scope", "--null", cwd=cwd)
        return parse_listing(done.out, cwd), done

    def file_entries(self, path: str, scope: str = "local") -> list[Entry]:
        """What one file says, without what it includes; nothing when it cannot be read."""
        done = self.run(
            "config", "--file", path, "--no-includes", "--list", "--show-origin", "--null"
        )
        return parse_listing(done.out, "/", scope)

    def system_file(self) -> str | None:
        """The system's configuration that it was built to read, whatever the environment says."""
        environ = {n: t for n, t in self.environ.items() if n not in _FROM_THE_SYSTEM}
        # `git var GIT_CONFIG_SYSTEM` would need git 2.42; every git tells its editor.
        command = [self.program, "config", "--system", "--edit"]
        path = os.fsdecode(run(command, {**environ, "GIT_EDITOR": "echo"}).out).strip()
        return path if path.startswith("/") else None

    def usual_entries(self) -> tuple[list[Entry], list[Entry]]:
        """What it would read without variables that lead elsewhere: the system's, the user's."""
        system, home = self.system_file(), self.environ.get("HOME", "")
        base = self.environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
        own = [f"{base}/git/config", f"{home}/.gitconfig"]
        entries = [entry for path in own for entry in self.file_entries(path, "global")]
        return self.file_entries(system, "system") if system else [], entries
