"""Reading broker.toml into a BrokerConfig, without any network.

A mistake names file, line and cause, so that a typo is found before an outage hides it.
"""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from git_credential_relay.broker.config.locate import line_of
from git_credential_relay.broker.config.model import (
    BrokerModel,
    ForgejoModel,
    ForgeModel,
    GitHubModel,
    GitLabModel,
    GrantModel,
    StaticModel,
    WorkspaceModel,
    decode,
)
from git_credential_relay.broker.identity.issuers import compile_issuers
from git_credential_relay.broker.identity.rules import compile_identity
from git_credential_relay.broker.policy import Grant, compile_grant, compile_policy
from git_credential_relay.broker.workspace import AcceptedSecret, Workspace
from git_credential_relay.credential.forge import FORGEJO, GITHUB, GITLAB, STATIC, Forge
from git_credential_relay.credential.url import is_loopback, split_url
from git_credential_relay.env_file import read_text
from git_credential_relay.errors import ConfigError, ProtocolError
from git_credential_relay.secret import Secret, printable

MAX_FILE = 16 * 1024 * 1024
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
MIN_SECRET = 8  # characters: the hash of fewer can be tried out in no time


@dataclass(frozen=True, slots=True)
class ForgeEntry:
    """One `[[forge]]`: its unique name, where it is, and its own settings."""

    name: str
    forge: Forge
    api_url: str
    model: ForgeModel

    def serves(self, owner: str) -> bool:
        """Whether it is for repositories of this owner."""
        owners = self.model.owners
        return owners is None or owner.lower() in {known.lower() for known in owners}


@dataclass(frozen=True, slots=True)
class BrokerConfig:
    """The whole configuration, checked. `text` is what it was read from."""

    path: Path
    text: str
    model: BrokerModel
    forges: tuple[ForgeEntry, ...]
    workspaces: dict[str, Workspace]

    def resolve(self, path: str) -> Path:
        """A path of the file, which counts from the file's own directory."""
        return self.path.parent / path

    def read_secret(self, reference: str) -> Secret:
        """The secret in a file, or in the variable that `env:NAME` names.

        Raises ConfigError where there is none.
        """
        return read_secret(self.path.parent, reference)

    def read_url(self, reference: str) -> str:
        """The URL itself, or the one in the variable that `env:NAME` names: it may hold a password.

        Raises ConfigError where there is none.
        """
        return self.read_secret(reference).reveal() if reference.startswith("env:") else reference


def load_config(path: Path) -> BrokerConfig:
    """The configuration in this file. Raises ConfigError with file, line and cause."""
    path = path.absolute()
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}", hint="name it with --config"
        ) from error
    if len(raw) > MAX_FILE:
        raise ConfigError(f"{path} is larger than {MAX_FILE} bytes")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text") from error
    return parse_config(path, text)


