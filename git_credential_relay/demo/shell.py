"""A bare environment in which commands are run, and what came of each."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_COMMAND_SECONDS = 60


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


class Shell:
    """Runs real git below `root`, with a home of its own and no variable but `environment`.

    As the user `uid`, who then owns what is in it; None is whoever we are.
    """

    def __init__(self, root: Path, git: str, uid: int | None = None) -> None:
        self._git = git
        self.uid = uid
        self.home = root / "home"
        self.work = root / "work"
        self.results: list[CommandResult] = []
        for directory in (self.home, self.work):
            directory.mkdir(mode=0o700, parents=True)
            if uid is not None:
                os.chown(directory, uid, uid)

    @property
    def environment(self) -> Mapping[str, str]:
        """Every variable that the commands see."""
        return {
            "PATH": str(Path(self._git).parent),
            "HOME": str(self.home),
            "GIT_TERMINAL_PROMPT": "0",
        }

    def git(self, *arguments: str, cwd: Path | None = None) -> CommandResult:
        """Run git as the agent does and keep the result.

        Raises:
            CommandTimeoutError: It did not end in time.
        """
        return self.run(self._git, *arguments, cwd=cwd)

    def run(
        self, *arguments: str, cwd: Path | None = None, more: Mapping[str, str] | None = None
    ) -> CommandResult:
        """Run any command as the agent does and keep the result; `more` are further variables.

        Raises:
            CommandTimeoutError: It did not end in time.
        """
        result = self._run(arguments, cwd or self.work, {**self.environment, **(more or {})})
        self.results.append(result)
        return result

    def _run(
        self, arguments: tuple[str, ...], cwd: Path, environment: Mapping[str, str]
    ) -> CommandResult:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=cwd,
            # One group, so that an interrupt ends git's helpers and transports with it.
            start_new_session=True,
            user=self.uid,
            group=self.uid,
            extra_groups=None if self.uid is None else [],
        )
        with process:
            try:
                stdout, stderr = process.communicate(timeout=_COMMAND_SECONDS)
            except BaseException as exc:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                if isinstance(exc, subprocess.TimeoutExpired):
                    program = Path(arguments[0]).name
                    raise CommandTimeoutError(f"{program} {arguments[1]} hangs") from exc
                raise
        return CommandResult(
            arguments,
            process.returncode,
            stdout.decode(errors="replace"),
            stderr.decode(errors="replace"),
        )
