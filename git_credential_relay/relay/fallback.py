"""Local sources tried when the API cannot answer: variables, gh's hosts.yml, `gh auth token`.

Each belongs to exactly one host and is never offered to another: a token in an environment
variable says nothing about where it may go (CVE-2024-53858). A source that fails says why and
lets the next one try.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from git_credential_relay.config import Config, SecretSource
from git_credential_relay.credential.credential import Credential
from git_credential_relay.credential.forge import FORGEJO, GITHUB, GITLAB, Forge
from git_credential_relay.env_file import read_text
from git_credential_relay.errors import ConfigError, SourceError
from git_credential_relay.executables import find_program
from git_credential_relay.relay.client.payloads import DEFAULT_HOST
from git_credential_relay.relay.deadline import Deadline
from git_credential_relay.relay.variables import DEPTH, MARK, MAX_DEPTH
from git_credential_relay.secret import Secret, printable, token_sha256
from git_credential_relay.settings import SETTINGS

GITHUB_VARIABLES = ("GH_TOKEN", "GITHUB_TOKEN", "GIT_TOKEN", "GITHUB_CLI_PAT")
GH_SECONDS = 2.0  # it takes 40 ms, unless it is somebody's script
# Not gh's business; and from its own variables it would answer for any enterprise's host.
HIDDEN_FROM_GH = (
    "GH_ENTERPRISE_TOKEN",
    "GITHUB_ENTERPRISE_TOKEN",
    *(name for setting in SETTINGS if setting.is_secret for name in setting.names),
)


class LocalSources:
    """The local sources by name.

    `username` is whom the asker wants to be, where it said so; `refused_sha256` the hash of a
    token that the forge has just refused.
    """

    def __init__(
        self,
        config: Config,
        deadline: Deadline,
        username: str | None = None,
        refused_sha256: str | None = None,
    ) -> None:
        self._config = config
        self._deadline = deadline
        self._username = username
        self._refused_sha256 = refused_sha256
        self._sources: dict[str, Callable[[str, Forge], Credential]] = {
            **dict.fromkeys((*GITHUB_VARIABLES, "GITLAB_TOKEN"), self._from_variable),
            "FORGE_TOKEN": self._from_forge_variable,
            "FORGE_PASS": self._from_forge_variable,
            "hosts.yml": self._from_hosts_yml,
            "gh": self._from_gh,
        }

    def serves(self, name: str, forge: Forge) -> bool:
        """Whether the source called `name` belongs to `forge` at all."""
        if name in GITHUB_VARIABLES:
            return forge.url == f"https://{DEFAULT_HOST}"
        if name in ("GITLAB_TOKEN", "FORGE_TOKEN", "FORGE_PASS"):
            own = self._config.token_host(GITLAB if name == "GITLAB_TOKEN" else FORGEJO)
            return own is not None and forge.url == own.url
        return forge.kind == GITHUB and forge.scheme == "https"

    def find(self, name: str, forge: Forge) -> Credential:
        """The credential that the source called `name` has for `forge`.

        Raises SourceError, or ConfigError for a secret file that cannot be read.
        """
        credential = self._sources[name](name, forge)
        if credential.token_sha256 == self._config.environ.get(MARK):
            # What we gave to gh or a command that git was started by: as old as that.
            raise SourceError("not set, but for a token of ours", code="not-set")
        if credential.token_sha256 == self._refused_sha256:
            raise SourceError("was refused by the forge", code="refused")
        return credential

    def _from_variable(self, name: str, forge: Forge) -> Credential:
        return _credential(name, forge.username, _read(self._config.secret(name)))

    def _from_forge_variable(self, name: str, forge: Forge) -> Credential:
        secret = _read(self._config.secret(name))
        return _credential(name, self._forge_login(forge), secret)

    def _forge_login(self, forge: Forge) -> str:
        """The bot's login: a guessed one next to the right password is a 401 without a reason."""
        token = self._config.secret("FORGE_TOKEN").read()
        login = self._username
        if token is not None:
            from git_credential_relay.relay.client.api import forge_login

            login = (
                forge_login(self._config, forge.url, token, min(5.0, self._deadline.remaining()))
                or login
            )
        if not login:
            raise SourceError(
                "whose it is cannot be found out",
                code="forge-user-unknown",
                hint="set FORGE_TOKEN to a token that may read its own user,"
                " or name the user in the remote's URL",
            )
        return login

    def _from_hosts_yml(self, name: str, forge: Forge) -> Credential:
        """gh's own file: `oauth_token` of gh, `token` of agent-relay's scripts."""
        import yaml  # the variables do not need it

        problem = SourceError("no file", code="no-file")
        for path in _hosts_yml_paths(self._config):
            if not path.exists():
                continue
            try:
                text = read_text(str(path), name)
                # Texts, lists and maps alone: a date elsewhere in the file must not matter.
                hosts = yaml.load(text, yaml.BaseLoader)  # noqa: S506
            except (ConfigError, ValueError, RecursionError, yaml.YAMLError) as error:
                problem = SourceError(
                    f"cannot be read: {type(error).__name__}", code="unreadable-file"
                )
                continue
            host = hosts.get(forge.host) if isinstance(hosts, dict) else None
            host = host if isinstance(host, dict) else {}
            for field in ("oauth_token", "token"):
                token = host.get(field)
                if isinstance(token, str) and (secret := _usable(token)):
                    return _credential(name, forge.username, secret)
            problem = SourceError("no token found", code="no-token")
        raise problem

    def _from_gh(self, name: str, forge: Forge) -> Credential:
        environ = dict(self._config.environ)
        gh = find_program("gh", environ.get("PATH"))  # the shim would ask us again
        if gh is None:
            raise SourceError("not installed", code="not-installed")
        for variable in HIDDEN_FROM_GH:
            environ.pop(variable, None)
        environ[DEPTH] = str(MAX_DEPTH)  # it may be a script that calls our stand-in
        seconds = min(GH_SECONDS, self._deadline.remaining())
        if seconds < 0.1:
            raise SourceError("no time left", code="deadline-exceeded")
        try:
            status, out, err = _run(
                [gh, "auth", "token", "--hostname", forge.host], environ, seconds
            )
        except subprocess.TimeoutExpired as error:
            raise SourceError("did not answer in time", code="gh-timeout") from error
        except OSError as error:
            raise SourceError(f"cannot be run: {error.strerror}", code="gh-failed") from error
        secret = _usable(out.decode("utf-8", "replace").strip())
        if status != 0 or secret is None:
            said = printable(err.decode("utf-8", "replace"), 120)
            raise SourceError(f"no token{': ' if said else ''}{said}", code="no-token")
        return _credential(name, forge.username, secret)


