"""The files of an audit log: `path`, and older ones as `path.1` (the youngest), `path.2`, …"""

from __future__ import annotations

import os
from typing import BinaryIO


def rotate(path: str, keep: int) -> None:
    """Make room for a new file at `path`; of the older ones, `keep` remain.

    Raises OSError, and then no file is lost, only moved by one. The caller holds the lock.
    """
    # No further than the first gap: were `path` itself immovable, each attempt would otherwise
    # push one more of the older files over the edge.
    last = next((n for n in range(1, keep) if not os.path.lexists(_name(path, n))), keep)
    for number in range(last, 1, -1):
        os.replace(_name(path, number - 1), _name(path, number))
    os.replace(path, _name(path, 1))


def open_all(path: str) -> list[BinaryIO]:
    """All files there are, oldest first, opened for reading."""
    files: list[BinaryIO] = []
    seen: set[tuple[int, int]] = set()
    number = 0
    # From the youngest on: what is rotated meanwhile turns up again, instead of slipping by.
    while True:
        try:
            file = open(_name(path, number), "rb", buffering=1024 * 1024)  # noqa: SIM115
        except FileNotFoundError:
            if number:
                break
        else:
            identity = inode(file.fileno())
            if identity in seen:
                file.close()
            else:
                seen.add(identity)
                files.append(file)
        number += 1
    return files[::-1]


def inode(file: int | str) -> tuple[int, int]:
    """What tells this file from one that has taken its name. Raises OSError."""
    info = os.stat(file)
    return info.st_dev, info.st_ino


def _name(path: str, number: int) -> str:
    return f"{path}.{number}" if number else path
