"""Noticing that a file of the configuration has changed: by looking, once a second.

inotify would be told less: of a file that is not there yet, or behind a symlink that is swapped.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

Facts = tuple[int, int, int, int]


class Watch:
    """Watches the files that `find` lists; those that do not exist count, too."""

    def __init__(self, find: Callable[[], list[str]]) -> None:
        self._find = find
        self._paths: list[str] = []
        self._seen = signature(())

    def has_changed(self) -> bool:
        """Whether a file has changed since the last `renew`. Costs one stat(2) for each."""
        return signature(self._paths) != self._seen

    def renew(self) -> None:
        """Take the files as they are now for known: call it before they are read."""
        self._seen = signature(self._paths)  # so that trouble with finding them is told once
        self._paths = self._find()
        self._seen = signature(self._paths)


def signature(paths: Iterable[str]) -> tuple[tuple[str, Facts | None], ...]:
    """What changes when one of the files does: a write, another file in its place, its mode."""
    return tuple((path, facts(path)) for path in paths)


def facts(path: str) -> Facts | None:
    """What stat(2) says of the file that `path` leads to; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino
