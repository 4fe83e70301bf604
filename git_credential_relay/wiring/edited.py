"""Text files of others that get our block: git's configuration and relay.env."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from git_credential_relay.credential.forge import Forge
from git_credential_relay.errors import WiringError
from git_credential_relay.secret import is_plain_command, redact
from git_credential_relay.wiring import block, files
from git_credential_relay.wiring.change import Change, Step, entry_changes
from git_credential_relay.wiring.entries import Entries, origins
from git_credential_relay.wiring.gitconfig import parse, remove, render
from git_credential_relay.wiring.manifest import EditedFile
from git_credential_relay.wiring.place import Place

_READABLE = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
# Where nobody puts a password. A header, a proxy, a mail server's account or a command may be one.
_HARMLESS_SECTIONS = frozenset(
    ("user", "author", "committer", "init", "color", "safe", "pull", "push", "fetch", "merge")
)


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
        opened_from=None,
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
            record = replace(record, opened_from=new_mode)
            new_mode = _opened(path, new_mode, others)
    return record, _steps(place, path, text, new, mode, new_mode)


def _opened(path: str, mode: int, entries: Entries) -> int:
    """The mode with which everybody can read git's configuration.

    Without that, every git of another user dies of it. Raises WiringError where it would show
    somebody's secret.
    """
    for key, _ in entries:
        if key.split(".")[0] not in _HARMLESS_SECTIONS:
            raise WiringError(
                f"{path} is closed, so other users' git dies of it, and it may hold a secret",
                code="would-expose-secret",
                hint=f"look at {redact(key)} and the like, then chmod 0644 {path} yourself",
            )
    return mode | _READABLE


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
        fate = "not asked for it any more" if origin.lower() in ours else "kept for other hosts"
        shown = value if is_plain_command(value) else "(not shown)"
        notes.append(f"{path} has {key} = {shown}: {fate}")
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
    if not edited.existed and not theirs:
        changes = tuple(_text_changes(place, path, text, theirs))
        return [Step(changes, partial(files.remove, real))]
    mode = files.mode_of(real) or 0o644
    closed = edited.opened_from
    # Only what we opened is closed again: somebody may have closed it more since.
    is_as_opened = closed is not None and mode == closed | _READABLE
    return _steps(place, path, text, theirs, mode, closed if is_as_opened else mode)


def _steps(
    place: Place, path: str, old: str | None, new: str, old_mode: int | None, new_mode: int | None
) -> list[Step]:
    """The step from one text and mode to another; none where they are the same."""
    changes = _text_changes(place, path, old or "", new) if old != new else []
    if old_mode is not None and new_mode is not None and old_mode != new_mode:
        changes.append(Change(f"{path}: mode", f"{old_mode:04o}", f"{new_mode:04o}"))
    if not changes:
        return []
    write = partial(files.write_text, place.real(path), new, new_mode or 0o644, expected=old)
    return [Step(tuple(changes), write)]


def _theirs(place: Place, path: str, text: str, recorded: str | None, notes: list[str]) -> str:
    """What others have in a file; also what `git config` wrote into our sections for them."""
    theirs, ours = block.split(text)
    if recorded is None or ours == recorded:
        return theirs
    is_git = path in place.gitconfigs
    read = partial(parse, place.git) if is_git else settings_in
    if not ours:
        # Somebody took a mark away, as `git config --remove-section` does with what follows.
        entries = read(recorded)
        if is_git:
            return block.without_marks(remove(place.git, text, entries))
        kept = [line for line in text.splitlines(keepends=True) if line not in recorded]
        return block.without_marks("".join(kept))
    more = _without(read(ours), read(recorded))
    if not more:
        return theirs
    notes.append(f"{path}: kept what others wrote among our lines")
    lines = render(place.git, more) if is_git else "".join(f"{n}={v}\n" for n, v in more)
    return block.append(theirs, lines)


def _without(entries: Entries, ours: Entries) -> Entries:
    rest = list(ours)
    kept = []
    for entry in entries:
        if entry in rest:
            rest.remove(entry)
        else:
            kept.append(entry)
    return kept
