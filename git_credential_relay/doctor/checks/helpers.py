"""Which credential helpers git asks for a URL, in which order, and what stands in their way."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence

from git_credential_relay.doctor.gitconfig import (
    COMMAND_SCOPE,
    INHERITED_SCOPES,
    Entry,
    about,
    in_force,
    unset_command,
)
from git_credential_relay.doctor.report import Check, fail, ok, warn
from git_credential_relay.doctor.urlmatch import Url
from git_credential_relay.secret import is_plain_command

HELPERS = "helper-order"

PROGRAM = "git-credential-relay"
# Git's own helper that writes passwords into a file as they are.
PLAINTEXT = "store"


def away_command(path: str) -> str:
    """The command that moves a file out of the way, and keeps what was moved there before."""
    return f"mv --backup=numbered {shlex.quote(path)} {shlex.quote(f'{path}.old')}"


def words_of(command: str | None) -> list[str]:
    """The words of a helper's setting, as the shell would split them."""
    text = (command or "").removeprefix("!").strip()
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def is_ours(command: str | None) -> bool:
    """Whether a helper's setting runs us: by path, by name, or by the sidecar's socket."""
    words = words_of(command)
    is_sidecar = words[:1] == ["cache"] and any(f"/{PROGRAM}/" in word for word in words)
    return own_program(command) is not None or is_by_name(command) or is_sidecar


def is_by_name(command: str | None) -> bool:
    """Whether a helper's setting leaves it to PATH which program is us."""
    return words_of(command)[:1] in ([PROGRAM], [PROGRAM.removeprefix("git-credential-")])


def own_program(command: str | None) -> str | None:
    """The path of our launcher in a helper's setting, where it is named by path."""
    for word in words_of(command):
        if word.startswith("/") and os.path.basename(word) == PROGRAM:
            return word
    return None


def _told(entries: Sequence[Entry]) -> str:
    return "; ".join(f"{_shown(entry.value)} in {entry.origin}" for entry in entries)


def _shown(command: str | None) -> str:
    if not command:
        return "a reset (empty value)"
    return command if is_plain_command(command) else "a shell snippet"


def check_helpers(entries: Sequence[Entry], url: Url) -> Iterator[Check]:
    """Whether git asks us first for `url`, and nobody else who would keep our tokens."""
    listed = about(entries, "credential", "helper", url)
    chain = in_force(listed)
    places = [number for number, entry in enumerate(chain) if is_ours(entry.value)]
    place = f"{url.scheme}://{url.address}"
    if not places:
        yield _no_helper_of_ours(entries, listed, place)
        return
    before, after = chain[: places[0]], chain[places[0] + 1 :]
    after = [entry for entry in after if not is_ours(entry.value)]
    plain = [entry for entry in after if words_of(entry.value)[:1] == [PLAINTEXT]]
    after = [entry for entry in after if entry not in plain]
    if before:
        yield _finding(entries, before, place, "helper-in-front")
    if plain:
        yield _finding(entries, plain, place, "plaintext-helper")
    if after:
        yield _finding(entries, after, place, "helper-behind")
    if is_by_name(chain[places[0]].value):
        yield _by_name(chain[places[0]], place)
    elif not (before or plain or after):
        yield ok(HELPERS, f"{place}: {_told(chain)}")


def _no_helper_of_ours(entries: Sequence[Entry], listed: Sequence[Entry], place: str) -> Check:
    last = max((n for n, entry in enumerate(listed) if is_ours(entry.value)), default=None)
    if last is None:
        return fail(
            HELPERS,
            "not-wired",
            f"for {place} git asks {_told(in_force(listed)) or 'nobody'}, and not us",
            install_command(),
        )
    return _finding(entries, listed[last + 1 :], place, "helper-reset")


def _finding(entries: Sequence[Entry], culprits: Sequence[Entry], place: str, code: str) -> Check:
    fix = mend(entries, culprits)
    told = f"for {place}: {_told(culprits)}"
    if all(entry.scope == COMMAND_SCOPE for entry in culprits) and code != "helper-behind":
        return fail(HELPERS, "overridden-by-environment", f"{told}; whom git asks is changed", fix)
    if code == "helper-reset":
        return fail(HELPERS, "helper-reset", f"{told}; git does not ask us any more", fix)
    if code == "helper-in-front":
        return fail(HELPERS, "helper-in-front", f"{told}; it answers before us", fix)
    if code == "plaintext-helper":
        return fail(HELPERS, "plaintext-helper", f"{told}; it writes our tokens to a disk", fix)
    return warn(HELPERS, "helper-behind", f"{told}; it is told our tokens, and may answer", fix)


def mend(entries: Sequence[Entry], culprits: Sequence[Entry]) -> str:
    """The command after which git asks us, and what other hosts have is as it was.

    A line for every host is somebody's own, so ours goes behind it; one for this host alone, or
    for one repository, goes.
    """
    inherited = [entry for entry in culprits if entry.scope in INHERITED_SCOPES]
    if all(entry.subsection is not None for entry in inherited):
        return unset_command(culprits, entries)
    commands = [install_command(is_global=any(e.scope == "global" for e in inherited))]
    others = [entry for entry in culprits if entry not in inherited]
    return " && ".join([*commands, *([unset_command(others, entries)] if others else [])])


def install_command(*options: str, is_global: bool = False) -> str:
    """The command that wires git, for every host of ours that is configured."""
    for_user = ["--global"] if is_global or os.geteuid() != 0 else []
    return " ".join([PROGRAM, "install", *for_user, *options])


def names_us(entries: Sequence[Entry], url: Url) -> bool:
    """Whether we are named as a helper for `url`, if only to be reset again."""
    return any(is_ours(entry.value) for entry in about(entries, "credential", "helper", url))


def _by_name(entry: Entry, place: str) -> Check:
    return warn(
        HELPERS,
        "helper-by-name",
        f"for {place}: {entry.value} in {entry.origin} is looked up on PATH, which others change",
        install_command(),
    )
