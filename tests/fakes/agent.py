"""An agent's environment in a temporary directory, and the helper run in it as git would."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from git_credential_relay.wiring.launcher import launcher_script

# Whatever holds this part of a token was not meant to.
SECRET = "workspace-secret-5up3r"


@dataclass(frozen=True)
class Result:
    """How a command ended. `seconds` is wall time."""

    exit_code: int
    stdout: bytes
    stderr: str
    seconds: float

    @property
    def attributes(self) -> dict[str, str]:
        """What the answer says, in git's format."""
        lines = self.stdout.decode().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    @property
    def password(self) -> str | None:
        """The password in the answer."""
        return self.attributes.get("password")

    @property
    def is_silent_success(self) -> bool:
        """Whether nothing at all was said: the answer to what is not ours."""
        return (self.exit_code, self.stdout, self.stderr) == (0, b"", "")


def ask(host: str = "github.com", path: str | None = None, **more: str) -> bytes:
    """A request as git writes it."""
    fields = {"protocol": "https", "host": host}
    if path is not None:
        fields["path"] = path
    fields |= more
    return "".join(f"{name}={value}\n" for name, value in fields.items()).encode() + b"\n"


def write_launcher(directory: Path, interpreter: str = sys.executable) -> Path:
    """The helper as `install` would write it, for this interpreter."""
    launcher = directory / "git-credential-relay"
    launcher.write_text(launcher_script(interpreter))
    launcher.chmod(0o755)
    return launcher


class AgentHome:
    """A home, a work tree, a cache and the variables that lead to them, below `root`."""

    def __init__(self, root: Path, launcher: Path, api_url: str | None = None) -> None:
        self.root = root
        self.launcher = launcher
        self.home = root / "home"
        self.work = root / "work"
        self.temporary = root / "tmp"
        self.runtime = root / "runtime"
        self.cache = root / "cache"
        for directory in (self.home, self.work, self.temporary, self.runtime):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.gitconfig = root / "global-gitconfig"
        self.gitconfig.write_text(
            "[user]\n\tname = Agent\n\temail = agent@example.com\n"
            "[init]\n\tdefaultBranch = main\n[protocol]\n\tversion = 2\n"
        )
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / ".config"),
            "XDG_CACHE_HOME": str(self.home / ".cache"),
            "XDG_RUNTIME_DIR": str(self.runtime),
            "TMPDIR": str(self.temporary),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": str(self.gitconfig),
            "GIT_TERMINAL_PROMPT": "0",
            "LC_ALL": "C",
            # The real ones of this machine must neither be read nor written by a test.
            "GIT_CREDENTIAL_RELAY_CACHE_DIR": str(self.cache),
        }
        if api_url is not None:
            self.environ |= {
                "CLOUD_API_URL": api_url,
                "WORKSPACE_ID": "ws-1",
                "WORKSPACE_TOKEN": SECRET,
            }

    def start(
        self, *arguments: str, environ: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """The helper as a running process, with pipes."""
        return subprocess.Popen(
            [str(self.launcher), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**self.environ, **(environ or {})},
            cwd=self.work,
        )

    def helper(
        self,
        *arguments: str,
        stdin: bytes = b"",
        environ: Mapping[str, str] | None = None,
        timeout: float = 30,
    ) -> Result:
        """What the helper answers."""
        return self.run([str(self.launcher), *arguments], stdin, environ, timeout)

    def get(
        self,
        path: str | None = None,
        *arguments: str,
        environ: Mapping[str, str] | None = None,
        **more: str,
    ) -> Result:
        """What the helper answers to a `get` for github.com."""
        request = ask(path=path, **more)
        return self.helper(*arguments, "get", stdin=request, environ=environ)

    def fill(
        self, request: bytes, *settings: str, environ: Mapping[str, str] | None = None
    ) -> Result:
        """What `git credential fill` says with our helper as its first one."""
        options = [f"credential.helper={self.launcher}", *settings]
        command = ["git", *(part for option in options for part in ("-c", option))]
        return self.run([*command, "credential", "fill"], request, environ)

    def git(
        self,
        *arguments: str,
        cwd: Path | None = None,
        environ: Mapping[str, str] | None = None,
        git: str = "git",
    ) -> Result:
        """Git, with what stands in the global configuration."""
        return self.run([git, *arguments], b"", environ, 50, cwd)

    def run(
        self,
        command: list[str],
        stdin: bytes = b"",
        environ: Mapping[str, str] | None = None,
        timeout: float = 30,
        cwd: Path | None = None,
    ) -> Result:
        """Any command in this environment."""
        started = time.monotonic()
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            env={**self.environ, **(environ or {})},
            cwd=cwd or self.work,
            timeout=timeout,
            check=False,
        )
        seconds = time.monotonic() - started
        return Result(done.returncode, done.stdout, done.stderr.decode(errors="replace"), seconds)


def next_helper(directory: Path) -> str:
    """A helper that stands behind ours in git's list and knows everything."""
    script = directory / "next-helper"
    script.write_text(
        '#!/bin/sh\ntest "$1" = get && printf "username=next\\npassword=next-password\\n"\nexit 0\n'
    )
    script.chmod(0o755)
    return f"credential.helper={script}"


def files_below(*directories: Path) -> Iterator[Path]:
    """Every plain file below the directories."""
    for directory in directories:
        if directory.is_dir():
            yield from (p for p in sorted(directory.rglob("*")) if p.is_file())


def files_with(needle: str, *directories: Path) -> list[Path]:
    """The files below the directories that have `needle` in their name or content."""
    wanted = needle.encode()
    return [
        path
        for path in files_below(*directories)
        if wanted in os.fsencode(path.name) or wanted in path.read_bytes()
    ]


def readable_python() -> str | None:
    """An interpreter that any user may run: this one, or else the system's."""
    for path in (os.path.realpath(sys.executable), "/usr/bin/python3"):
        real = os.path.realpath(path)
        if not os.path.exists(real) or not _is_open_to_all(real):
            continue
        check = "import sys; sys.exit(sys.version_info < (3, 11))"
        if subprocess.run([real, "-I", "-c", check], check=False).returncode == 0:
            return path
    return None


def _is_open_to_all(path: str) -> bool:
    parents = Path(path).parents
    return bool(os.stat(path).st_mode & 0o005) and all(os.stat(p).st_mode & 0o001 for p in parents)
