"""Text files of others that get our block: git's configuration and relay.env."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from git_credential_relay.credential.forge import Forge
from git_credential_relay.errors import WiringError
from git_credential_relay.secret import redact
from git_credential_relay.wiring import block, files
from git_credential_relay.wiring.change import Change, Step, entry_changes
from git_credential_relay.wiring.entries import Entries, origins
from git_credential_relay.wiring.gitconfig import parse, render
from git_credential_relay.wiring.manifest import EditedFile
from git_credential_relay.wiring.place import Place


def edit(
    place: Place,
    path: str,
    ours: str,
    before: EditedFile | None,
    forges: Iterable[Forge],
    notes: list[str],
) -> tuple[EditedFile, list[Step]]:
    """The record of a file that gets our block, and the step if it needs one."""
    real = place.real(path)
    text, mode = files.read_text(real), files.mode_of(real)
    theirs = _theirs(place, path, text or "", before.block if before else None, notes)
    record = before or EditedFile(
        existed=text is not None,
        mode=mode,
        newline=bool(theirs) and not theirs.endswith("\n"),
        block=ours,
    )
    record = replace(record, block=ours)
    is_git = path in place.gitconfigs
    new = block.append(theirs, ours)
    new_mode = 0o644 if mode is None else mode
    if is_git:
        others = parse(place.git, theirs)
        notes += _helper_notes(path, others, forges)
        if place.shared and not new_mode & stat.S_IROTH:
            new_mode = _opened(path, new_mode, others)
    if new == text and new_mode == mode:
        return record, []
    changes = _text_changes(place, path, text or "", new)
    if mode is not None and new_mode != mode:
        changes.append(Change(f"{path}: mode", f"{mode:04o}", f"{new_mode:04o}"))
    return record, [Step(tuple(changes), partial(files.write_text, real, new, new_mode))]


def _opened(path: str, mode: int, entries: Entries) -> int:
    """The mode with which everybody can read git's configuration.

    Without that, every git of another user dies of it. Raises WiringError where it would show
    somebody's secret.
    """
    for key, value in entries:
        if key.endswith(".extraheader") or redact(value) != value or redact(key) != key:
            raise WiringError(
                f"{path} is closed to other users and holds what looks like a secret",
                code="would-expose-secret",
                hint=f"take {redact(key)} out of it, or open the file yourself",
            )
    return mode | stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH


def _text_changes(place: Place, path: str, old: str, new: str) -> list[Change]:
    if path in place.gitconfigs:
        changes = list(entry_changes(path, parse(place.git, old), parse(place.git, new)))
    else:
        changes = list(entry_changes(path, settings_in(old), settings_in(new)))
    # The same entries in another order: our block goes back to the end.
    return changes or [Change(f"{path}: our block", "not at the end", "at the end")]


def settings_in(text: str) -> Entries:
    """The names and values in the text of a relay.env."""
    pairs = [line.partition("=") for line in text.splitlines() if "=" in line]
    return [(name, value) for name, _, value in pairs if not name.startswith("#")]


def _helper_notes(path: str, entries: Entries, forges: Iterable[Forge]) -> list[str]:
    ours = origins(forges)
    notes = []
    for key, value in entries:
        if not (key.startswith("credential.") and key.endswith(".helper")) or not value:
            continue
        origin = key.removeprefix("credential.").removesuffix("helper").rstrip("./")
        fate = "not asked for it any more" if origin in ours else "kept for other hosts"
        notes.append(f"{path} has {key} = {redact(value)}: {fate}")
    return notes


def unedit(place: Place, path: str, edited: EditedFile, notes: list[str]) -> list[Step]:
    """The step that takes our block out of a file again."""
    real = place.real(path)
    text = files.read_text(real)
    if text is None:
        return []
    theirs = _theirs(place, path, text, edited.block, notes)
    if edited.newline and text == block.append(theirs, edited.block):
        theirs = theirs.removesuffix("\n")
    changes = tuple(_text_changes(place, path, text, theirs)) if theirs != text else ()
    if not edited.existed and not theirs:
        return [Step(changes, partial(files.remove, real))]
    mode = files.mode_of(real) if edited.mode is None else edited.mode
    if not changes and mode == files.mode_of(real):
        return []
    return [Step(changes, partial(files.write_text, real, theirs, mode or 0o644))]


def _theirs(place: Place, path: str, text: str, recorded: str | None, notes: list[str]) -> str:
    """What others have in a file; also what `git config` wrote into our sections for them."""
    theirs, ours = block.split(text)
    if not ours or recorded is None or ours == recorded or path not in place.gitconfigs:
        return theirs
    more = _without(parse(place.git, ours), parse(place.git, recorded))
    if not more:
        return theirs
    notes.append(f"{path}: kept what others wrote into our sections")
    return block.append(theirs, render(place.git, more))


def _without(entries: Entries, ours: Entries) -> Entries:
    rest = list(ours)
    kept = []
    for entry in entries:
        if entry in rest:
            rest.remove(entry)
        else:
            kept.append(entry)
    return kept
