"""The repository somebody stands in: where it is, its remotes and where they really lead."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from git_credential_relay.doctor.git import Git
from git_credential_relay.doctor.gitconfig import Entry, rewritten

_DUBIOUS = re.compile(r"dubious ownership in repository at '(.+)'")
_SUBMODULES = 100  # more than that would be felt


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository: its top, its configuration file and the file's entries.

    `refused` is the directory that git refuses to work in because somebody else owns it.
    """

    top: str
    common_dir: str
    branch: str | None
    refused: str | None = None

    @property
    def config_file(self) -> str:
        """The file that holds its remotes."""
        return os.path.join(self.common_dir, "config")


@dataclass(frozen=True, slots=True)
class Address:
    """One address of a remote: as it is configured, and what git makes of it.

    `rewriter` is the insteadOf entry that changed it. `is_push` tells where pushes go from where
    fetches come; an address may be for both.
    """

    remote: str
    entry: Entry | None
    configured: str
    url: str
    rewriter: Entry | None
    is_push: bool


def find_repository(git: Git, directory: str) -> tuple[Repository | None, str]:
    """The repository that `directory` is in, or None and what git says instead."""
    done = git.run("rev-parse", "--absolute-git-dir", "--git-common-dir", cwd=directory)
    if done.code != 0:
        refused = _DUBIOUS.search(done.err)
        if refused is None:
            return None, done.err.strip()
        return _refused(refused[1]), done.err.strip()
    git_dir, common_dir = os.fsdecode(done.out).rstrip("\n").split("\n", 1)
    common_dir = os.path.normpath(os.path.join(directory, common_dir))
    shown = git.run("rev-parse", "--show-toplevel", cwd=directory)
    top = os.fsdecode(shown.out).rstrip("\n") if shown.code == 0 else ""
    head = git.run("symbolic-ref", "--short", "--quiet", "HEAD", cwd=directory)
    branch = os.fsdecode(head.out).strip() or None
    return Repository(top or git_dir, common_dir, branch), ""


def _refused(path: str) -> Repository:
    git_dir = os.path.join(path, ".git")
    return Repository(path, git_dir if os.path.isdir(git_dir) else path, None, refused=path)


def submodule_configs(repository: Repository) -> list[str]:
    """The configuration files of its submodules, and of theirs."""
    found = []
    for directory, below, files in os.walk(os.path.join(repository.common_dir, "modules")):
        if "HEAD" in files and "config" in files:
            found.append(os.path.join(directory, "config"))
            below[:] = [name for name in below if name == "modules"]
        if len(found) >= _SUBMODULES:
            break
    return found


def addresses(entries: Sequence[Entry]) -> list[Address]:
    """Every address of every remote, with where fetches and pushes really go."""
    found: list[Address] = []
    for remote, settings in _remotes(entries).items():
        urls = [entry for entry in settings if entry.variable == "url" and entry.value]
        pushes = [entry for entry in settings if entry.variable == "pushurl" and entry.value]
        found += [_address(entries, remote, entry, "insteadof", is_push=False) for entry in urls]
        if pushes:
            # pushInsteadOf is not for addresses that are for pushing already.
            found += [_address(entries, remote, e, "insteadof", is_push=True) for e in pushes]
            continue
        aliased = [_address(entries, remote, e, "pushinsteadof", is_push=True) for e in urls]
        aliased = [address for address in aliased if address.rewriter is not None]
        found += aliased or [
            _address(entries, remote, entry, "insteadof", is_push=True) for entry in urls
        ]
    return found


def _remotes(entries: Sequence[Entry]) -> Mapping[str, list[Entry]]:
    remotes: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.section == "remote" and entry.subsection:
            remotes.setdefault(entry.subsection, []).append(entry)
    return remotes


def _address(
    entries: Sequence[Entry], remote: str, entry: Entry, variable: str, *, is_push: bool
) -> Address:
    url, rewriter = rewritten(entries, entry.value or "", variable)
    return Address(remote, entry, entry.value or "", url, rewriter, is_push)


def default_remote(entries: Sequence[Entry], branch: str | None) -> str | None:
    """The remote that a bare `git push` pushes to."""
    for key in _push_keys(branch):
        values = [entry.value for entry in entries if entry.key == key and entry.value]
        if values:
            return values[-1]
    names = list(_remotes(entries))
    return "origin" if "origin" in names or len(names) != 1 else names[0]


def _push_keys(branch: str | None) -> Iterator[str]:
    if branch:
        yield f"branch.{branch}.pushremote"
    yield "remote.pushdefault"
    if branch:
        yield f"branch.{branch}.remote"
