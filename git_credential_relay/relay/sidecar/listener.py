"""The socket's place in the file system: ours alone to make, to replace and to take away."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat

from git_credential_relay.errors import SidecarError

# Room for what git's clients queue up while a loop is busy; the kernel caps it.
BACKLOG = 1024
# sun_path with its NUL: unix(7).
LONGEST_PATH = 107
CLOSED, OPEN = 0o600, 0o666
DIRECTORY = 0o755


class Listener:
    """A listening unix socket at `path`.

    Whoever may connect is decided by the peer's uid, so the socket of a sidecar `for_others` is
    open to all. What is decided here is who may put another socket in its place: nobody.
    """

    def __init__(self, path: str, *, for_others: bool) -> None:
        """Raises SidecarError where the socket cannot be had."""
        self.path = path
        self._is_withdrawn = False
        if len(os.fsencode(path)) > LONGEST_PATH or not path.startswith("/"):
            raise _unusable(path, f"must be absolute and at most {LONGEST_PATH} bytes long")
        try:
            _make_directory(os.path.dirname(path))
            self._lock = _lock(path)
        except OSError as error:
            raise _unusable(path, error.strerror or str(error)) from error
        try:
            self.socket = _bind(path, OPEN if for_others else CLOSED)
            self._identity = _identity(path)
        except BaseException as error:
            os.close(self._lock)
            if isinstance(error, OSError):
                raise _unusable(path, error.strerror or str(error)) from error
            raise

    @property
    def is_in_place(self) -> bool:
        """Whether clients still find this socket at its path."""
        return not self._is_withdrawn and _identity(self.path) == self._identity

    def set_open(self, *, for_others: bool) -> None:
        """Open or close it to other users, after an edit of who may ask."""
        if self.is_in_place:
            os.chmod(self.path, OPEN if for_others else CLOSED)

    def withdraw(self) -> None:
        """Take the socket away, if it is still ours, and leave the place to the next one; those
        who have connected are served."""
        if self._is_withdrawn:
            return
        # As long as ours is open no other can have its number.
        if self.is_in_place:
            os.unlink(self.path)
        self._is_withdrawn = True
        os.close(self._lock)

    def close(self) -> None:
        """Stop listening, and give the place free."""
        self.withdraw()
        self.socket.close()


def directory_warning(path: str) -> str | None:
    """Why somebody else could replace the socket at `path` after all, or None."""
    directory = os.path.realpath(os.path.dirname(path))
    while directory != "/":
        directory = os.path.dirname(directory)
        found = os.stat(directory)
        if found.st_uid not in (0, os.geteuid()):
            return f"{directory} belongs to uid {found.st_uid}, who can put another socket in place"
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not found.st_mode & stat.S_ISVTX:
            return f"others can write in {directory}: mount it read-only for the agent"
    return None


def _make_directory(directory: str) -> None:
    """Have a directory in which nobody else can rename, and git will not start its own daemon."""
    _refuse_links(directory)
    mask = os.umask(0o022)  # for those above it, too
    try:
        os.makedirs(directory, mode=DIRECTORY, exist_ok=True)
    finally:
        os.umask(mask)
    found = os.stat(directory)
    if found.st_uid not in (0, os.geteuid()):
        raise _open_directory(directory, "belongs to another user")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _open_directory(directory, "can be written by other users")
    if found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) == 0o700:
        # In a directory that only its user can enter git would start a daemon of its own here
        # whenever we are away, and others could not reach us.
        os.chmod(directory, DIRECTORY)


def _refuse_links(directory: str) -> None:
    """A link of somebody else's leads us where they like, and our clients elsewhere later on."""
    while directory != "/":
        try:
            found = os.lstat(directory)
        except FileNotFoundError:
            pass
        else:
            if stat.S_ISLNK(found.st_mode) and found.st_uid not in (0, os.geteuid()):
                raise _open_directory(directory, "is a link that belongs to another user")
        directory = os.path.dirname(directory)


def _lock(path: str) -> int:
    """A lock as long as its file is open: two sidecars must not take turns at one socket."""
    fd = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            raise
        raise _in_use(path) from error
    return fd


def _bind(path: str, mode: int) -> socket.socket:
    """Bind and listen beside `path`, then put it there: no client finds less than a server."""
    _refuse_others(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    beside = f"{path[: LONGEST_PATH - 1]}~"
    try:
        _remove_socket(beside)
        mask = os.umask(0o177)
        try:
            listening.bind(beside)
        finally:
            os.umask(mask)
        os.chmod(beside, mode)
        listening.listen(BACKLOG)
        os.rename(beside, path)
    except BaseException:
        listening.close()
        _remove_socket(beside)
        raise
    return listening


def _refuse_others(path: str) -> None:
    """Raise SidecarError for what is no socket, or one at which somebody answers."""
    try:
        kind = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise _unusable(path, "something that is no socket is in its place")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        if probe.connect_ex(path) in (errno.ECONNREFUSED, errno.ENOENT):
            return  # nobody listens any more: a stale one
    raise _in_use(path)  # also one whose queue is full, or closed to us


def _remove_socket(path: str) -> None:
    try:
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            os.unlink(path)
    except FileNotFoundError:
        pass


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _unusable(path: str, reason: str) -> SidecarError:
    return SidecarError(
        f"the socket {path} cannot be made: {reason}",
        code="socket-unusable",
        hint="give its directory to this user, or choose another socket by --socket",
        retryable=False,
    )


def _open_directory(directory: str, reason: str) -> SidecarError:
    return SidecarError(
        f"{directory} {reason}, who could put a socket of theirs in place of ours",
        code="socket-directory-open",
        hint="give --socket a directory of the sidecar's own, with mode 0755",
        retryable=False,
    )


def _in_use(path: str) -> SidecarError:
    return SidecarError(
        f"another sidecar is at {path}",
        code="socket-in-use",
        hint="end it, or choose another socket",
        retryable=False,
    )
