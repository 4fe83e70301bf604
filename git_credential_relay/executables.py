"""Finding a program behind our own launchers of the same name."""

from __future__ import annotations

import os

DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
# In every launcher we write; how we know our own again, under whatever name and wherever.
LAUNCHER_MARK = b"from git_credential_relay.main import launch"
# Behind this name `install` keeps what stood in a launcher's place; in the same directory, where
# a relative link stays right.
DISPLACED = ".displaced"
# A launcher is 4 lines; a long interpreter path makes the longest of them.
_LAUNCHER_SIZE = 8192


def is_launcher(path: str) -> bool:
    """Whether the file at `path` is one of our launchers."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return LAUNCHER_MARK in os.read(fd, _LAUNCHER_SIZE)
    except OSError:
        return False
    finally:
        os.close(fd)


def displaced(path: str) -> str:
    """Where `install` keeps what stood at `path` before a launcher took its place."""
    return path + DISPLACED


def find_program(name: str, path: str | None) -> str | None:
    """The first program called `name` on `path` that is not our launcher, or None.

    `path` is a PATH; the default one when it is empty. Its relative directories are passed
    over: they lie in the work tree. Where a launcher of ours stands in front, what it displaced
    counts as being in its place.
    """
    for directory in (path or DEFAULT_PATH).split(os.pathsep):
        if not directory.startswith("/"):
            continue
        candidate = os.path.join(directory, name)
        if _is_executable(candidate) and is_launcher(candidate):
            candidate = displaced(candidate)
        if _is_executable(candidate) and not is_launcher(candidate):
            return candidate
    return None


def _is_executable(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)
