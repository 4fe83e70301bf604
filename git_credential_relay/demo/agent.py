"""An agent's bare environment: nothing of ours but what the system's git configuration says."""

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_COMMAND_SECONDS = 25
_SHELL_SPECIAL = re.compile(r"([^\w@%+=:,./-])", re.ASCII)


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """What an operator writes into relay.env for one workspace."""

    cloud_url: str
    workspace_id: str
    workspace_secret: str = field(repr=False)
    forge_url: str
    min_lifetime_seconds: int


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How one command of the agent ended."""

    arguments: tuple[str, ...]
    exit_code: int
    stdout: str
    stderr: str

    @property
    def is_ok(self) -> bool:
        """Whether the command succeeded."""
        return self.exit_code == 0


class CommandTimeoutError(Exception):
    """A command of the agent did not end in time and was killed."""


class Agent:
    """Runs real git below `root` with an empty environment and a home of its own.

    `launcher` is the absolute path of the helper; the machine's git configuration, written here
    the way an operator would, is the only thing that mentions it.
    """

    def __init__(self, root: Path, git: str, launcher: Path, settings: RelaySettings) -> None:
        self._git = git
        self._machine = root / "etc"
        self.home = root / "home"
        self.work = root / "work"
        self.cache_directory = root / "run" / "cache"
        self.secret_file = self._machine / "workspace-token"
        self.results: list[CommandResult] = []
        for directory in (self._machine, self.home, self.work, self.cache_directory.parent):
            directory.mkdir(mode=0o700)
        relay_env = self._write_relay_env(settings)
        self.helper = f"{_escape(launcher)} --config {_escape(relay_env)}"
        self._write_git_configuration(settings.forge_url)

    @property
    def environment(self) -> Mapping[str, str]:
        """Every variable that the agent's commands see."""
        return {
            "PATH": str(Path(self._git).parent),
            "HOME": str(self.home),
            "GIT_CONFIG_SYSTEM": str(self._machine / "gitconfig"),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_TERMINAL_PROMPT": "0",
        }

    def git(self, *arguments: str, cwd: Path | None = None) -> CommandResult:
        """Run git as the agent does and keep the result.

        Raises:
            CommandTimeoutError: It did not end in time.
        """
        result = self._run((self._git, *arguments), cwd or self.work)
        self.results.append(result)
        return result

    def _run(self, arguments: tuple[str, ...], cwd: Path) -> CommandResult:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(self.environment),
            cwd=cwd,
            # One group, so that an interrupt ends git's helpers and transports with it.
            start_new_session=True,
        )
        with process:
            try:
                stdout, stderr = process.communicate(timeout=_COMMAND_SECONDS)
            except BaseException as exc:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                if isinstance(exc, subprocess.TimeoutExpired):
                    raise CommandTimeoutError(f"git {arguments[1]} hangs") from exc
                raise
        return CommandResult(
            arguments,
            process.returncode,
            stdout.decode(errors="replace"),
            stderr.decode(errors="replace"),
        )

    def _write_relay_env(self, settings: RelaySettings) -> Path:
        with open(self.secret_file, "x", opener=_open_private) as stream:
            stream.write(settings.workspace_secret + "\n")
        values = {
            "CLOUD_API_URL": settings.cloud_url,
            "WORKSPACE_ID": settings.workspace_id,
            "WORKSPACE_TOKEN_FILE": str(self.secret_file),
            "GIT_CREDENTIAL_RELAY_HOSTS": settings.forge_url,
            "GIT_CREDENTIAL_RELAY_MIN_LIFETIME": str(settings.min_lifetime_seconds),
            "GIT_CREDENTIAL_RELAY_CACHE_DIR": str(self.cache_directory),
            "GIT_CREDENTIAL_RELAY_FALLBACK": "off",
        }
        relay_env = self._machine / "relay.env"
        relay_env.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
        return relay_env

    def _write_git_configuration(self, forge_url: str) -> None:
        # An empty helper first: it drops whatever was configured before for this forge.
        self._configure("--add", f"credential.{forge_url}.helper", "")
        self._configure("--add", f"credential.{forge_url}.helper", self.helper)
        self._configure(f"credential.{forge_url}.useHttpPath", "true")
        # Without it git >= 2.54 repeats a rate-limited request for ever.
        self._configure("http.maxRetries", "1")
        self._configure("user.name", "Agent")
        self._configure("user.email", "agent@example.com")

    def _configure(self, *arguments: str) -> None:
        file = str(self._machine / "gitconfig")
        result = self._run((self._git, "config", "--file", file, *arguments), self._machine)
        if not result.is_ok:
            raise OSError(f"git config failed: {result.stderr.strip()}")


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _escape(path: Path) -> str:
    """Return the path for the shell that git starts.

    With backslashes and not with quotes: only a value that begins with `/` is a path to git.
    """
    return _SHELL_SPECIAL.sub(r"\\\1", str(path))