def _run(command: list[str], environ: dict[str, str], seconds: float) -> tuple[int, bytes, bytes]:
    """Exit code, output and error output of a command that is gone, with all it started, after
    `seconds`. Raises subprocess.TimeoutExpired, OSError."""
    with subprocess.Popen(
        command,
        env=environ,
        cwd="/",  # gh reads the repository it stands in, which is not to be trusted
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=seconds)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, out, err


def _read(source: SecretSource) -> Secret:
    secret = source.read()
    if secret is None:
        raise SourceError("not set", code="not-set")
    return secret


def _usable(text: str) -> Secret | None:
    if text in ("", "null", "seed-me") or not text.isascii() or not text.isprintable():
        return None
    return None if " " in text else Secret(text)


def _credential(source: str, username: str | None, secret: Secret) -> Credential:
    return Credential(
        username or "x-access-token",
        secret,
        token_sha256=token_sha256(secret),
        fetched_at=time.time(),
        source=source,
    )


def _hosts_yml_paths(config: Config) -> list[Path]:
    """Where gh may keep its hosts.yml, best first."""
    environ = config.environ
    bases = [environ.get("GH_CONFIG_DIR", "")]
    if environ.get("XDG_CONFIG_HOME"):
        bases.append(environ["XDG_CONFIG_HOME"] + "/gh")
    if environ.get("HOME"):
        bases.append(environ["HOME"] + "/.config/gh")
    # A relative path would be looked up in the work tree.
    return [Path(base, "hosts.yml") for base in dict.fromkeys(bases) if base.startswith("/")]
