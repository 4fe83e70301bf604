"""Searches what an agent can see for secrets that should not be there."""

import base64
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

_USERNAMES = ("x-access-token", "oauth2")


def needles_for(secrets: Iterable[str]) -> tuple[bytes, ...]:
    """Return each secret as it is and as it would look in a Basic header."""
    return tuple(
        needle
        for secret in secrets
        for needle in (
            secret.encode(),
            *(base64.b64encode(f"{name}:{secret}".encode()) for name in _USERNAMES),
        )
    )


def find_in_texts(texts: Iterable[str], needles: Iterable[bytes]) -> bool:
    """Tell whether any text contains a needle."""
    wanted = tuple(needles)
    return any(_contains(text.encode(errors="replace"), wanted) for text in texts)


def find_in_files(
    root: Path, needles: Iterable[bytes], excluded: Iterable[Path] = ()
) -> tuple[Path, ...]:
    """Return the files below root that have a needle in their name or content.

    Raises:
        OSError: Something could not be read, so it cannot be vouched for.
    """
    wanted = tuple(needles)
    return tuple(
        path
        for path in _walk(root, frozenset(excluded))
        if _contains(os.fsencode(path.name), wanted) or _contains(_content(path), wanted)
    )


def find_loose_modes(directory: Path) -> tuple[str, ...]:
    """Return what in a private directory is open to others: 0700 and 0600 are wanted."""
    paths = (directory, *_walk(directory, frozenset()))
    modes = ((path, path.lstat().st_mode) for path in paths)
    return tuple(
        f"{path} {stat.S_IMODE(mode):04o}"
        for path, mode in modes
        if stat.S_IMODE(mode) != (0o700 if stat.S_ISDIR(mode) else 0o600)
    )


def _walk(root: Path, excluded: frozenset[Path]) -> Iterator[Path]:
    for path in sorted(root.iterdir()):
        if path not in excluded:
            yield path
            if path.is_dir() and not path.is_symlink():
                yield from _walk(path, excluded)


def _content(path: Path) -> bytes:
    if path.is_symlink():
        return os.fsencode(os.readlink(path))
    return path.read_bytes() if path.is_file() else b""


def _contains(content: bytes, needles: tuple[bytes, ...]) -> bool:
    return any(needle in content for needle in needles)
