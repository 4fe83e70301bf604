"""The cache in a memory-backed directory, shared by all processes of one user.

One file per key, 0600, in a directory 0700; owner and type are checked at each use and links
are refused, because the directory's parent may be writable by others (/dev/shm). Writers hold
the key's lock and replace the file by rename, so that a reader sees the old entry or the new
one, and a writer killed at any moment leaves at most one file that the next one overwrites.
On the warm path.
"""

from __future__ import annotations

import errno
import os
import stat

from git_credential_relay.errors import CacheError, ProtocolError
from git_credential_relay.relay.cache.entry import Entry, Key, dump, load, load_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from git_credential_relay.relay.deadline import Deadline

MAX_ENTRY = 128 * 1024
# A holder seen past its own deadline for this long is stopped (Ctrl-Z reaches helpers too), not
# busy. It has to be seen for a while: a new holder takes a moment to note its deadline.
STUCK_SECONDS = 1.0
POLL_SECONDS = 0.02


class TmpfsCache:
    """A Cache in the first usable directory of `directories`.

    An explicitly configured directory is used wherever it lies; of the usual ones only those
    on a memory-backed file system get created, so that no token reaches a disk.
    """

    def __init__(self, directories: list[str], *, is_explicit: bool) -> None:
        self._directories: Final = directories
        self._is_explicit: Final = is_explicit

    def read(self, key: Key) -> Entry:
        """What is kept for `key`, or an empty Entry."""
        try:
            directory = self._open_directory(create=False)
        except CacheError:
            return Entry()
        try:
            return load(key, _read_file(directory, key.name()))
        except OSError:
            return Entry()
        finally:
            os.close(directory)

    def write(self, key: Key, entry: Entry) -> None:
        """Replace what is kept for `key`; the caller holds its lock."""
        directory = self._open_directory(create=True)
        name = key.name()
        try:
            # The lock makes us the only writer, so one name per key is enough, and what a
            # killed writer left is overwritten instead of lying about.
            fd = os.open(
                name + ".new",
                os.O_WRONLY
                | os.O_CREAT
                | os.O_TRUNC
                | os.O_NOFOLLOW
                | os.O_CLOEXEC
                | os.O_NONBLOCK,  # never waits for the reader of a FIFO
                0o600,
                dir_fd=directory,
            )
            try:
                _make_private(fd)
                data = dump(key, entry)
                if os.write(fd, data) != len(data):
                    raise CacheError("the cache's file system is full")
            finally:
                os.close(fd)
            os.rename(name + ".new", name, src_dir_fd=directory, dst_dir_fd=directory)
        except (OSError, ProtocolError) as error:
            raise CacheError(f"the cache cannot be written: {error}") from error
        finally:
            os.close(directory)

    def discard(self, key: Key) -> None:
        """Drop what is kept for `key`."""
        try:
            directory = self._open_directory(create=False)
        except CacheError:
            return
        try:
            os.unlink(key.name(), dir_fd=directory)
        except OSError:
            pass
        finally:
            os.close(directory)

    def list_keys(self) -> list[Key]:
        """The keys of all entries."""
        try:
            directory = self._open_directory(create=False)
        except CacheError:
            return []
        keys = []
        try:
            for name in os.listdir(directory):
                if "." not in name:
                    try:
                        key = load_key(_read_file(directory, name))
                    except OSError:
                        continue
                    if key is not None and key.name() == name:
                        keys.append(key)
        finally:
            os.close(directory)
        return keys

    def lock(self, key: Key, deadline: Deadline) -> FileLock:
        """The lock of `key`, to be held with `with`; False when it cannot be had in time."""
        return FileLock(self, key.name() + ".lock", deadline)

    def open_lock(self, name: str) -> int:
        """A descriptor of the lock file `name`, created when missing."""
        directory = self._open_directory(create=True)
        try:
            fd = os.open(
                name,
                os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC,
                0o600,
                dir_fd=directory,
            )
            try:
                _make_private(fd)
            except BaseException:
                os.close(fd)
                raise
            return fd
        except OSError as error:
            raise CacheError(f"the cache cannot be locked: {error}") from error
        finally:
            os.close(directory)

    def _open_directory(self, *, create: bool) -> int:
        reason = CacheError("no memory-backed directory for the cache")
        for path in self._directories:
            try:
                return _open_own_directory(path)
            except FileNotFoundError:
                if not create or not self._may_create(path):
                    continue
            except (OSError, CacheError) as error:
                reason = CacheError(f"{path} cannot be the cache: {error}")
                continue
            try:
                _make_directory(path, parents=self._is_explicit)
                return _open_own_directory(path)
            except (OSError, CacheError) as error:
                reason = CacheError(f"{path} cannot be the cache: {error}")
        raise reason

    def _may_create(self, path: str) -> bool:
        parent = os.path.dirname(path)
        return self._is_explicit or (is_safe_parent(parent) and is_memory_backed(parent))


