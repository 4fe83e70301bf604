"""Steps that change files, each able to say what it changes before it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from git_credential_relay.secret import is_plain_command, printable, redact
from git_credential_relay.wiring.entries import Entries


@dataclass(frozen=True)
class Change:
    """One thing as it stands before and after, in words for people; None: not there."""

    subject: str
    before: str | None
    after: str | None

    def lines(self) -> list[str]:
        """How it is printed. What stood in a file may hold a token."""
        return [
            printable(redact(self.subject)),
            f"  before: {_shown(self.before)}",
            f"  after:  {_shown(self.after)}",
        ]


@dataclass(frozen=True)
class Step:
    """Changes that one act brings about."""

    changes: tuple[Change, ...]
    act: Callable[[], None]


@dataclass(frozen=True)
class Plan:
    """All steps in order, and what else somebody should know."""

    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The plan for people."""
        told = [line for step in self.steps for c in step.changes for line in c.lines()]
        return [*(told or ["nothing to change"]), *(f"note: {note}" for note in self.notes)]

    def apply(self) -> None:
        """Do it. Raises WiringError at the first step that fails; `uninstall` undoes the rest."""
        for step in self.steps:
            step.act()


def entry_changes(path: str, before: Entries, after: Entries) -> Iterator[Change]:
    """The keys of a git configuration whose list of values differs, in the order of the file."""
    old, new = _by_key(before), _by_key(after)
    for key in {**old, **new}:
        if old.get(key) != new.get(key):
            yield Change(f"{path}: {key}", _values(old.get(key)), _values(new.get(key)))


def _by_key(entries: Entries) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for key, value in entries:
        values.setdefault(key, []).append(value)
    return values


def _values(values: list[str] | None) -> str | None:
    if values is None:
        return None
    shown = (value if is_plain_command(value) else "(not shown)" for value in values)
    return ", ".join(value or '""' for value in shown)


def _shown(text: str | None) -> str:
    return "(not there)" if text is None else printable(redact(text))
