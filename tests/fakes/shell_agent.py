"""An agent where there is no Python: shell programs, real git and gh, a real sidecar, no secret."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from git_credential_relay.config import load
from git_credential_relay.wiring.place import Place, root_place
from git_credential_relay.wiring.programs import gh_program, github_hosts, helper_program
from git_credential_relay.wiring.sidecar import Sidecar, gh_config_yml, gh_hosts_yml
from tests.fakes.agent import Result
from tests.fakes.api import FakeApi, serve_api
from tests.fakes.gh import GhAgent
from tests.fakes.github import ENTERPRISE, GITHUB, FakeGitHub, serve_github
from tests.fakes.sidecar import OTHER_UID, SidecarProcess, workspace_environ

IS_ROOT = os.geteuid() == 0
AS_AGENT = [
    *("/usr/bin/setpriv", f"--reuid={OTHER_UID}", f"--regid={OTHER_UID}", "--clear-groups")
] if IS_ROOT else []  # fmt: skip
HOSTS = {"GIT_CREDENTIAL_RELAY_HOSTS": f"github={ENTERPRISE}"}


class ShellAgent(GhAgent):
    """`launcher` and `shim` are the shell programs; with root it runs under another uid.

    With `gh_socket` its gh is in socket mode, and gh's settings are in `gh_config`.
    """

    def __init__(
        self,
        root: Path,
        api: FakeApi,
        github: FakeGitHub,
        real: str,
        socket: str,
        gh_socket: str | None = None,
    ) -> None:
        super().__init__(root, root / "bin" / "git-credential-relay", api, github, real)
        place = _place(root)
        forges = tuple(load(HOSTS, files=[]).forges)
        self.socket_path = socket
        paths = Sidecar(socket, gh_socket)
        texts = {
            self.launcher: helper_program(place, paths, forges),
            self.shim: gh_program(place, paths, forges),
        }
        if gh_socket is not None:
            directory = Path(place.gh_config)
            texts[directory / "config.yml"] = gh_config_yml(gh_socket)
            texts[directory / "hosts.yml"] = gh_hosts_yml(github_hosts(forges))
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755 if path.parent.name == "bin" else 0o644)
        self.gh_config = Path(place.gh_config)
        for name in list(self.environ):
            if name.startswith(("WORKSPACE_", "CLOUD_API", "GIT_CREDENTIAL_RELAY_")):
                del self.environ[name]
        self.environ["GH_HOST"] = ""
        for directory in (self.home, self.work, self.temporary, self.runtime):
            own(directory)

    def run(
        self,
        command: list[str],
        stdin: bytes = b"",
        environ: Mapping[str, str] | None = None,
        timeout: float = 30,
        cwd: Path | None = None,
    ) -> Result:
        """Any command in this environment, as the agent's user."""
        return super().run([*AS_AGENT, *command], stdin, environ, timeout, cwd)

    def checkout(self, url: str, name: str = "checkout", remote: str = "origin") -> Path:
        """A repository with this remote."""
        directory = self.work / name
        if not directory.exists():
            assert self.git("init", "--quiet", str(directory)).exit_code == 0
        assert self.git("remote", "add", remote, url, cwd=directory).exit_code == 0
        return directory


class ShellWorld:
    """GitHub, a relay API, a sidecar for one agent, and new agents on demand."""

    def __init__(
        self, directory: Path, api: FakeApi, github: FakeGitHub, *, gh_socket: bool
    ) -> None:
        self.directory = directory
        self.api = api
        self.github = github
        environ = {**workspace_environ(api.url), **github.environ, **HOSTS}
        environ["GIT_CREDENTIAL_RELAY_ALLOW_UIDS"] = str(OTHER_UID)
        sockets = directory / "run"
        sockets.mkdir()
        self.sidecar = SidecarProcess(sockets, environ, gh=gh_socket)
        self._gh_socket = str(self.sidecar.gh_socket) if gh_socket else None

    def agent(self, real: str) -> ShellAgent:
        """An agent in directories of its own, before whom nobody has asked for anything."""
        self.api.requests.clear()
        self.github.requests.clear()
        root = Path(tempfile.mkdtemp(dir=self.directory))
        root.chmod(0o755)
        socket = str(self.sidecar.socket)
        return ShellAgent(root, self.api, self.github, real, socket, self._gh_socket)


@contextmanager
def shell_world(*, gh_socket: bool = False) -> Iterator[ShellWorld]:
    """All of it, started; with a socket for gh where its agents' gh are in socket mode."""
    # Not pytest's own: other users have to enter it, and a socket's path has to be short.
    directory = Path(tempfile.mkdtemp(prefix="relay-"))
    directory.chmod(0o755)
    try:
        with serve_api() as api, serve_github(directory) as github:
            for host in (GITHUB, ENTERPRISE):
                github.issue(host)
            world = ShellWorld(directory, api, github, gh_socket=gh_socket)
            with world.sidecar:
                yield world
    finally:
        shutil.rmtree(directory)


def own(path: Path) -> None:
    """Make `path` the agent's."""
    if IS_ROOT:
        os.chown(path, OTHER_UID, OTHER_UID)


def _place(root: Path) -> Place:
    """Where the programs go: they are run where they are written, as in a root of its own."""
    found = vars(root_place(str(root), os.environ["PATH"]))
    own_paths = {
        "root": "",
        "bin": str(root / "bin"),
        "relay_env": str(root / "etc" / "relay.env"),
        "manual": str(root / "man"),
    }
    return Place(**{**found, **own_paths})
