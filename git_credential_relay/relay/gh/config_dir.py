"""A configuration directory of gh's that holds one token for one host, for one run.

No variable would give a token to a GitHub Enterprise host alone; gh's own hosts.yml binds a token
to its host. So gh gets a directory of its own: in memory, closed to other users, and gone
when gh has ended. gh takes our place, so a watcher outlives us: it reads from a pipe whose other
end gh and all it starts hold, and at the end of that removes the directory.
"""

from __future__ import annotations

import os

from git_credential_relay.errors import RelayError
from git_credential_relay.relay.cache import tmpfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# The user's own directory, while gh runs with ours.
ORIGINAL = "GIT_CREDENTIAL_RELAY_GH_CONFIG_DIR"
_NAME = "git-credential-relay-gh"


def restore(environ: dict[str, str]) -> None:
    """Lead `environ` back to the user's own directory, where a call of ours set another."""
    original = environ.pop(ORIGINAL, None)
    if original:
        environ["GH_CONFIG_DIR"] = original
    elif original is not None:
        environ.pop("GH_CONFIG_DIR", None)


def provide(
    host: str, token: str, environ: Mapping[str, str], places: Iterable[str], *, is_explicit: bool
) -> dict[str, str]:
    """The variables that give gh `token` for `host` alone; its files go when this process ends.

    `places` are the directories of the cache, best first, beside which they may lie; if not
    `is_explicit` only where that is memory. Raises RelayError when there is none.
    """
    directory = _make(places, is_explicit=is_explicit)
    _watch(directory)
    _write(os.path.join(directory, "config.yml"), _config_yml(environ))
    _write(os.path.join(directory, "hosts.yml"), _hosts_yml(host, token))
    return {"GH_CONFIG_DIR": directory, ORIGINAL: environ.get("GH_CONFIG_DIR", "")}


def read_own(environ: Mapping[str, str], name: str) -> str:
    """The text of the user's own config.yml or hosts.yml; empty where there is none."""
    try:
        path = os.path.join(own_directory(environ), name)
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def own_directory(environ: Mapping[str, str]) -> str:
    """Where gh keeps the user's configuration: `gh help environment`."""
    if environ.get("GH_CONFIG_DIR"):
        return environ["GH_CONFIG_DIR"]
    if environ.get("XDG_CONFIG_HOME"):
        return environ["XDG_CONFIG_HOME"] + "/gh"
    return environ.get("HOME", "") + "/.config/gh"


def _config_yml(environ: Mapping[str, str]) -> str:
    """The user's settings and aliases, in the version that newer ones of gh want.

    Without a version they would rewrite both files, and ask the host who the user is.
    """
    text = read_own(environ, "config.yml")
    is_versioned = text.startswith("version:") or "\nversion:" in text
    return text if is_versioned else f'version: "1"\n{text}'


def _hosts_yml(host: str, token: str) -> str:
    """One host, as `gh auth login` writes it; newer ones of gh read `users`, older ones not."""
    quoted = "'" + token.replace("'", "''") + "'"
    lines = (
        f"'{host}':",
        "    user: x-access-token",
        f"    oauth_token: {quoted}",
        "    users:",
        "        x-access-token:",
        f"            oauth_token: {quoted}",
    )
    return "".join(f"{line}\n" for line in lines)


def _make(places: Iterable[str], *, is_explicit: bool) -> str:
    for place in places:
        parent = place if is_explicit else os.path.dirname(place)
        if not is_explicit and not (
            tmpfs.is_safe_parent(parent) and tmpfs.is_memory_backed(parent)
        ):
            continue
        # Nobody can have made it before us: the name is new, and mkdir refuses one that is there.
        directory = os.path.join(parent, f"{_NAME}.{os.urandom(8).hex()}")
        try:
            if is_explicit:
                os.makedirs(parent, 0o700, exist_ok=True)
            os.mkdir(directory, 0o700)
            os.chmod(directory, 0o700)  # whatever the umask
        except OSError:
            continue
        return directory
    raise RelayError(
        "no memory-backed directory for the file that gh reads the token from",
        code="no-private-directory",
        hint="mount a tmpfs at /dev/shm, or set XDG_RUNTIME_DIR or GIT_CREDENTIAL_RELAY_CACHE_DIR",
    )


def _write(path: str, text: str) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            data = text.encode()
            if os.write(fd, data) != len(data):
                raise OSError("no space left")
        finally:
            os.close(fd)
    except OSError as error:
        raise RelayError(
            f"gh's configuration cannot be written: {error}", code="no-private-directory"
        ) from error


def _watch(directory: str) -> None:
    """Have `directory` removed when this process, and all that it becomes and starts, has ended."""
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    child = os.fork()
    if child:
        os.close(reader)
        os.waitpid(child, 0)  # gone at once; the watcher is its child, and nobody's in a moment
        return
    try:
        # A process that nobody knows of: no terminal, nobody's pipe, no work tree held.
        os.setsid()
        if os.fork():
            os._exit(0)
        os.dup2(reader, 3)
        os.closerange(4, 65536)
        os.close(0)
        os.open(os.devnull, os.O_RDWR)
        os.dup2(0, 1)
        os.dup2(0, 2)
        os.chdir("/")
        while os.read(3, 4096):
            pass
        _remove(directory)
    finally:
        os._exit(0)


def _remove(directory: str) -> None:
    for name in os.listdir(directory):
        try:
            os.unlink(os.path.join(directory, name))
        except OSError:
            pass  # whatever it is, it must not keep the token's file
    os.rmdir(directory)
