"""Somebody for `doctor` to look at: a wired agent, a relay API, a forge and a clone."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from git_credential_relay.demo.forge import PlaygroundForge
from git_credential_relay.doctor.report import Check, as_json, as_text
from git_credential_relay.doctor.run import examine
from git_credential_relay.wiring.launcher import launcher_script
from tests.fakes.agent import SECRET, AgentHome, write_launcher
from tests.fakes.api import FakeApi, issues

REPOSITORY = "acme/app"
# What a test may plant wherever a secret should not be.
PASSWORD = "c4n4ry-password-in-the-clear"
GH_TOKEN = "gho_C4n4ryC4n4ryC4n4ry0123456789"
GIT = shutil.which("git") or "/usr/bin/git"
# Says that it is newer than it is: what an old git lacks is no matter of the rest.
MODERN_GIT = f"""\
#!/bin/sh
test "$*" = --version && echo "git version ${{PRETENDED_GIT:-2.53.0}}" && exit 0
exec {GIT} "$@"
"""
GH = """\
#!/bin/sh
echo "gh version ${PRETENDED_GH:-2.102.0} (2026-10-01)"
"""


@dataclass
class Patient:
    """An agent with what it needs; a test breaks one thing of it."""

    agent: AgentHome
    api: FakeApi
    forge: PlaygroundForge
    system: Path
    bin: Path
    programs: Path
    clone: Path
    environ: dict[str, str]
    tokens: list[str] = field(default_factory=list)

    @property
    def home(self) -> Path:
        """Its home directory."""
        return self.agent.home

    @property
    def gitconfig(self) -> Path:
        """Its own git configuration."""
        return self.home / ".gitconfig"

    @property
    def url(self) -> str:
        """The clone's remote."""
        return self.forge.url_of(REPOSITORY)

    def examine(self, *, cwd: Path | None = None, **how: object) -> list[Check]:
        """The findings in the clone; none of them may show a secret or steer a terminal."""
        checks = examine(self.environ, {}, str(cwd or self.clone), **how)  # type: ignore[arg-type]
        report = as_json(checks) + as_text(checks)
        for secret in (SECRET, PASSWORD, GH_TOKEN, *self.tokens):
            assert secret not in report
            assert base64.b64encode(f"x-access-token:{secret}".encode()).decode() not in report
        assert all(check.message.isprintable() for check in checks)
        return checks

    def config(self, *arguments: str, file: Path | None = None) -> None:
        """Change the clone's configuration, or that of `file`."""
        target = ["--file", str(file)] if file else ["--file", str(self.clone / ".git" / "config")]
        subprocess.run([GIT, "config", *target, *arguments], check=True, cwd="/")

    def shell(self, script: str) -> None:
        """Run a script in the clone, as somebody who reads the report; `unset` counts too."""
        done = subprocess.run(
            ["sh", "-euc", f"exec 3>&1 >/dev/null\n{script}\nenv -0 >&3"],
            env=self.environ,
            cwd=self.clone,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done
        pairs = [os.fsdecode(line).partition("=") for line in done.stdout.split(b"\0") if line]
        self.environ.clear()
        self.environ.update({name: value for name, _, value in pairs if name != "PWD"})

    def issue(self, *, push: bool = True, repositories: tuple[str, ...] = (REPOSITORY,)) -> str:
        """Let the API give a token of the forge; the token."""
        issued = self.forge.tokens.issue(repositories, push=push, lifetime_seconds=3600)
        self.tokens.append(issued.token)
        self.api.script(
            issues(
                issued.token,
                host=self.forge.host,
                repositories=list(repositories),
                permissions={"contents": "write" if push else "read"},
            )
        )
        return issued.token


@contextmanager
def patient(root: Path, api: FakeApi) -> Iterator[Patient]:
    """A healthy one: every check is ok, or skipped."""
    with PlaygroundForge() as forge:
        own, programs = root / "bin", root / "programs"
        for directory in (own, programs):
            directory.mkdir(parents=True)
        launcher = write_launcher(own)
        python = launcher.read_text().split()[0].removeprefix("#!")
        for path, text in {
            own / "gh": launcher_script(python, "gh"),
            programs / "git": MODERN_GIT,
            programs / "gh": GH,
        }.items():
            path.write_text(text)
            path.chmod(0o755)
        agent = AgentHome(root / "agent", launcher, api.url)
        system = root / "etc-gitconfig"
        system.write_text(system_config(launcher, "https://github.com", forge.url))
        system.chmod(0o644)
        environ = {
            **agent.environ,
            "PATH": f"{own}:{programs}:/usr/bin:/bin",
            "GIT_CONFIG_SYSTEM": str(system),
            "GIT_CREDENTIAL_RELAY_HOSTS": f"github={forge.url}",
            "GIT_CREDENTIAL_RELAY_CACHE_DIR": str(agent.cache),
            "GIT_CREDENTIAL_RELAY_DEADLINE": "5",
        }
        for name in ("GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_GLOBAL"):
            del environ[name]
        forge.create_repository(REPOSITORY)
        clone = agent.work / "app"
        git = [GIT, "init", "--quiet", "--initial-branch=main", str(clone)]
        subprocess.run(git, check=True, cwd="/")
        found = Patient(agent, api, forge, system, own, programs, clone, environ)
        found.config("remote.origin.url", found.url)
        found.issue()
        yield found


def system_config(launcher: Path, *places: str) -> str:
    """The lines that `install` writes."""
    lines = [
        "# begin git-credential-relay",
        "[http]\n\tmaxRetries = 1",
        f"[credential]\n\thelper = {launcher}",
    ]
    lines += [
        f'[credential "{place}"]\n\thelper =\n\thelper = {launcher}\n\tuseHttpPath = true'
        for place in places
    ]
    return "\n".join([*lines, "# end git-credential-relay", ""])
