"""Which line of a TOML text a path such as `$.forge[1].app_id` is about. Pure.

tomllib tells lines only of what it cannot parse; of a value that is wrong it knows nothing.
This reads table headers and keys alone, which is enough to point a person at the place.
"""

from __future__ import annotations

import re

_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"""^\s*(?:"([^"]+)"|'([^']+)'|([A-Za-z0-9_.-]+))\s*=""")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")


def line_of(text: str, path: str) -> int | None:
    """The 1-based line that `path` (msgspec's form) is about, or that of the nearest table."""
    lines = _lines(text)
    steps = _steps(path)
    while steps:
        if (line := lines.get(steps)) is not None:
            return line
        steps = steps[:-1]
    return None


def _steps(path: str) -> tuple[str | int, ...]:
    return tuple(
        name if name else (int(index) if index.isdigit() else 0)
        for name, index in _STEP.findall(path)
    )


def _lines(text: str) -> dict[tuple[str | int, ...], int]:
    lines: dict[tuple[str | int, ...], int] = {}
    counts: dict[tuple[str | int, ...], int] = {}
    table: tuple[str | int, ...] = ()
    for number, line in enumerate(text.split("\n"), 1):
        if header := _HEADER.match(line):
            table = ()
            names = [name.strip().strip("\"'") for name in header[2].split(".")]
            for depth, name in enumerate(names):
                table = (*table, name)
                if depth == len(names) - 1 and header[1] == "[[":
                    counts[table] = counts.get(table, -1) + 1
                if table in counts:
                    table = (*table, counts[table])
                    lines.setdefault(table, number)
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            name = key[1] or key[2] or key[3]
            lines.setdefault((*table, *name.split(".")), number)
    return lines
