"""Where the wiring goes: the whole machine, a root file system being built, or one user."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from git_credential_relay.config import SYSTEM_FILES, user_files
from git_credential_relay.errors import ConfigError, WiringError
from git_credential_relay.executables import find_program
from git_credential_relay.wiring.gitconfig import find_gits, system_file

_MANIFEST = "git-credential-relay/install.json"
# Each with the system file that it reads.
_USUAL_GITS = {
    "/usr/bin/git": "/etc/gitconfig",
    "/usr/local/bin/git": "/usr/local/etc/gitconfig",
}
_LONGEST_CHAIN = 40  # of links, as Linux has it


@dataclass(frozen=True)
class Place:
    """The paths of one installation, as they are called where it will run.

    `root` is what stands in front of them now, empty unless a root file system is being built.
    `git` is the git that writes, `git_inside` the one that will run; `gh` tells whether a real gh
    is there. A `shared` place serves every user, so its files must be readable by all.
    """

    root: str
    git: str
    git_inside: str
    gitconfigs: tuple[str, ...]
    bin: str
    relay_env: str
    manual: str
    manifest: str
    gh: bool
    shared: bool

    @property
    def gh_config(self) -> str:
        """gh's settings in sidecar mode: beside relay.env, where no agent can change them."""
        return f"{os.path.dirname(self.relay_env)}/gh"

    @property
    def anchor(self) -> str:
        """The directory that stands for the whole place: one install at a time may work in it."""
        return self.root or ("/" if self.shared else self.bin.removesuffix("/.local/bin"))

    def real(self, path: str) -> str:
        """Where `path` is now, with its links followed without leaving the root."""
        return resolve(self.root, path)

    def real_link(self, path: str) -> str:
        """Where `path` is now, itself not followed if it is a link."""
        directory, name = os.path.split(path)
        return os.path.join(self.real(directory), name)


def system_place(path: str | None) -> Place:
    """This machine. Every git found on PATH gets its own file. Raises WiringError, ConfigError."""
    if os.geteuid() != 0:
        raise ConfigError(
            "the system's configuration can be written by root alone",
            code="needs-root",
            hint="run this as root while the image is built, or with --global for yourself",
        )
    gits = find_gits(path)
    gitconfigs = dict.fromkeys(system_file(git) for git in gits)
    gh = find_program("gh", path) is not None
    return _shared_place("", gits[0], gits[0], tuple(gitconfigs), gh)


def root_place(root: str, path: str | None) -> Place:
    """The root file system at `root`; its own programs are looked at, none of them is run."""
    if not root or not os.path.isdir(root):  # an unset $ROOT must not mean this machine
        raise ConfigError(
            f"--root: no such directory: {root!r}",
            code="usage",
            hint="give the directory that holds the image's etc and usr",
        )
    root = os.path.realpath(root)
    if root == "/":
        return system_place(path)

    def has(program: str) -> bool:
        return os.path.isfile(resolve(root, program))

    found = {git: file for git, file in _USUAL_GITS.items() if has(git)}
    gitconfigs = found or {"/usr/bin/git": _USUAL_GITS["/usr/bin/git"]}
    gh = any(has(f"{directory}/gh") for directory in ("/usr/local/bin", "/usr/bin"))
    inside = next(iter(gitconfigs))
    return _shared_place(root, find_gits(path)[0], inside, tuple(gitconfigs.values()), gh)


def user_place(environ: Mapping[str, str]) -> Place:
    """One user's own home. Raises ConfigError where there is none."""
    home = environ.get("HOME", "")
    if not home.startswith("/"):
        raise ConfigError("there is no home directory to install into", hint="set HOME")
    if os.stat(home).st_uid != os.geteuid():
        # As root in somebody's home we would follow that user's links.
        raise ConfigError(
            f"{home} belongs to somebody else",
            code="foreign-home",
            hint="run this as its owner",
        )
    path = environ.get("PATH")
    git = find_gits(path)[0]
    state = environ.get("XDG_STATE_HOME", "")
    data = environ.get("XDG_DATA_HOME", "")
    return Place(
        root="",
        git=git,
        git_inside=git,
        gitconfigs=(_global_file(environ, home),),
        bin=f"{home}/.local/bin",
        relay_env=user_files(environ)[0],
        manual=f"{data if data.startswith('/') else f'{home}/.local/share'}/man/man1",
        manifest=f"{state if state.startswith('/') else f'{home}/.local/state'}/{_MANIFEST}",
        gh=find_program("gh", path) is not None,
        shared=False,
    )


def _shared_place(
    root: str, git: str, git_inside: str, gitconfigs: tuple[str, ...], gh: bool
) -> Place:
    return Place(
        root=root,
        git=git,
        git_inside=git_inside,
        gitconfigs=gitconfigs,
        bin="/usr/local/bin",  # the one directory that /etc/profile leaves in front on PATH
        relay_env=SYSTEM_FILES[-1],
        manual="/usr/local/share/man/man1",
        manifest=f"/var/lib/{_MANIFEST}",
        gh=gh,
        shared=True,
    )


def _global_file(environ: Mapping[str, str], home: str) -> str:
    """The file that `git config --global` writes; git-config(1), FILES."""
    if environ.get("GIT_CONFIG_GLOBAL"):
        return environ["GIT_CONFIG_GLOBAL"]
    own = f"{home}/.gitconfig"
    xdg = f"{environ.get('XDG_CONFIG_HOME') or f'{home}/.config'}/git/config"
    return xdg if os.path.exists(xdg) and not os.path.exists(own) else own


def resolve(root: str, path: str) -> str:
    """`path` below `root` with every link followed as it would be inside.

    An absolute link in a root file system must not lead to the same file of this machine.
    Raises WiringError for links without end.
    """
    if not root:
        return os.path.realpath(path)
    done: list[str] = []
    todo = path.split("/")[::-1]
    links = 0
    while todo:
        part = todo.pop()
        if part in ("", "."):
            continue
        if part == "..":
            del done[-1:]
            continue
        here = os.path.join(root, *done, part)
        try:
            is_link = stat.S_ISLNK(os.lstat(here).st_mode)
        except OSError:
            is_link = False
        if not is_link:
            done.append(part)
            continue
        links += 1
        if links > _LONGEST_CHAIN:
            raise WiringError(f"{path} in {root} is a circle of links")
        target = os.readlink(here)
        if target.startswith("/"):
            done = []
        todo += target.split("/")[::-1]
    return str(Path(root, *done))
