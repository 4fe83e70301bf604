"""Files that are all ours: launchers and the manual. What stands in their place is kept."""

from __future__ import annotations

import os
from functools import partial
from hashlib import sha256

from git_credential_relay.executables import displaced
from git_credential_relay.wiring import files
from git_credential_relay.wiring.change import Change, Step
from git_credential_relay.wiring.manifest import OwnFile
from git_credential_relay.wiring.place import Place


def put(
    place: Place, path: str, text: str, mode: int, before: OwnFile | None
) -> tuple[OwnFile, list[Step]]:
    """The record of a file that is all ours, and the step if it needs one."""
    real = place.real_link(path)
    current = _digest(real)
    digest = _sha256(text)
    aside = before.displaced if before else None
    if current == digest and files.mode_of(real) == mode:
        return OwnFile(digest, aside), []
    was = clear = None
    if current is not None and current not in (digest, before.sha256 if before else None):
        # Somebody else's, or renewed by somebody since we came: it comes back when we go.
        aside = aside or displaced(path)
        was = f"somebody else's; moves to {aside}"
        clear = partial(_displace, real, place.real_link(aside), before)
    elif current is not None:
        was = "an earlier one of ours"
    write = partial(files.write_text, real, text, mode, clear=clear)
    return OwnFile(digest, aside), [Step((Change(path, was, "ours"),), write)]


def _displace(real: str, target: str, before: OwnFile | None) -> None:
    if before and before.displaced:
        files.remove(target)  # an older version of what came in its place
    files.move(real, target)


def take_back(place: Place, path: str, own: OwnFile, notes: list[str]) -> list[Step]:
    """The step that removes our file, and brings back what it displaced."""
    real = place.real_link(path)
    current = _digest(real)
    if current is not None and current != own.sha256:
        notes.append(f"{path} is not ours any more and stays")
        return []
    aside = place.real_link(own.displaced) if own.displaced else None
    after = "what was there before" if aside else None
    return [Step((Change(path, "ours", after),), partial(_restore, real, aside))]


def _restore(real: str, aside: str | None) -> None:
    files.remove(real)
    if aside is not None and os.path.lexists(aside):
        files.move(aside, real)


def _digest(path: str) -> str | None:
    """The SHA-256 of a file's bytes; something that cannot be ours for what is no file."""
    if not os.path.lexists(path):
        return None
    if os.path.islink(path) or not os.path.isfile(path):
        return "not a file"
    with open(path, "rb") as stream:
        return sha256(stream.read()).hexdigest()


def _sha256(text: str) -> str:
    return sha256(text.encode("utf-8")).hexdigest()
