"""What a value of `credential.helper` runs, and whether that is us: pure."""

from __future__ import annotations

import os
import shlex

PROGRAM = "git-credential-relay"


def words_of(command: str | None) -> list[str]:
    """The words of a helper's setting, as the shell would split them."""
    text = (command or "").removeprefix("!").strip()
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def is_ours(command: str | None, socket: str | None = None) -> bool:
    """Whether a helper's setting runs us: by path, by name, or by a socket of a sidecar.

    `socket` is the one that is configured.
    """
    is_program = own_program(command) is not None or is_by_name(command)
    return is_program or sidecar_socket(command, socket) is not None


def is_by_name(command: str | None) -> bool:
    """Whether a helper's setting leaves it to PATH which program is us."""
    return words_of(command)[:1] in ([PROGRAM], [PROGRAM.removeprefix("git-credential-")])


def own_program(command: str | None) -> str | None:
    """The path of our launcher in a helper's setting, where it is named by path."""
    for word in words_of(command):
        if word.startswith("/") and os.path.basename(word) == PROGRAM:
            return word
    return None


def sidecar_socket(command: str | None, socket: str | None = None) -> str | None:
    """The socket of a sidecar that a helper's setting has git's own client ask; None for others.

    A sidecar's is the configured `socket`, or lies in a directory that has our name; any other
    `cache` is git's own, with its own daemon.
    """
    words = words_of(command)
    if words[:1] != ["cache"]:
        return None
    path = _option(words[1:], "--socket")
    if path is None or not path.startswith("/"):
        return None
    return path if path == socket or f"/{PROGRAM}/" in path else None


def _option(words: list[str], name: str) -> str | None:
    """The value of an option, as `name=value` or as two words; the last one counts."""
    found = None
    for number, word in enumerate(words):
        if word.startswith(f"{name}="):
            found = word.partition("=")[2]
        elif word == name and number + 1 < len(words):
            found = words[number + 1]
    return found
