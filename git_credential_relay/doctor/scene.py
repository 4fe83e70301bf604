"""Everything the checks look at that needs no network, gathered once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from git_credential_relay.config import Config, load
from git_credential_relay.credential.forge import Forge, Target
from git_credential_relay.doctor.addresses import forge_at, secrets_in, ssh_place, target_of
from git_credential_relay.doctor.git import Done, Git, Version
from git_credential_relay.doctor.gitconfig import Entry, rewritten
from git_credential_relay.doctor.helper_commands import sidecar_socket
from git_credential_relay.doctor.repository import (
    Address,
    Repository,
    addresses,
    default_remote,
    find_repository,
    submodule_configs,
)
from git_credential_relay.doctor.urlmatch import Url, parse_url
from git_credential_relay.errors import RelayError
from git_credential_relay.executables import find_program
from git_credential_relay.secret import Secret
from git_credential_relay.settings import PREFIX, SETTINGS

DEFAULT_URL = "https://github.com"
# A shorter one would be found inside the words of a report.
SHORTEST_SECRET = 8
# Where tools that are not ours find tokens.
_SECRET_VARIABLES = (
    *(setting.name for setting in SETTINGS if setting.is_secret),
    "GH_ENTERPRISE_TOKEN",
    "GITHUB_ENTERPRISE_TOKEN",
)

_FORGE_VARIABLES = (
    PREFIX + "HOSTS",
    PREFIX + "ALLOW_HTTP",
    "GH_HOST",
    "GITLAB_INSTANCE_URL",
    "GITLAB_HOST",
    "FORGE_URL",
)


@dataclass(slots=True)
class Scene:
    """What there is: environment, configuration, git and its settings, repository, addresses.

    `config` is None, and `config_error` says why, where it cannot be loaded. `addresses` are all
    that matter: those of every remote, or the one of `--repo`. `url` is where a push would go,
    as https, and `target` what the helper would be asked for then, None when that is not ours.
    """

    environ: Mapping[str, str]
    directory: str
    config: Config | None
    config_error: RelayError | None
    forges: list[Forge]
    git: Git | None = None
    version: Version | None = None
    version_text: str = ""
    entries: list[Entry] = field(default_factory=list)
    listing: Done | None = None
    repository: Repository | None = None
    no_repository: str = ""
    submodules: dict[str, list[Entry]] = field(default_factory=dict)
    addresses: list[Address] = field(default_factory=list)
    url: str = DEFAULT_URL
    secrets: list[Secret] = field(default_factory=list)

    @property
    def socket(self) -> str | None:
        """Where the sidecar is that our programs, or git's own client, are told to ask."""
        configured = self.config.socket if self.config is not None else None
        return configured or next(iter(self.git_sockets), None)

    @property
    def git_sockets(self) -> list[str]:
        """The sidecars' sockets that git's configuration names for anybody, each once."""
        configured = self.config.socket if self.config is not None else None
        commands = [
            e.value for e in self.entries if (e.section, e.variable) == ("credential", "helper")
        ]
        found = (sidecar_socket(command, configured) for command in commands)
        return list(dict.fromkeys(path for path in found if path is not None))

    @property
    def target(self) -> Target | None:
        """What the helper would be asked for, or None."""
        return target_of(self.forges, self.url)

    @property
    def urls(self) -> list[Url]:
        """The URLs for which git is to ask us: each of our hosts' once, the push's first."""
        texts = [self.url, *(address.url for address in self.addresses)]
        found: dict[tuple[str, str], Url] = {}
        for text in texts:
            url = parse_url(text)
            if url and forge_at(self.forges, url.address, url.scheme):
                found.setdefault((url.scheme, url.address), url)
        return list(found.values())

    def note_secret(self, secret: Secret | None) -> None:
        """Keep `secret` out of everything that is reported."""
        if secret is not None and len(secret.reveal()) >= SHORTEST_SECRET:
            self.secrets.append(secret)


def gather(
    environ: Mapping[str, str], flags: Mapping[str, str], directory: str, repo: str | None
) -> Scene:
    """The scene in `directory`, or, with `repo`, that of a repository that is not here."""
    config, error = _load(environ, flags)
    forges = config.forges if config is not None else _forges_despite(environ)
    scene = Scene(environ, directory if repo is None else "/", config, error, forges)
    for name in _SECRET_VARIABLES:
        scene.note_secret(Secret(environ.get(name, "").strip()))
    if config is not None:
        for setting in SETTINGS:
            if setting.is_secret:
                _note_configured(scene, config, setting.name)
    program = find_program("git", environ.get("PATH"))
    if program is not None:
        scene.git = Git(program, environ)
        scene.version, scene.version_text = scene.git.version()
        _look_at_repository(scene, scene.git, repo)
    for entry in [*scene.entries, *(e for found in scene.submodules.values() for e in found)]:
        for text in (entry.value or "", entry.subsection or ""):
            for secret in secrets_in(text):
                scene.note_secret(secret)
    scene.url = _https(scene, repo)
    return scene


def _load(
    environ: Mapping[str, str], flags: Mapping[str, str]
) -> tuple[Config | None, RelayError | None]:
    try:
        return load(environ, flags), None
    except RelayError as error:
        return None, error


def _forges_despite(environ: Mapping[str, str]) -> list[Forge]:
    """Our hosts as far as they are known where the rest of the configuration is broken."""
    alone = {name: environ[name] for name in _FORGE_VARIABLES if name in environ}
    for variables, files in ((alone, None), (alone, []), ({}, [])):
        try:
            return load({**_homes(environ), **variables}, files=files).forges
        except RelayError:
            continue
    return []


def _homes(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: environ[name] for name in ("HOME", "XDG_CONFIG_HOME") if name in environ}


def _note_configured(scene: Scene, config: Config, name: str) -> None:
    try:
        scene.note_secret(config.secret(name).read())
    except RelayError as error:
        # Whether we need the workspace's own is for the check of the configuration to say.
        if name != "WORKSPACE_TOKEN":
            scene.config_error = scene.config_error or error


def _look_at_repository(scene: Scene, git: Git, repo: str | None) -> None:
    if repo is None:
        scene.repository, scene.no_repository = find_repository(git, scene.directory)
    repository = scene.repository
    top = repository.top if repository else scene.directory
    scene.entries, scene.listing = git.entries(top)
    if repo is not None:
        url, rewriter = rewritten(scene.entries, repo, "pushinsteadof")
        if rewriter is None:
            url, rewriter = rewritten(scene.entries, repo, "insteadof")
        scene.addresses = [Address("--repo", None, repo, url, rewriter, is_push=True)]
    elif repository is not None:
        if repository.refused is not None:
            # Git passes it by; whoever mends the ownership will meet what is in it.
            scene.entries += git.file_entries(repository.config_file)
        scene.submodules = {path: git.file_entries(path) for path in submodule_configs(repository)}
        scene.addresses = addresses(scene.entries)


def _https(scene: Scene, repo: str | None) -> str:
    """Where a push would go; what is not https, as https."""
    branch = scene.repository.branch if scene.repository else None
    remote = default_remote(scene.entries, branch) if repo is None else "--repo"
    pushes = [address for address in scene.addresses if address.is_push]
    chosen = [a for a in pushes if a.remote == remote] or pushes
    if not chosen:
        return DEFAULT_URL
    place = ssh_place(chosen[0].url)
    if place is None:
        return chosen[0].url
    # A port of ssh's says nothing about that of https.
    return f"https://{place[0]}/{place[1]}"
