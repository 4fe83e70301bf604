"""An agent with our stand-in for gh in front of a real one, and with everything they talk to."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from git_credential_relay.wiring.launcher import launcher_script
from tests.fakes.agent import SECRET, AgentHome, Result, files_with
from tests.fakes.api import Answer, FakeApi, Seen, issues, refuses
from tests.fakes.github import ENTERPRISE, GITHUB, FakeGitHub

DEBIAN_GH = "/usr/bin/gh"
VERSIONS = [
    pytest.param("debian", id="gh-debian"),
    pytest.param("newer", id="gh-newer", marks=pytest.mark.newer_gh),
]


def real_gh(version: str) -> str:
    """The path of the real gh called `version`; skips the test where it is not installed."""
    path = os.environ["NEWER_GH"] if version == "newer" else DEBIAN_GH
    if not os.path.exists(path):
        pytest.skip("needs gh: apt-get install gh")
    return os.path.abspath(path)


class GhAgent(AgentHome):
    """`gh` is what the agent calls; `bare_gh` is the real one, called without us."""

    def __init__(self, root: Path, launcher: Path, api: FakeApi, github: FakeGitHub, real: str):
        super().__init__(root, launcher, api.url)
        self.api = api
        self.github = github
        self.real = root / "real" / "gh"
        self.shim = root / "bin" / "gh"
        for path in (self.real, self.shim):
            path.parent.mkdir()
        self.real.symlink_to(real)
        write_stand_in(self.shim)
        self.environ |= github.environ
        self.environ["PATH"] = f"{self.shim.parent}:{self.real.parent}:/usr/bin:/bin"
        self.environ["XDG_DATA_HOME"] = str(self.home / ".local/share")
        self.environ["XDG_STATE_HOME"] = str(self.home / ".local/state")
        # No host's token is any other's, and every one has one.
        api.script(self._issue)

    def _issue(self, seen: Seen) -> Answer:
        host = seen.fields["host"]
        if host not in self.github.tokens:
            return refuses(404, error="not served", code="HOST_NOT_SERVED")
        return issues(self.github.tokens[host], host=host)

    def gh(
        self,
        *arguments: str,
        stdin: bytes = b"",
        environ: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Result:
        """What the agent sees of `gh`."""
        return self.run([str(self.shim), *arguments], stdin, environ, 40, cwd)

    def bare_gh(
        self, *arguments: str, stdin: bytes = b"", environ: Mapping[str, str] | None = None
    ) -> Result:
        """What the real gh does without us."""
        path = {"PATH": f"{self.real.parent}:/usr/bin:/bin"}
        return self.run([str(self.real), *arguments], stdin, {**path, **(environ or {})}, 40)

    def start_gh(
        self, program: Path, *arguments: str, environ: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """A running `program` (the stand-in or the real gh)."""
        return subprocess.Popen(
            [str(program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**self.environ, **(environ or {})},
            cwd=self.work,
            # Jobs in the background of a shell are started with it ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def checkout(self, url: str, name: str = "checkout", remote: str = "origin") -> Path:
        """A repository with one commit and this remote."""
        directory = self.root / name
        if not directory.exists():
            directory.mkdir()
            for command in (
                ["init", "--quiet"],
                ["commit", "--quiet", "--allow-empty", "--message", "one"],
            ):
                assert self.git(*command, cwd=directory).exit_code == 0
        assert self.git("remote", "add", remote, url, cwd=directory).exit_code == 0
        return directory

    def extension(self, name: str, script: str) -> None:
        """Install a local extension, a shell script."""
        directory = Path(self.environ["XDG_DATA_HOME"], "gh", "extensions", f"gh-{name}")
        directory.mkdir(parents=True)
        program = directory / f"gh-{name}"
        program.write_text("#!/bin/sh\n" + script)
        program.chmod(0o755)

    def asked(self) -> list[tuple[str, str | None]]:
        """Host and repository of each request to the relay API."""
        return [(r.fields["host"], r.fields.get("path")) for r in self.api.requests]


def write_stand_in(path: Path, name: str = "gh") -> None:
    """The launcher called `name` as `install` writes it."""
    path.write_text(launcher_script(sys.executable, name))
    path.chmod(0o755)


def gh_agent(root: Path, launcher: Path, api: FakeApi, github: FakeGitHub, version: str) -> GhAgent:
    """An agent with the gh called `version`, for whom github.com and an Enterprise server are."""
    agent = GhAgent(root, launcher, api, github, real_gh(version))
    agent.environ["GIT_CREDENTIAL_RELAY_HOSTS"] = f"github={ENTERPRISE}"
    agent.environ["GIT_CREDENTIAL_RELAY_FALLBACK"] = "off"
    github.issue(GITHUB)
    github.issue(ENTERPRISE)
    return agent


def assert_kept_to_its_host(agent: GhAgent) -> None:
    """No host has seen another host's token, or a base64 of it; and no file but the cache has."""
    assert_gone(agent)
    for host, token in agent.github.tokens.items():
        basic = base64.b64encode(f"x-access-token:{token}".encode()).decode()
        for request in agent.github.requests:
            if request.host not in (host, f"api.{host}"):
                assert token not in (request.token or "")
                assert basic not in (request.token or "")
                assert token.encode() not in request.body
        for path in files_with(token, agent.root):
            assert path.parent == agent.cache
            assert "." not in path.name
    assert files_with(SECRET, agent.root) == []


def assert_gone(agent: GhAgent) -> None:
    """The private configuration goes a moment after gh."""
    deadline = time.monotonic() + 10
    while private_directories(agent):
        assert time.monotonic() < deadline, "the private configuration is still there"
        time.sleep(0.01)


def private_directories(agent: GhAgent) -> list[Path]:
    """What lies in the cache for one run of gh."""
    return list(agent.cache.glob("git-credential-relay-gh.*"))
