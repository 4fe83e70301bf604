"""A sidecar in a process of its own, and an agent beside it who has no secret and no Python."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from git_credential_relay.demo.agent import IDENTITY, RelaySettings, env_lines
from git_credential_relay.demo.server import ServerProcess
from git_credential_relay.demo.shell import Shell
from git_credential_relay.wiring.install import plan_install
from git_credential_relay.wiring.launcher import launcher_script
from git_credential_relay.wiring.parts import SIDECAR, Options, named_forges
from git_credential_relay.wiring.place import user_place
from git_credential_relay.wiring.sidecar import gh_config_yml, gh_hosts_yml

# Of nobody in particular, as an agent in a container is; the second one is a stranger's.
AGENT_UID, STRANGER_UID = 61001, 61002


def find_other_uid(git: str, directory: Path, uid: int = AGENT_UID) -> int | None:
    """`uid`, if we may run git as that user in this directory; else None."""
    if os.geteuid() != 0:
        return None
    command = [git, "-C", str(directory), "--version"]
    try:
        tried = subprocess.run(
            command, user=uid, group=uid, extra_groups=[], capture_output=True, check=False
        )
    except OSError:
        return None  # this root's users are not numbered so far
    return uid if tried.returncode == 0 else None


class DemoSidecar:
    """`git-credential-relay sidecar` with its files below `directory` and sockets in `served`.

    The secret is in its environment and in no file. `allowed` is the uid that may ask besides
    ours.
    """

    def __init__(
        self, directory: Path, served: Path, settings: RelaySettings, allowed: int | None
    ) -> None:
        self.directory = directory
        self.socket = served / "git.sock"
        self.gh_socket = served / "gh.sock"
        self.secret = settings.workspace_secret
        directory.mkdir(mode=0o700)
        self._program = directory / "git-credential-relay"
        self._program.write_text(launcher_script(sys.executable))
        self._program.chmod(0o700)
        self._config = directory / "sidecar.env"
        callers = {} if allowed is None else {"GIT_CREDENTIAL_RELAY_ALLOW_UIDS": str(allowed)}
        forges = {"GIT_CREDENTIAL_RELAY_HOSTS": f"github={settings.forge_url}"}
        self._config.write_text(env_lines({**settings.values, **forges, **callers}))
        self._process = ServerProcess(directory / "sidecar.log", "ready on ")

    @property
    def pid(self) -> int | None:
        """The process's number while it is there."""
        return self._process.pid

    def start(self) -> None:
        """Begin to answer.

        Raises:
            ServerStartError: It ended at once, or was not ready in time.
        """
        sockets = ["--socket", str(self.socket), "--gh-socket", str(self.gh_socket)]
        environment = {
            "PATH": os.defpath,
            "HOME": str(self.directory),
            "GIT_CREDENTIAL_RELAY_CONFIG": str(self._config),
            "WORKSPACE_TOKEN": self.secret,
        }
        command = [str(self._program), "sidecar", *sockets]
        self._process.start(command, environment, self.directory)

    def kill(self) -> None:
        """End it as a machine that runs out of memory does."""
        self._process.kill()

    def stop(self) -> None:
        """Have it end well."""
        self._process.stop()


class Machine:
    """What `install --mode sidecar` has made in `directory`, as the build of an image does it.

    It belongs to us, and anybody may read it: git is to find it as the system's configuration.
    """

    def __init__(self, directory: Path, git: str, sidecar: DemoSidecar, forge: str) -> None:
        directory.mkdir()
        self.git = git
        self.gitconfig = directory / ".gitconfig"
        self.gh_config = directory / "gh"
        place = user_place({"HOME": str(directory), "PATH": str(Path(git).parent)})
        self.helper = f"{place.bin}/git-credential-relay"
        forges = named_forges(forge, allow_http=False)
        options = Options(
            *(forges, forges, sys.executable, False),
            identity=IDENTITY,
            has_python=False,
            mode=SIDECAR,
            socket=str(sidecar.socket),
        )
        plan_install(replace(place, shared=True), options).apply()
        self.gh_config.mkdir()
        (self.gh_config / "config.yml").write_text(gh_config_yml(str(sidecar.gh_socket)))
        (self.gh_config / "hosts.yml").write_text(gh_hosts_yml([forges[0].host]))
        _open_to_all(directory)


class ResidentAgent(Shell):
    """Runs real git below `root`, on a machine where a sidecar does the rest."""

    def __init__(self, root: Path, machine: Machine, uid: int | None) -> None:
        super().__init__(root, machine.git, uid)
        self.machine = machine

    @property
    def environment(self) -> Mapping[str, str]:
        """Every variable that the agent's commands see: none is of ours."""
        return {**super().environment, "GIT_CONFIG_SYSTEM": str(self.machine.gitconfig)}

    def why(self, url: str) -> str:
        """What the sidecar says about a repository."""
        return self.run(self.machine.helper, "why", url).stdout

    def status(self) -> dict[str, Any]:
        """What the sidecar says of itself."""
        return dict(json.loads(self.run(self.machine.helper, "status", "--json").stdout))


@dataclass
class Residence:
    """A sidecar, the machine beside it, and the agent there; `stranger_uid` is not its user."""

    sidecar: DemoSidecar
    agent: ResidentAgent
    stranger_uid: int | None


def _open_to_all(directory: Path) -> None:
    # Whatever our umask is.
    for path in (directory, *directory.rglob("*")):
        mode = path.stat().st_mode
        path.chmod(mode | (0o055 if path.is_dir() else 0o044 | (mode & 0o100) // 0o100 * 0o011))