class FileLock:
    """flock on a key's lock file: the kernel releases it when its holder dies."""

    def __init__(self, cache: TmpfsCache, name: str, deadline: Deadline) -> None:
        self._cache: Final = cache
        self._name: Final = name
        self._deadline: Final = deadline
        self._fd = -1
        self._overdue_since: float | None = None

    def __enter__(self) -> bool:
        try:
            self._fd = self._cache.open_lock(self._name)
        except CacheError:
            return False
        while not self._try():
            if not self._deadline.remaining() or self._holder_is_stuck():
                os.close(self._fd)
                self._fd = -1
                return False
            self._deadline.clock.sleep(min(POLL_SECONDS, self._deadline.remaining()))
        # For those who wait: when to stop believing that we are still at work.
        try:
            os.pwrite(self._fd, f"{self._deadline.at:020.6f}\n".encode(), 0)
        except OSError:
            pass  # a full file system: then they wait until their own deadline
        return True

    def __exit__(self, *exc_info: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _try(self) -> bool:
        import fcntl  # a hit takes no lock

        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def _holder_is_stuck(self) -> bool:
        try:
            until = float(os.pread(self._fd, 64, 0) or b"inf")
        except (OSError, ValueError):
            return False
        now = self._deadline.clock.monotonic()
        if now <= until:
            self._overdue_since = None
        elif self._overdue_since is None:
            self._overdue_since = now
        return self._overdue_since is not None and now - self._overdue_since > STUCK_SECONDS


def _open_own_directory(path: str) -> int:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _check(os.fstat(fd), stat.S_ISDIR)
    except CacheError:
        os.close(fd)
        raise
    return fd


def _make_directory(path: str, *, parents: bool) -> None:
    if parents:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    try:
        os.mkdir(path, 0o700)
        os.chmod(path, 0o700)  # whatever the umask
    except FileExistsError:
        return  # somebody was faster; whose it is gets checked when it is opened


def _make_private(fd: int) -> None:
    """Refuse a file that is not ours alone; undo what an odd umask made of a new one."""
    info = os.fstat(fd)
    _check(info, stat.S_ISREG)
    if stat.S_IMODE(info.st_mode) != 0o600:
        os.fchmod(fd, 0o600)


def _read_file(directory: int, name: str) -> bytes:
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=directory)
    try:
        _check(os.fstat(fd), stat.S_ISREG)
        return os.read(fd, MAX_ENTRY)
    except CacheError as error:
        raise OSError(errno.EPERM, str(error)) from error
    finally:
        os.close(fd)


def _check(info: os.stat_result, is_type: object) -> None:
    """Refuse what is not ours alone: another user could plant a token or read ours."""
    if not is_type(info.st_mode):  # type: ignore[operator]
        raise CacheError("not of the right type")
    if info.st_uid != os.geteuid():
        raise CacheError("owned by another user")
    if info.st_mode & 0o077:
        raise CacheError("open to other users")


def is_safe_parent(path: str) -> bool:
    """Whether nobody but us and root can replace what we make in `path`.

    After `sudo`, XDG_RUNTIME_DIR may still be another user's.
    """
    try:
        info = os.stat(path)
    except OSError:
        return False
    is_closed = not info.st_mode & 0o022 or bool(info.st_mode & stat.S_ISVTX)
    return is_closed and info.st_uid in (0, os.geteuid())


def is_memory_backed(path: str) -> bool:
    """Whether `path` lies on tmpfs or ramfs, by the mount with its device number."""
    try:
        device = os.stat(path).st_dev
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
            wanted = f"{os.major(device)}:{os.minor(device)}"
            for line in mounts:
                fields, _, tail = line.partition(" - ")
                if fields.split(" ")[2] == wanted:
                    return tail.split(" ")[0] in ("tmpfs", "ramfs")
    except (OSError, IndexError):
        return False
    return False