def parse_config(path: Path, text: str) -> BrokerConfig:
    """The configuration in `text`, which is the content of `path`.

    Reads the files that hold hashed secrets (a workspace's), and no others. Raises ConfigError.
    """
    try:
        model = decode(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        raise _mistake(path, int(line[1]) if line else None, str(error)) from error
    except msgspec.ValidationError as error:
        cause, _, where = str(error).rpartition(" - at `")
        place = where.removesuffix("`") if cause else "$"
        if unknown := re.search(r"unknown field `([^`]+)`", str(error)):
            place = f"{place}.{unknown[1]}"
        cause = f"{cause or where}" + (f" ({place.removeprefix('$.')})" if cause else "")
        raise _mistake(path, line_of(text, place), cause) from error

    def at(place: str) -> _At:
        return _At(path, text, place)

    def at_grant(workspace: int) -> Callable[[int], _At]:
        return lambda grant: at(f"$.workspace[{workspace}].grant[{grant}]")

    with at("$.listen"):
        split_listen(model.listen)
    if (model.tls_certificate_file is None) != (model.tls_key_file is None):
        with at("$.tls_certificate_file"):
            raise ConfigError("tls_certificate_file and tls_key_file belong together")
    for index in range(len(model.issuer)):
        with at(f"$.issuer[{index}]"):
            compile_issuers(model.issuer[: index + 1], path.parent.joinpath)
    forges: list[ForgeEntry] = []
    for index, forge_model in enumerate(model.forge):
        with at(f"$.forge[{index}]"):
            entry = _forge_entry(forge_model)
            _check_beside(entry, forges)
            forges.append(entry)
    workspaces: dict[str, Workspace] = {}
    for index, workspace_model in enumerate(model.workspace):
        with at(f"$.workspace[{index}]"):
            if workspace_model.id in workspaces:
                raise ConfigError(f"there are two workspaces {workspace_model.id}")
            workspaces[workspace_model.id] = _workspace(
                workspace_model, forges, path.parent, at_grant(index)
            )
            _check_issuers(workspace_model, model)
    return BrokerConfig(path, text, model, tuple(forges), workspaces)


def find_forge(forges: Iterable[ForgeEntry], host: str, integration: str | None) -> ForgeEntry:
    """The forge a grant means. Raises ConfigError where there is none."""
    for entry in forges:
        if integration is not None and entry.name != integration:
            continue
        try:
            if split_host(host, entry.forge.scheme) == entry.forge.host:
                return entry
        except ProtocolError:
            continue
    raise ConfigError(
        f"no forge serves {printable(host)}" + (f" as {integration}" if integration else ""),
        hint="add a [[forge]] with this host, or give the workspace a token of its own",
    )


def grant_of(model: GrantModel, forges: Iterable[ForgeEntry]) -> Grant:
    """The compiled form of a grant. Raises ConfigError."""
    entry = find_forge(forges, model.host, model.integration)
    return compile_grant(
        entry.forge,
        repositories=model.repositories,
        permissions=model.permissions,
        uses=model.uses,
        read_only=model.read_only,
        repository_ids=model.repository_ids,
        integration=model.integration,
        access_level=model.access_level,
    )


def read_secret(directory: Path, reference: str) -> Secret:
    """The secret in a file below `directory`, or in the variable that `env:NAME` names."""
    if reference.startswith("env:"):
        value = os.environ.get(reference[4:], "")
        if not value.strip():
            raise ConfigError(f"{reference}: the variable is not set")
    else:
        path = directory / reference
        value = read_text(str(path), reference)
    value = value.strip()
    if not value:
        raise ConfigError(f"{reference} is empty")
    return Secret(value)


def split_host(host: str, scheme: str) -> str:
    """The host in the one form in which hosts are compared."""
    return split_url(f"{scheme}://{host}")[1]


def split_listen(listen: str) -> tuple[str, int]:
    """Address and port to listen at. Raises ConfigError."""
    host, colon, port = listen.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"not an address to listen at: {listen!r}", hint="127.0.0.1:8750")
    return host.strip("[]"), int(port)


class _At:
    """Adds file and line to a ConfigError that is raised within."""

    def __init__(self, path: Path, text: str, place: str) -> None:
        self._path = path
        self._text = text
        self._place = place

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ProtocolError):
            error = ConfigError(error.message)
        if isinstance(error, ConfigError) and not error.message.startswith(f"{self._path}:"):
            raise _mistake(
                self._path, line_of(self._text, self._place), error.message, error.hint
            ) from error


def _mistake(path: Path, line: int | None, cause: str, hint: str | None = None) -> ConfigError:
    place = f"{path}:{line}" if line else f"{path}:"
    return ConfigError(f"{place}: {printable(cause)}".replace("::", ":"), hint=hint)


def _forge_entry(model: ForgeModel) -> ForgeEntry:
    kind, root_api = _KINDS[type(model)]
    url = model.url
    api_url = None if isinstance(model, StaticModel) else model.api_url
    if url is None:
        if model.host is None:
            raise ConfigError("a forge needs a host or a url")
        # A forge on loopback is one somebody tries this out with.
        of_loopback = bool(api_url and api_url.startswith("http://")) or (
            api_url is None and is_loopback(model.host)
        )
        url = f"{'http' if of_loopback and is_loopback(model.host) else 'https'}://{model.host}"
    scheme, host, root = split_url(url)
    if model.host is not None and split_host(model.host, scheme) != host:
        raise ConfigError(f"host is {model.host}, but url says {host}")
    if root and kind == GITHUB:
        raise ConfigError("GitHub lives at the root of its host")
    forge = Forge(kind, scheme, host, root)
    api_url = (api_url or root_api(forge)).rstrip("/")
    for name, address in (("url", url), ("api_url", api_url)):
        address_scheme, address_host, _ = split_url(address)
        if address_scheme == "http" and not is_loopback(address_host):
            raise ConfigError(f"{name} is http, so anybody in between could read the tokens")
    _check_secrets(model)
    name = model.name or f"{kind}:{host}"
    return ForgeEntry(name, forge, api_url, model)


