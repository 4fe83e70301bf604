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
from git_credential_relay.doctor.helper_commands import (
    PROGRAM,
    is_by_name,
    is_ours,
    sidecar_socket,
    words_of,
)
from git_credential_relay.doctor.report import Check, fail, ok, warn
from git_credential_relay.doctor.urlmatch import Url
from git_credential_relay.secret import is_plain_command

HELPERS = "helper-order"
# Git's own helper that writes passwords into a file as they are.
PLAINTEXT = "store"


def away_command(path: str) -> str:
    """The command that moves a file out of the way, and keeps what was moved there before."""
    return f"mv --backup=numbered {shlex.quote(path)} {shlex.quote(f'{path}.old')}"


def _told(entries: Sequence[Entry]) -> str:
    return "; ".join(f"{_shown(entry.value)} in {entry.origin}" for entry in entries)


def _shown(command: str | None) -> str:
    if not command:
        return "a reset (empty value)"
    return command if is_plain_command(command) else "a shell snippet"


def check_helpers(entries: Sequence[Entry], url: Url, socket: str | None = None) -> Iterator[Check]:
    """Whether git asks us first for `url`, and nobody else who would keep our tokens.

    The sidecar at `socket` is us too, in front of our program or alone.
    """
    listed = about(entries, "credential", "helper", url)
    chain = in_force(listed)
    places = [number for number, entry in enumerate(chain) if is_ours(entry.value, socket)]
    place = f"{url.scheme}://{url.address}"
    if not places:
        yield _no_helper_of_ours(entries, listed, place, socket)
        return
    before, after = chain[: places[0]], chain[places[0] + 1 :]
    late = [entry for entry in after if sidecar_socket(entry.value, socket)]
    after = [entry for entry in after if not is_ours(entry.value, socket)]
    plain = [entry for entry in after if words_of(entry.value)[:1] == [PLAINTEXT]]
    after = [entry for entry in after if entry not in plain]
    if before:
        yield _finding(entries, before, place, "helper-in-front", socket)
    if plain:
        yield _finding(entries, plain, place, "plaintext-helper", socket)
    if after:
        yield _finding(entries, after, place, "helper-behind", socket)
    if late and not sidecar_socket(chain[places[0]].value, socket):
        yield _sidecar_late(late, place, socket)
    elif is_by_name(chain[places[0]].value):
        yield _by_name(chain[places[0]], place, socket)
    elif not (before or plain or after):
        yield ok(HELPERS, f"{place}: {_told(chain)}")


def _no_helper_of_ours(
    entries: Sequence[Entry], listed: Sequence[Entry], place: str, socket: str | None
) -> Check:
    own = [number for number, entry in enumerate(listed) if is_ours(entry.value, socket)]
    last = max(own, default=None)
    if last is None:
        return fail(
            HELPERS,
            "not-wired",
            f"for {place} git asks {_told(in_force(listed)) or 'nobody'}, and not us",
            install_command(socket=socket),
        )
    return _finding(entries, listed[last + 1 :], place, "helper-reset", socket)


def _finding(
    entries: Sequence[Entry], culprits: Sequence[Entry], place: str, code: str, socket: str | None
) -> Check:
    fix = mend(entries, culprits, socket)
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


def mend(entries: Sequence[Entry], culprits: Sequence[Entry], socket: str | None = None) -> str:
    """The command after which git asks us, and what other hosts have is as it was.

    A line for every host is somebody's own, so ours goes behind it; one for this host alone, or
    for one repository, goes.
    """
    inherited = [entry for entry in culprits if entry.scope in INHERITED_SCOPES]
    if all(entry.subsection is not None for entry in inherited):
        return unset_command(culprits, entries)
    is_global = any(entry.scope == "global" for entry in inherited)
    commands = [install_command(is_global=is_global, socket=socket)]
    others = [entry for entry in culprits if entry not in inherited]
    return " && ".join([*commands, *([unset_command(others, entries)] if others else [])])


def install_command(*options: str, is_global: bool = False, socket: str | None = None) -> str:
    """The command that wires git, for every host of ours that is configured.

    With a sidecar at `socket` it says so: where nothing was installed yet it would be left out.
    """
    for_user = ["--global"] if is_global or os.geteuid() != 0 else []
    mode = ["--mode", "sidecar", "--socket", shlex.quote(socket)] if socket else []
    return " ".join([PROGRAM, "install", *for_user, *mode, *options])


def names_us(entries: Sequence[Entry], url: Url, socket: str | None = None) -> bool:
    """Whether we are named as a helper for `url`, if only to be reset again."""
    listed = about(entries, "credential", "helper", url)
    return any(is_ours(entry.value, socket) for entry in listed)


def _sidecar_late(late: Sequence[Entry], place: str, socket: str | None) -> Check:
    return warn(
        HELPERS,
        "sidecar-behind",
        f"for {place}: {_told(late)} stands behind our program, which has to be started first for"
        " each command and then asks the sidecar in its place",
        install_command(socket=socket or sidecar_socket(late[0].value)),
    )


def _by_name(entry: Entry, place: str, socket: str | None) -> Check:
    return warn(
        HELPERS,
        "helper-by-name",
        f"for {place}: {entry.value} in {entry.origin} is looked up on PATH, which others change",
        install_command(socket=socket),
    )
