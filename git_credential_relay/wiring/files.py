"""Reading and replacing the files of an installation, the way git itself does it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator

from git_credential_relay.errors import WiringError

_LOCK_SECONDS = 30.0


def read_text(path: str) -> str | None:
    """The text of a file, bytes that are not UTF-8 kept; None when there is no such file.

    Raises WiringError for what is no plain file or cannot be read.
    """
    try:
        # Not to wait for the writer of a FIFO.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(fd, encoding="utf-8", errors="surrogateescape", newline="") as stream:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise WiringError(f"{path} is not a regular file", code="not-a-file")
            return stream.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _failed(path, error) from error


def mode_of(path: str) -> int | None:
    """The permission bits of a file; None when there is none."""
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _failed(path, error) from error


def write_text(
    path: str,
    text: str,
    mode: int,
    *,
    expected: str | None = None,
    clear: Callable[[], None] | None = None,
) -> None:
    """Replace a file's text as git does: under its lock, in one step, with the same owner.

    A file that cannot be renamed over (a container's bind mount) is written in place. `expected`
    is the text that must still be there; `clear` makes room at the last moment, when all that can
    run out of space is done. Raises WiringError.
    """
    data = text.encode("utf-8", "surrogateescape")
    lock = path + ".lock"
    try:
        fd = os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise WiringError(
            f"{lock} is there: somebody else is writing this file",
            code="locked",
            hint=f"try again, or remove {lock} if nobody is",
            retryable=True,
        ) from error
    except OSError as error:
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM) and os.path.exists(path):
            _write_in_place(path, data, mode)
            return
        raise _failed(path, error) from error
    ours = os.fstat(fd)
    try:
        with open(fd, "wb") as stream:
            if expected is not None and read_text(path) != expected:
                raise WiringError(
                    f"{path} has been changed meanwhile",
                    code="changed-meanwhile",
                    hint="try again",
                    retryable=True,
                )
            stream.write(data)
            stream.flush()
            os.fsync(fd)
            _take_owner(fd, path)
            os.fchmod(fd, mode)
        if clear is not None:
            clear()
        os.replace(lock, path)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise _failed(path, error) from error
        _write_in_place(path, data, mode)
    finally:
        # Also after an interrupt: with the lock there, git itself could not write any more.
        # Once it has become the file, a lock of that name is somebody else's.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.stat(lock), ours):
                os.unlink(lock)


def _take_owner(fd: int, path: str) -> None:
    with contextlib.suppress(FileNotFoundError, PermissionError):
        old = os.stat(path)
        os.fchown(fd, old.st_uid, old.st_gid)


def _write_in_place(path: str, data: bytes, mode: int) -> None:
    try:
        with open(path, "r+b") as stream:
            # In one write and only then cut, so that no reader finds an empty file.
            stream.write(data)
            stream.truncate()
            if stat.S_IMODE(os.fstat(stream.fileno()).st_mode) != mode:
                os.fchmod(stream.fileno(), mode)
    except OSError as error:
        raise _failed(path, error) from error


@contextlib.contextmanager
def only_one(directory: str) -> Iterator[None]:
    """Keep other installs out of the place that `directory` stands for. Raises WiringError."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        end = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise WiringError(
                        "another install has been at work here all the time",
                        code="locked",
                        hint="wait for it, or end it",
                        retryable=True,
                    ) from None
                time.sleep(0.02)
        yield
    finally:
        os.close(fd)


def move(source: str, target: str) -> None:
    """Move a file or link, whatever it is, to a name that is free. Raises WiringError."""
    try:
        if os.path.lexists(target):
            raise WiringError(
                f"{target} is there already", code="displaced-exists", hint="move it away first"
            )
        os.rename(source, target)
    except OSError as error:
        raise _failed(source, error) from error


def remove(path: str) -> None:
    """Remove a file, if it is there. Raises WiringError."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise _failed(path, error) from error


def make_directories(path: str) -> list[str]:
    """Make a directory and what is missing above it; those made, outermost first."""
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    missing.reverse()
    for directory in missing:
        try:
            os.mkdir(directory)
            os.chmod(directory, 0o755)  # noqa: S103 - every agent runs what lies in it
        except OSError as error:
            raise _failed(directory, error) from error
    return missing


def remove_directory(path: str) -> bool:
    """Remove a directory unless somebody has put something into it; whether it is gone."""
    try:
        os.rmdir(path)
    except OSError:
        return False
    return True


def _failed(path: str, error: OSError) -> WiringError:
    return WiringError(
        f"{path} cannot be changed: {error.strerror or type(error).__name__}",
        code="not-writable",
        hint="run this as root while the image is built, or with --global for yourself",
    )
