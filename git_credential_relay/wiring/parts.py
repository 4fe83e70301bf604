"""What an installation consists of, part by part; a new client or mode adds a part here.

Pure but for asking git how it writes its own configuration.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import files

from git_credential_relay.config import load
from git_credential_relay.credential.forge import Forge
from git_credential_relay.settings import DEFAULT_SOCKET, PREFIX
from git_credential_relay.wiring.block import make_block
from git_credential_relay.wiring.entries import (
    Entries,
    helper_entries,
    identity_entries,
    rewrite_entries,
)
from git_credential_relay.wiring.gitconfig import render
from git_credential_relay.wiring.launcher import launcher_script
from git_credential_relay.wiring.place import Place
from git_credential_relay.wiring.programs import gh_program, github_hosts, helper_program
from git_credential_relay.wiring.sidecar import (
    Sidecar,
    gh_config_yml,
    gh_hosts_yml,
)

HOSTS = PREFIX + "HOSTS"
SOCKET = PREFIX + "SOCKET"
GH_SOCKET = PREFIX + "GH_SOCKET"
DIRECT, SIDECAR = "direct", "sidecar"
MANUAL = "git-credential-relay.1"


@dataclass(frozen=True)
class Options:
    """What somebody wants installed.

    `forges` are the hosts that git asks us about, `named` those of them that only this
    installation names. `python` is the interpreter of the launchers, where `has_python`. `gh`
    says whether ours goes in front of the real one; None: if there is one. `mode`, `socket` and
    `gh_socket` (empty: none) are as in an earlier install where they are None.
    """

    forges: tuple[Forge, ...]
    named: tuple[Forge, ...]
    python: str
    gh: bool | None = None
    ssh_to_https: bool = False
    identity: str | None = None
    has_python: bool = True
    mode: str | None = None
    socket: str | None = None
    gh_socket: str | None = None

    @property
    def sidecar(self) -> Sidecar | None:
        """The sidecar that git is to ask; None in direct mode."""
        if self.mode != SIDECAR:
            return None
        return Sidecar(self.socket or DEFAULT_SOCKET, self.gh_socket or None)


@dataclass
class Wanted:
    """Blocks in text files of others, and files of our own with their modes."""

    blocks: dict[str, str] = field(default_factory=dict)
    files: dict[str, tuple[str, int]] = field(default_factory=dict)


def named_forges(names: str, *, allow_http: bool) -> tuple[Forge, ...]:
    """The forges in a list as GIT_CREDENTIAL_RELAY_HOSTS has it, but those known anyway.

    Raises ConfigError for what is no forge.
    """
    switch = {PREFIX + "ALLOW_HTTP": "1" if allow_http else "0"}
    known = {forge.url for forge in load({}, files=[]).forges}
    found = load({}, {**switch, HOSTS: names}, files=[]).forges
    return tuple(forge for forge in found if forge.url not in known)


def wanted(place: Place, options: Options) -> Wanted:
    """Everything that `options` come to at `place`. Raises ConfigError, WiringError."""
    result = Wanted()
    for part in PARTS:
        part(place, options, result)
    return result


def _git(place: Place, options: Options, result: Wanted) -> None:
    socket = options.sidecar.socket if options.sidecar else None
    entries: Entries = helper_entries(options.forges, f"{place.bin}/git-credential-relay", socket)
    if options.ssh_to_https:
        entries += rewrite_entries(options.forges)
    if options.identity is not None:
        entries += identity_entries(options.identity)
    block = make_block(render(place.git, entries))
    result.blocks |= dict.fromkeys(place.gitconfigs, block)


def _settings(place: Place, options: Options, result: Wanted) -> None:
    settings = {}
    if options.named:
        # Git asks about them, so the helper must know them too.
        settings[HOSTS] = ",".join(f"{forge.kind}={forge.url}" for forge in options.named)
    if options.sidecar:
        settings[SOCKET] = options.sidecar.socket
        if options.sidecar.gh_socket:
            settings[GH_SOCKET] = options.sidecar.gh_socket
    if settings:
        lines = "".join(f"{name}={value}\n" for name, value in settings.items())
        result.blocks[place.relay_env] = make_block(lines)


def _launchers(place: Place, options: Options, result: Wanted) -> None:
    sidecar, forges = options.sidecar, options.forges
    texts = {}
    if sidecar is not None and not options.has_python:
        texts["git-credential-relay"] = helper_program(place, sidecar, forges)
    else:
        for name in ("git-credential-relay", "gh-credential-relay"):
            texts[name] = launcher_script(options.python, name)
    if options.gh and sidecar is not None:
        # Even where there is Python: it would take as long to start as gh itself.
        texts["gh"] = gh_program(place, sidecar, forges)
    elif options.gh:
        texts["gh"] = launcher_script(options.python, "gh")
    result.files |= {f"{place.bin}/{name}": (text, 0o755) for name, text in texts.items()}


def _gh_settings(place: Place, options: Options, result: Wanted) -> None:
    if not (options.gh and options.sidecar and options.sidecar.gh_socket):
        return
    texts = {
        "config.yml": gh_config_yml(options.sidecar.gh_socket),
        "hosts.yml": gh_hosts_yml(github_hosts(options.forges)),
    }
    result.files |= {f"{place.gh_config}/{name}": (text, 0o644) for name, text in texts.items()}


def _manual(place: Place, options: Options, result: Wanted) -> None:
    # `git credential-relay --help` opens it.
    text = files("git_credential_relay").joinpath("manual", MANUAL).read_text(encoding="utf-8")
    result.files[f"{place.manual}/{MANUAL}"] = (text, 0o644)


PARTS: tuple[Callable[[Place, Options, Wanted], None], ...] = (
    _git,
    _settings,
    _launchers,
    _gh_settings,
    _manual,
)
