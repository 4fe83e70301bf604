"""Which git and which gh are here, and what they lack."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from git_credential_relay.doctor.checks.helpers import install_command
from git_credential_relay.doctor.git import Git, Version
from git_credential_relay.doctor.gitconfig import Entry
from git_credential_relay.doctor.helper_commands import is_ours
from git_credential_relay.doctor.report import Check, fail, ok, warn
from git_credential_relay.errors import WiringError
from git_credential_relay.wiring.gitconfig import find_gits

GIT = "git"
OTHER_GITS = "other-gits"

# Of git's own daemon, which a sidecar is not.
_CACHE_TRAP = "it does not know when a token expires, so credential-cache may serve a dead one"
# The first version that has it, and what the ones before lack. Releases: git's release notes.
_GIT_LACKS: tuple[tuple[Version, str], ...] = (
    ((2, 46), "a token refused in mid-command fails that command; the next one gets a fresh one"),
    ((2, 40), _CACHE_TRAP),
    ((2, 31), "it cannot be configured by GIT_CONFIG_COUNT"),
)
# `--show-scope`, without which nobody can tell where a setting comes from.
_OLDEST_GIT = (2, 26)


def check_git(
    git: Git | None, version: Version | None, words: str, socket: str | None = None
) -> Check:
    """The git that is found first, and its version; `socket` is a sidecar's, if one is asked."""
    if git is None:
        return fail(GIT, "git-missing", "there is no git on PATH", "apt-get install --yes git")
    if version is None:
        return fail(GIT, "git-broken", f"{git.program} does not tell its version: {words}")
    if version < _OLDEST_GIT:
        return fail(GIT, "git-too-old", f"{git.program} is {words}; this needs 2.26 or newer")
    lacks = [lack for since, lack in _GIT_LACKS if version < since]
    lacks = [lack for lack in lacks if socket is None or lack != _CACHE_TRAP]
    if lacks:
        return warn(GIT, "git-outdated", f"{git.program} is {words}: {'; '.join(lacks)}")
    return ok(GIT, f"{git.program} is {words}")


def check_other_gits(
    git: Git, entries: Sequence[Entry], socket: str | None = None
) -> Iterator[Check]:
    """Gits built for another prefix read another system file, which may lack our lines."""
    wired = {e.file for e in entries if e.scope == "system" and is_ours(e.value, socket)}
    others = [p for p in _programs(git) if not os.path.samefile(p, git.program)]
    if not wired or not others:
        yield ok(OTHER_GITS, "none that reads another system configuration")
        return
    own = {git.system_file(), *wired}
    missing = []
    for program in others:
        other = Git(program, git.environ)
        file = other.system_file()
        if file in own or file is None:
            continue
        theirs = other.file_entries(file, "system")
        if not any(is_ours(entry.value, socket) for entry in theirs):
            missing.append(f"{program} reads {file}")
    if missing:
        yield warn(
            OTHER_GITS,
            "other-git-not-wired",
            f"{'; '.join(missing)}, which does not name our helper",
            install_command(socket=socket),
        )
    else:
        yield ok(OTHER_GITS, f"{', '.join(others)}: wired too")


def _programs(git: Git) -> list[str]:
    try:
        return find_gits(git.environ.get("PATH"))
    except WiringError:
        return []
