"""An agent's bare environment: nothing of ours but what `install` has made of its home."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from git_credential_relay.wiring.install import plan_install
from git_credential_relay.wiring.parts import Options, named_forges
from git_credential_relay.wiring.place import user_place

_COMMAND_SECONDS = 60
_IDENTITY = "Agent <agent@example.com>"


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """What an operator writes into relay.env for one workspace.

    `forge_url` may name the kind of forge, as in gitlab=https://git.example. `more` are further
    lines, as the broker gives them for a new workspace.
    """

    cloud_url: str
    workspace_id: str
    workspace_secret: str = field(repr=False)
    forge_url: str
    min_lifetime_seconds: int
    more: Mapping[str, str] = field(default_factory=dict)


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
    """Runs real git below `root`, wired by `install` for itself, with a home of its own.

    `interpreter` runs the helper. The settings are in a file, which the one variable of ours
    names: a machine that has a relay of its own must not join in.
    """

    def __init__(self, root: Path, git: str, interpreter: str, settings: RelaySettings) -> None:
        self._git = git
        self._machine = root / "etc"
        self.home = root / "home"
        self.work = root / "work"
        self.cache_directory = root / "run" / "cache"
        self.secret_file = self._machine / "workspace-token"
        self.results: list[CommandResult] = []
        for directory in (self._machine, self.home, self.work, self.cache_directory.parent):
            directory.mkdir(mode=0o700, parents=True)
        place = user_place({"HOME": str(self.home), "PATH": str(Path(git).parent)})
        self.helper = f"{place.bin}/git-credential-relay"
        self._relay_env = Path(place.relay_env)
        self._write_relay_env(settings)
        forges = named_forges(settings.forge_url, allow_http=False)
        plan_install(place, Options(forges, forges, interpreter, False, identity=_IDENTITY)).apply()

    @property
    def environment(self) -> Mapping[str, str]:
        """Every variable that the agent's commands see."""
        return {
            "PATH": str(Path(self._git).parent),
            "HOME": str(self.home),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_CREDENTIAL_RELAY_CONFIG": str(self._relay_env),
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

    def _write_relay_env(self, settings: RelaySettings) -> None:
        with open(self.secret_file, "x", opener=_open_private) as stream:
            stream.write(settings.workspace_secret + "\n")
        values = {
            "CLOUD_API_URL": settings.cloud_url,
            "WORKSPACE_ID": settings.workspace_id,
            "WORKSPACE_TOKEN_FILE": str(self.secret_file),
            "GIT_CREDENTIAL_RELAY_MIN_LIFETIME": str(settings.min_lifetime_seconds),
            "GIT_CREDENTIAL_RELAY_CACHE_DIR": str(self.cache_directory),
            "GIT_CREDENTIAL_RELAY_FALLBACK": "off",
            **settings.more,
        }
        self._relay_env.parent.mkdir(parents=True)
        self._relay_env.write_text("".join(f"{name}={value}\n" for name, value in values.items()))


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
