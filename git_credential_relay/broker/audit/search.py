"""Reading the audit log: who had a token, and what happens now.

Lines that are torn, or none of ours, are passed over: the log of a machine that crashed is to be
read all the same.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from git_credential_relay.broker.audit.rotation import inode, open_all
from git_credential_relay.errors import ConfigError

POLL_SECONDS = 0.25

Event = dict[str, object]


def who_used(path: Path, token_sha256: str) -> Generator[Event, None, None]:
    """The events that concern a token, oldest first, in the log and what was rotated out of it.

    The token is named by its SHA-256 in hexadecimal, base64 or base64url. Raises ConfigError
    for a hash that is none, and where there is no log.
    """
    return _find(path, normalise_sha256(token_sha256))


def tail(
    path: Path, lines: int, follow: bool, wait: Callable[[], None] | None = None
) -> Generator[Event, None, None]:
    """The last events, oldest first; with `follow` then each new one, for ever.

    `wait` passes the time between two looks. Raises ConfigError where there is no log.
    """
    with ExitStack() as stack:
        files = _open_log(path, stack)
        yield from deque(_events(files), maxlen=lines)
        if follow:
            poll = wait or (lambda: time.sleep(POLL_SECONDS))
            yield from _follow(str(path.resolve()), files[-1], poll)


def normalise_sha256(text: str) -> str:
    """The base64 form, as in the log, of a SHA-256 in any usual form. Raises ConfigError."""
    text = text.strip().removeprefix("sha256:")
    try:
        if len(text) == 64:
            digest = bytes.fromhex(text)
        else:
            standard = text.rstrip("=").translate(str.maketrans("-_", "+/"))
            digest = base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (ValueError, binascii.Error):
        digest = b""
    if len(digest) != 32:
        raise ConfigError(
            "not the SHA-256 of a token",
            hint="in hexadecimal or base64, as in: printf %s TOKEN | sha256sum",
        )
    return base64.b64encode(digest).decode()


def _find(path: Path, wanted: str) -> Generator[Event, None, None]:
    with ExitStack() as stack:
        for event in _events(_open_log(path, stack), wanted.encode()):
            if wanted in (event.get("token_sha256"), event.get("rejected_sha256")):
                yield event


def _follow(path: str, file: BinaryIO, wait: Callable[[], None]) -> Iterator[Event]:
    """Each new event from here on; closes `file`, and whatever it opens after it."""
    files = [file]
    try:
        while True:
            newer = _open_newer(path, files[-1])
            # After the look: a file that has been rotated gets no more lines.
            yield from _events(files[-1:])
            if not newer:
                wait()
            files += newer
            while len(files) > 1:
                files.pop(0).close()
                yield from _events(files[:1])
    finally:
        for left in files:
            left.close()


def _open_newer(path: str, file: BinaryIO) -> list[BinaryIO]:
    """The files that have followed this one, oldest first; none while it is the youngest."""
    ours = inode(file.fileno())
    try:
        if inode(path) == ours:
            return []
    except FileNotFoundError:
        return []  # just being rotated
    files = open_all(path)
    inodes = [inode(opened.fileno()) for opened in files]
    first = inodes.index(ours) + 1 if ours in inodes else 0
    for opened in files[:first]:
        opened.close()
    return files[first:]


def _open_log(path: Path, stack: ExitStack) -> list[BinaryIO]:
    try:
        files = [stack.enter_context(file) for file in open_all(str(path.resolve()))]
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    if not files:
        raise ConfigError(f"there is no audit log {path}", hint="check audit_file")
    return files


def _events(files: Iterable[BinaryIO], needle: bytes = b"") -> Iterator[Event]:
    for file in files:
        while line := file.readline():
            if not line.endswith(b"\n"):
                file.seek(-len(line), os.SEEK_CUR)  # the rest may come yet
                break
            if needle in line and (event := _parse(line)) is not None:
                yield event


def _parse(line: bytes) -> Event | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None
