"""A broker to try out: its files in one directory, and a GitHub of its own beside it.

`broker serve --playground DIR` runs it. The forge lives in the broker's process: what is in its
repositories, and every token, is gone when that ends. The directory stays.
"""

import contextlib
import os
import secrets
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from git_credential_relay.broker.config.load import BrokerConfig, load_config
from git_credential_relay.broker.config.model import GitHubModel
from git_credential_relay.demo.backend import GitMissingError
from git_credential_relay.demo.forge import PlaygroundForge
from git_credential_relay.demo.github import PlaygroundGitHub
from git_credential_relay.demo.github_jwt import generate_app_key, public_key_of
from git_credential_relay.errors import CommandNotFoundError, ConfigError, RelayError

REPOSITORIES = ("acme/app", "acme/lib", "acme/payroll")
_PERMISSIONS = {"contents": "write", "issues": "write", "pull_requests": "write"}
_ADDRESS = "127.0.0.1"
CONFIG = """\
# A broker to try out. A GitHub is part of it: acme/app, acme/lib and acme/payroll are made anew
# at each start, and an App with the key below is installed for all of them.
listen = "127.0.0.1:8750"
database = "sqlite:///broker.db"
audit_file = "audit.ndjson"

# Who may make workspaces: `broker workspace` reads the secret when --config names this file.
[admin]
secret_file = "admin.secret"

# For github.com: host = "github.com", no api_url, and the id and the key of an App of your own.
# Another port here is the one at which the playground's GitHub will listen.
[[forge]]
kind = "github"
host = "127.0.0.1:8751"
api_url = "http://127.0.0.1:8751"
app_id = "12345"
private_key_file = "app.pem"

# Workspaces are made by `broker workspace create`, or stand here:
# [[workspace]]
# id = "w1"
# secret_file = "w1.secret" # openssl rand -hex 32 >w1.secret
# [[workspace.grant]]
# host = "127.0.0.1:8751"
# repositories = ["acme/app", "acme/lib*"]
# permissions = { contents = "write", pull_requests = "write" }
"""
_NEXT = """\
A GitHub to play with is at {forge}, with {repositories}.
Once the broker is listening, make a workspace and push with it, from another terminal:

  git-credential-relay broker workspace create {forge}/acme/app.git \\
    --config {config}{url} --write-env {env}

  export GIT_CREDENTIAL_RELAY_CONFIG={full_env} && \\
    git clone -c credential.helper= -c credential.helper=relay -c credential.useHttpPath=true \\
      -c user.name=agent -c user.email=agent@example.com {forge}/acme/app.git {clone} && \\
    git -C {clone} commit --allow-empty --message hello && git -C {clone} push

"""


@dataclass(frozen=True, slots=True)
class Playground:
    """Files for a broker in `directory`, and the running forge that they name."""

    directory: Path
    config: BrokerConfig
    forge: PlaygroundForge

    def explain(self, listen: str | None = None) -> str:
        """What to do next, as commands; `listen` where the broker is not where its file says."""
        env = self.directory / "relay.env"
        return _NEXT.format(
            forge=self.forge.url,
            repositories=", ".join(REPOSITORIES),
            config=shlex.quote(str(self.directory / self.config.path.name)),
            url=f" --url {shlex.quote(f'http://{listen}')}" if listen else "",
            env=shlex.quote(str(env)),
            full_env=shlex.quote(str(env.absolute())),
            clone=shlex.quote(str(self.directory / "app")),
        )


@contextlib.contextmanager
def open_playground(directory: Path) -> Iterator[Playground]:
    """Write what is missing in `directory`, and run its forge until the context ends.

    Raises ConfigError for a directory or a broker.toml that is of no use, RelayError where the
    forge cannot listen, CommandNotFoundError without git.
    """
    _prepare(directory)
    config = load_config(directory / "broker.toml")
    model = _get_github(config)
    pem = config.read_secret(model.private_key_file).reveal()
    try:
        public_key = public_key_of(pem)
    except ValueError as error:
        raise ConfigError(
            f"{config.resolve(model.private_key_file)} holds no key of an App",
            hint="remove it, and the playground makes a new one",
        ) from error
    with _start_forge(model.host) as forge:
        hub = PlaygroundGitHub(forge, public_key, app_id=str(model.app_id))
        for repository in REPOSITORIES:
            hub.add_repository(repository)
        hub.install("acme", _PERMISSIONS)
        forge.api = hub
        yield Playground(directory, config, forge)


def _prepare(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        info = directory.stat()
        # What comes next are an App's key, an administrator's secret and a database.
        if info.st_uid != os.geteuid() or info.st_mode & 0o077:
            raise ConfigError(
                f"{directory} is open to others",
                hint=f"chmod 700 {directory}, or name one that is not there yet",
            )
        # A work tree may be around it, and its secrets must not be added to that by mistake.
        _write_missing(directory / ".gitignore", lambda: "*\n")
        _write_missing(directory / "app.pem", lambda: generate_app_key()[0])
        _write_missing(directory / "admin.secret", lambda: secrets.token_hex(32) + "\n")
        _write_missing(directory / "broker.toml", lambda: CONFIG)
    except OSError as error:
        raise ConfigError(
            f"cannot make a playground in {directory}: {(error.strerror or str(error)).lower()}"
        ) from error


def _write_missing(path: Path, make: Callable[[], str]) -> None:
    if os.path.lexists(path):
        return
    content = make()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:
        file.write(content)


def _get_github(config: BrokerConfig) -> GitHubModel:
    for entry in config.forges:
        is_here = entry.forge.url.startswith(f"http://{_ADDRESS}:")
        if is_here and isinstance(entry.model, GitHubModel):
            return entry.model
    raise ConfigError(
        f"{config.path} has no GitHub at a port of {_ADDRESS} for the playground to be",
        hint="move the file away, and the playground writes a new one",
    )


def _start_forge(host: str) -> PlaygroundForge:
    try:
        return PlaygroundForge(port=int(host.rpartition(":")[2]))
    except GitMissingError as error:
        raise CommandNotFoundError("git is not installed", hint="apt-get install git") from error
    except OSError as error:
        raise RelayError(
            f"cannot listen at {host}: {(error.strerror or str(error)).lower()}",
            code="cannot-listen",
            hint="end what listens there, or change the forge's port in the playground's "
            "broker.toml",
        ) from error
