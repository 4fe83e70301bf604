"""Git's configuration as a list of entries, and what it says about one URL: pure."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from git_credential_relay.doctor.urlmatch import Url, matches
from git_credential_relay.secret import is_plain_command

COMMAND_SCOPE = "command"
INHERITED_SCOPES = ("system", "global")
_TRUE = ("true", "yes", "on")
# Where `git -c` and the environment put settings; whichever is set is to be taken away.
COMMAND_VARIABLES = ("GIT_CONFIG_COUNT", "GIT_CONFIG_PARAMETERS")
# What a helper of one line may hold: people write passwords into them.


@dataclass(frozen=True, slots=True)
class Entry:
    """One setting: its scope, its file (None for the command line's), key and value.

    `value` is None for a key without `=`, which stands for true.
    """

    scope: str
    file: str | None
    key: str
    value: str | None

    @property
    def section(self) -> str:
        """The part before the first dot."""
        return self.key.partition(".")[0]

    @property
    def subsection(self) -> str | None:
        """The part between the first and the last dot, or None."""
        rest = self.key.partition(".")[2]
        return rest.rpartition(".")[0] if "." in rest else None

    @property
    def variable(self) -> str:
        """The part after the last dot."""
        return self.key.rpartition(".")[2]

    @property
    def origin(self) -> str:
        """Where it stands, for people."""
        return self.file or "the command line or environment"


def parse_listing(data: bytes, top: str, scope: str | None = None) -> list[Entry]:
    """The entries in what `git config --list --show-origin [--show-scope] --null` wrote.

    `top` is where git ran, for the files it names relatively. With `scope` given the listing has
    none of its own. A listing that is cut short gives the entries before the cut.
    """
    fields = data.decode("utf-8", "surrogateescape").split("\0")
    size = 2 if scope else 3
    entries = []
    for start in range(0, len(fields) - size, size):
        *own_scope, origin, setting = fields[start : start + size]
        kind, _, place = origin.partition(":")
        file = os.path.normpath(os.path.join(top, place)) if kind == "file" and place else None
        key, newline, value = setting.partition("\n")
        entries.append(Entry(scope or own_scope[0], file, key, value if newline else None))
    return entries


def about(entries: Iterable[Entry], section: str, variable: str, url: Url) -> list[Entry]:
    """The entries `section[.<pattern>].variable` that are about `url`, in git's order."""
    return [
        entry
        for entry in entries
        if entry.section == section
        and entry.variable == variable
        and (entry.subsection is None or matches(entry.subsection, url))
    ]


def in_force(entries: Sequence[Entry]) -> list[Entry]:
    """What is left of a list of values: an empty one takes away all before it."""
    start = max((n + 1 for n, entry in enumerate(entries) if entry.value == ""), default=0)
    return [entry for entry in entries[start:] if entry.value is not None]


def is_true(value: str | None) -> bool:
    """Git's reading of a switch; a key without a value is on, an empty value off."""
    if value is None:
        return True
    is_number = re.fullmatch(r"[+-]?\d+", value)
    return value.lower() in _TRUE or (is_number is not None and int(value) != 0)


def rewritten(entries: Iterable[Entry], url: str, variable: str) -> tuple[str, Entry | None]:
    """What the rules called `variable`, insteadof or pushinsteadof, make of `url`, and the rule
    that did. The longest prefix wins, the first of equals."""
    best: Entry | None = None
    for entry in entries:
        if entry.section != "url" or entry.variable != variable or not entry.value:
            continue
        is_better = best is None or len(entry.value) > len(best.value or "")
        if is_better and url.startswith(entry.value):
            best = entry
    if best is None:
        return url, None
    return (best.subsection or "") + url[len(best.value or "") :], best


def unset_command(culprits: Sequence[Entry], entries: Sequence[Entry]) -> str:
    """The command that takes `culprits` out of the files they stand in, and nothing else.

    Where it would have to show what may be a secret, the one that opens the file instead.
    """
    if any(entry.file is None for entry in culprits):
        return "unset " + " ".join(COMMAND_VARIABLES)
    commands = []
    for file, key in dict.fromkeys((entry.file, entry.key) for entry in culprits):
        values = [e.value or "" for e in culprits if (e.file, e.key) == (file, key)]
        all_values = [e.value or "" for e in entries if (e.file, e.key) == (file, key)]
        command = f"git config --file {shlex.quote(file or '')} --unset-all {shlex.quote(key)}"
        if any(value not in values for value in all_values):
            if not all(is_plain_command(value) for value in values):
                return edit_command(file or "")
            command += f" {shlex.quote(_pattern(values))}"
        commands.append(command)
    return " && ".join(commands)


def set_command(found: Sequence[Entry], key: str, value: str) -> str:
    """The command that makes `value` the one that counts: in place of the last of `found`, or
    else for the user."""
    if not found:
        return f"git config --global {shlex.quote(key)} {shlex.quote(value)}"
    last = found[-1]
    if last.file is None:
        return "unset " + " ".join(COMMAND_VARIABLES)
    return (
        f"git config --file {shlex.quote(last.file)} --replace-all"
        f" {shlex.quote(last.key)} {shlex.quote(value)}"
    )


def edit_command(file: str) -> str:
    """The command that opens a configuration file in the user's editor."""
    return f"git config --file {shlex.quote(file)} --edit"


def _pattern(values: Iterable[str]) -> str:
    """The POSIX pattern for exactly these values."""
    escaped = [re.sub(r"([][.{}()\\*+?^$|])", r"\\\1", value) for value in values]
    return f"^({'|'.join(dict.fromkeys(escaped))})$"
