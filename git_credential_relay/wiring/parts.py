"""What an installation consists of, part by part; a new client or mode adds a part here.

Pure but for asking git how it writes its own configuration.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import files

from git_credential_relay.config import load
from git_credential_relay.credential.forge import Forge
from git_credential_relay.settings import PREFIX
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

HOSTS = PREFIX + "HOSTS"
MANUAL = "git-credential-relay.1"


@dataclass(frozen=True)
class Options:
    """What somebody wants installed.

    `forges` are the hosts that git asks us about, `named` those of them that only this
    installation names. `python` is the interpreter of the launchers. `gh` says whether ours goes
    in front of the real one; None: if there is one.
    """

    forges: tuple[Forge, ...]
    named: tuple[Forge, ...]
    python: str
    gh: bool | None = None
    ssh_to_https: bool = False
    identity: str | None = None


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
    entries: Entries = helper_entries(options.forges, f"{place.bin}/git-credential-relay")
    if options.ssh_to_https:
        entries += rewrite_entries(options.forges)
    if options.identity is not None:
        entries += identity_entries(options.identity)
    block = make_block(render(place.git, entries))
    result.blocks |= dict.fromkeys(place.gitconfigs, block)


def _hosts(place: Place, options: Options, result: Wanted) -> None:
    # Git asks about them, so the helper must know them too.
    if options.named:
        names = ",".join(f"{forge.kind}={forge.url}" for forge in options.named)
        result.blocks[place.relay_env] = make_block(f"{HOSTS}={names}\n")


def _launchers(place: Place, options: Options, result: Wanted) -> None:
    names = ["git-credential-relay", "gh-credential-relay", *(["gh"] if options.gh else [])]
    for name in names:
        result.files[f"{place.bin}/{name}"] = (launcher_script(options.python, name), 0o755)


def _manual(place: Place, options: Options, result: Wanted) -> None:
    # `git credential-relay --help` opens it.
    text = files("git_credential_relay").joinpath("manual", MANUAL).read_text(encoding="utf-8")
    result.files[f"{place.manual}/{MANUAL}"] = (text, 0o644)


PARTS: tuple[Callable[[Place, Options, Wanted], None], ...] = (_git, _hosts, _launchers, _manual)
