"""An agent's bare environment: nothing of ours but what `install` has made of its home."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from git_credential_relay.demo.shell import Shell
from git_credential_relay.wiring.install import plan_install
from git_credential_relay.wiring.parts import Options, named_forges
from git_credential_relay.wiring.place import user_place

IDENTITY = "Agent <agent@example.com>"


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

    @property
    def values(self) -> dict[str, str]:
        """The lines, but for the secret."""
        return {
            "CLOUD_API_URL": self.cloud_url,
            "WORKSPACE_ID": self.workspace_id,
            "GIT_CREDENTIAL_RELAY_MIN_LIFETIME": str(self.min_lifetime_seconds),
            "GIT_CREDENTIAL_RELAY_FALLBACK": "off",
            **self.more,
        }


class Agent(Shell):
    """Runs real git below `root`, wired by `install` for itself, with a home of its own.

    `interpreter` runs the helper. The settings are in a file, which the one variable of ours
    names: a machine that has a relay of its own must not join in.
    """

    def __init__(self, root: Path, git: str, interpreter: str, settings: RelaySettings) -> None:
        super().__init__(root, git)
        self._machine = root / "etc"
        self.cache_directory = root / "run" / "cache"
        self.secret_file = self._machine / "workspace-token"
        for directory in (self._machine, self.cache_directory.parent):
            directory.mkdir(mode=0o700)
        place = user_place({"HOME": str(self.home), "PATH": str(Path(git).parent)})
        self.helper = f"{place.bin}/git-credential-relay"
        self._relay_env = Path(place.relay_env)
        self._write_relay_env(settings)
        forges = named_forges(settings.forge_url, allow_http=False)
        plan_install(place, Options(forges, forges, interpreter, False, identity=IDENTITY)).apply()

    @property
    def environment(self) -> Mapping[str, str]:
        """Every variable that the agent's commands see."""
        return {
            **super().environment,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CREDENTIAL_RELAY_CONFIG": str(self._relay_env),
        }

    def _write_relay_env(self, settings: RelaySettings) -> None:
        with open(self.secret_file, "x", opener=open_private) as stream:
            stream.write(settings.workspace_secret + "\n")
        values = {
            **settings.values,
            "WORKSPACE_TOKEN_FILE": str(self.secret_file),
            "GIT_CREDENTIAL_RELAY_CACHE_DIR": str(self.cache_directory),
        }
        self._relay_env.parent.mkdir(parents=True)
        self._relay_env.write_text(env_lines(values))


def env_lines(values: Mapping[str, str]) -> str:
    """The text of a relay.env."""
    return "".join(f"{name}={value}\n" for name, value in values.items())


def open_private(path: str, flags: int) -> int:
    """Open a file that, if it is new, is for its owner alone."""
    return os.open(path, flags, 0o600)