def _github_api(forge: Forge) -> str:
    if forge.host == "github.com":
        return "https://api.github.com"
    if forge.host.endswith(".ghe.com"):
        return f"https://api.{forge.host}"
    return f"{forge.url}/api/v3"


_KINDS: dict[type, tuple[str, Callable[[Forge], str]]] = {
    GitHubModel: (GITHUB, _github_api),
    GitLabModel: (GITLAB, lambda forge: f"{forge.url}/api/v4"),
    ForgejoModel: (FORGEJO, lambda forge: f"{forge.url}/api/v1"),
    StaticModel: (STATIC, lambda forge: forge.url),
}


def _check_secrets(model: ForgeModel) -> None:
    match model:
        case GitLabModel():
            if (model.token_file is None) == (model.oauth is None):
                raise ConfigError("a gitlab forge needs either token_file or oauth")
            if model.mode not in ("project", "group", "static"):
                raise ConfigError('mode must be "project", "group" or "static"')
            if model.mode == "group" and model.group is None:
                raise ConfigError('mode = "group" needs group, its path or number')
        case ForgejoModel():
            if (model.admin_token_file is None) == (model.password_file is None):
                raise ConfigError("a forgejo forge needs either admin_token_file or password_file")
        case _:
            pass


def _check_beside(entry: ForgeEntry, others: list[ForgeEntry]) -> None:
    for other in others:
        if other.name == entry.name:
            raise ConfigError(
                f"there are two forges {entry.name}", hint='give each a name, as in name = "acme"'
            )
        if other.forge.host == entry.forge.host and (other.forge.kind, other.forge.url) != (
            entry.forge.kind,
            entry.forge.url,
        ):
            # git's request names the host alone, so the token of one could reach the other.
            raise ConfigError(f"two different forges at {entry.forge.host}")


def _check_issuers(workspace: WorkspaceModel, model: BrokerModel) -> None:
    known = {issuer.url for issuer in model.issuer}
    for identity in workspace.identity:
        if identity.issuer not in known:
            raise ConfigError(f"no [[issuer]] has the url {identity.issuer}")


def _workspace(
    model: WorkspaceModel,
    forges: list[ForgeEntry],
    directory: Path,
    at_grant: Callable[[int], _At],
) -> Workspace:
    grants = []
    for index, grant in enumerate(model.grant):
        with at_grant(index):
            grants.append(grant_of(grant, forges))
    workspace = Workspace(
        model.id,
        compile_policy(grants),
        accepted_secrets(directory, model.secret_file, model.secret_sha256),
        model.session_hmac,
        tuple(compile_identity(identity) for identity in model.identity),
    )
    if not (workspace.secrets or workspace.session_hmac or workspace.identities):
        raise ConfigError(
            f"nobody can speak for workspace {model.id}",
            hint="secret_file, secret_sha256, session_hmac or [[workspace.identity]]",
        )
    return workspace


def accepted_secrets(
    directory: Path, files: str | list[str] | None, hashes: str | list[str] | None
) -> tuple[AcceptedSecret, ...]:
    """The hashes of the secrets in files and of those given as hashes. Raises ConfigError."""
    accepted = []
    for file in [files] if isinstance(files, str) else files or []:
        value = read_secret(directory, file).reveal()
        if len(value) < MIN_SECRET:
            raise ConfigError(
                f"the secret in {file} is shorter than {MIN_SECRET} characters",
                hint="openssl rand -hex 32",
            )
        accepted.append(AcceptedSecret(hashlib.sha256(value.encode()).digest()))
    texts = [hashes] if isinstance(hashes, str) else hashes or []
    for text in texts:
        # Checked here: msgspec 0.22 crashes at exit over a pattern in a union of two structs.
        if not _SHA256.fullmatch(text):
            raise ConfigError("secret_sha256 is not the hex of a SHA-256", hint="sha256sum")
    return (*accepted, *(AcceptedSecret(bytes.fromhex(text)) for text in texts))
