"""Reading relay.env and secret files: small text files that decide where a secret goes.

On the warm path.
"""

from __future__ import annotations

import os
import stat

from git_credential_relay.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_FILE = 64 * 1024


def read_env_file(path: str, *, is_named: bool = True) -> Iterator[tuple[str, str, str]]:
    """Name, value and origin (`path:line`) of each `NAME=value` line; comments are allowed.

    Nothing when there is no such file, or when it lies where we may not look: HOME=/root under
    another uid. One that nobody named (not `is_named`) must be root's or our own: whoever owns it
    chooses where our secret is sent. Raises ConfigError for a file that cannot be read or is
    somebody else's, and for any other line.
    """
    if not os.path.exists(path):
        return
    text = read_text(path, path, owners=None if is_named else (0, os.geteuid()))
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.removeprefix("export ").partition("=")
        origin = f"{path}:{number}"
        if not equals or not name.isidentifier():
            raise ConfigError(f"{origin}: not a NAME=value line")
        yield name, _unquote(value.strip()), origin


def read_text(path: str, origin: str, *, owners: tuple[int, ...] | None = None) -> str:
    """The text of the file that `origin` (a variable, or the file itself) names.

    Raises ConfigError for one that cannot be read, is no plain file, too large, writable by
    everybody, or whose owner is none of `owners`.
    """
    try:
        # Not to wait for the writer of a FIFO; what it is gets checked next.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise ConfigError(
            f"{origin}: cannot read {path}: {error.strerror}",
            hint="check that the file is there and who may read it",
        ) from error
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            raise ConfigError(f"{origin}: {path} is not a regular file")
        if info.st_mode & stat.S_IWOTH:
            raise ConfigError(
                f"{origin}: {path} is writable by everybody", hint=f"chmod o-w {path}"
            )
        if owners is not None and info.st_uid not in owners:
            raise ConfigError(
                f"{origin}: {path} belongs to uid {info.st_uid}, neither to root nor to you",
                code="foreign-owner",
                hint=f"chown it, or name it in GIT_CREDENTIAL_RELAY_CONFIG if it is meant: {path}",
            )
        raw = os.read(fd, MAX_FILE + 1)
    finally:
        os.close(fd)
    if len(raw) > MAX_FILE:
        raise ConfigError(f"{origin}: {path} is larger than {MAX_FILE} bytes")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{origin}: {path} is not UTF-8 text") from error


def _unquote(value: str) -> str:
    """`value` without one pair of quotes, which shells and systemd allow in such files."""
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return value
