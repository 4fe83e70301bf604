"""Modes and owners of the files that the wiring is made of."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence

from git_credential_relay.config import SYSTEM_FILES, Config, user_files
from git_credential_relay.doctor.checks.helpers import install_command
from git_credential_relay.doctor.git import Done
from git_credential_relay.doctor.gitconfig import Entry
from git_credential_relay.doctor.helper_commands import own_program, sidecar_socket
from git_credential_relay.doctor.report import Check, fail, ok, skip, warn
from git_credential_relay.env_file import read_env_file
from git_credential_relay.errors import ConfigError
from git_credential_relay.relay.cache.tmpfs import is_memory_backed, is_safe_parent
from git_credential_relay.settings import SETTINGS

SYSTEM_CONFIG = "system-config"
LAUNCHERS = "launchers"
SECRET_FILES = "secret-files"  # noqa: S105 - the name of a check
CACHE = "cache"

_INACCESSIBLE = re.compile(r"unable to access '(.+)': Permission denied")


def check_system_config(listing: Done, entries: Sequence[Entry]) -> Iterator[Check]:
    """The system's file is read by every user's git, and written by root alone."""
    closed = _INACCESSIBLE.search(listing.err)
    if listing.code != 0:
        if closed is not None:
            yield fail(
                SYSTEM_CONFIG,
                "config-unreadable",
                f"every git command of this user fails: it may not read {closed[1]}",
                f"chmod 0644 {shlex.quote(closed[1])}",
            )
        else:
            yield fail(
                SYSTEM_CONFIG, "config-broken", f"git cannot read its configuration: {listing.err}"
            )
        return
    files = dict.fromkeys(e.file for e in entries if e.scope == "system" and e.file)
    found = [check for file in files if (check := _look_at_config(file)) is not None]
    yield from found or [ok(SYSTEM_CONFIG, ", ".join(files) or "there is none")]


def _look_at_config(file: str) -> Check | None:
    info = _stat(file)
    if info is None:
        return None
    name = shlex.quote(file)
    if not info.st_mode & stat.S_IROTH:
        return fail(
            SYSTEM_CONFIG,
            "config-unreadable",
            f"{file} is closed to other users, every git command of whom fails",
            f"chmod 0644 {name}",
        )
    if info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return fail(
            SYSTEM_CONFIG,
            "config-writable",
            f"{file} can be written by others, who choose what every user's git runs",
            f"chmod go-w {name}",
        )
    if info.st_uid != 0:
        return warn(
            SYSTEM_CONFIG,
            "config-not-roots",
            f"{file} belongs to user {info.st_uid}, who chooses what every user's git runs",
            f"chown root {name}",
        )
    return None


def check_launchers(entries: Sequence[Entry], socket: str | None = None) -> Iterator[Check]:
    """What git is told to run is there and can be run."""
    commands = [e.value for e in entries if _is_helper(e)]
    programs = [own_program(command) for command in commands]
    paths = [path for path in dict.fromkeys(programs) if path is not None]
    found = [check for path in paths if (check := _look_at_launcher(path, socket)) is not None]
    if found:
        yield from found
    elif paths:
        yield ok(LAUNCHERS, ", ".join(paths))
    elif any(sidecar_socket(command, socket) for command in commands):
        yield ok(LAUNCHERS, "none is needed: git's own client asks the sidecar")
    else:
        yield skip(LAUNCHERS, "not-wired", "git is not told to run one")


def _is_helper(entry: Entry) -> bool:
    return entry.section == "credential" and entry.variable == "helper"


def _look_at_launcher(path: str, socket: str | None) -> Check | None:
    again = install_command(socket=socket)
    info = _stat(path)
    if info is None:
        return fail(LAUNCHERS, "launcher-missing", f"{path} is not there", again)
    if not info.st_mode & stat.S_IXOTH and not os.access(path, os.X_OK):
        mode = f"chmod 0755 {shlex.quote(path)}"
        return fail(LAUNCHERS, "launcher-not-executable", f"{path} cannot be run", mode)
    interpreter = _interpreter(path)
    if interpreter is not None and not os.access(interpreter, os.X_OK):
        words = f"{path} needs {interpreter}, which cannot be run"
        return fail(LAUNCHERS, "interpreter-missing", words, again)
    return None


def _interpreter(path: str) -> str | None:
    """The interpreter that a launcher names, in its first line or in its shell form's second."""
    try:
        with open(path, "rb") as stream:
            first, second = stream.readline(4096), stream.readline(4096)
    except OSError:
        return None
    in_shell = re.match(rb"'''exec' (?:'([^']+)'|(\S+)) -I ", second)
    if in_shell is not None:
        return os.fsdecode(in_shell[1] or in_shell[2])
    words = os.fsdecode(first).removeprefix("#!").split()
    return words[0] if first.startswith(b"#!") and words else None


def check_secret_files(environ: Mapping[str, str], config: Config | None) -> Iterator[Check]:
    """Files with secrets in them are closed to other users."""
    paths = [path for path in _env_files(environ, config) if _holds_secret(path)]
    shared = list(SYSTEM_FILES)
    if config is not None:
        names = [f"{setting.name}_FILE" for setting in SETTINGS if setting.is_secret]
        values = [value for name in names if (value := config.value(name))]
        paths += [value.text for value in values]
        shared += [value.text for value in values if value.origin.startswith(SYSTEM_FILES)]
    found = [(path, info) for path in paths if (info := _stat(path))]
    open_files = [(path, info) for path, info in found if info.st_mode & stat.S_IROTH]
    for path, info in open_files:
        yield _open_to_all(path, info, is_shared=path in shared)
    if not open_files:
        yield ok(SECRET_FILES, ", ".join(paths) or "there are none")


def _open_to_all(path: str, info: os.stat_result, *, is_shared: bool) -> Check:
    words = f"{path} holds a secret and can be read by every user"
    if info.st_uid == os.geteuid() and not is_shared:
        return warn(SECRET_FILES, "secret-file-open", words, f"chmod o= {shlex.quote(path)}")
    # No command: closed without a group that may read it, it would cut off those it is for.
    owner = "root" if info.st_uid == 0 else f"root or its owner, user {info.st_uid},"
    return warn(
        SECRET_FILES,
        "secret-file-open",
        f"{words}; {owner} has to give it to the agents' group (chgrp) and chmod it 0640",
    )


def _env_files(environ: Mapping[str, str], config: Config | None) -> list[str]:
    own = config.value("GIT_CREDENTIAL_RELAY_CONFIG") if config else None
    return [own.text] if own else [*SYSTEM_FILES, *user_files(environ)]


def _holds_secret(path: str) -> bool:
    names = {name for s in SETTINGS if s.is_secret for name in s.names if "_FILE" not in name}
    try:
        return any(name in names for name, _, _ in read_env_file(path))
    except ConfigError:
        return False  # the check of the configuration says why


def check_cache(config: Config | None, socket: str | None = None) -> Check:
    """Whether tokens can be kept between two commands."""
    if config is None:
        return skip(CACHE, "bad-configuration", "the configuration cannot be loaded")
    if socket is not None:
        return ok(CACHE, "tokens are in the sidecar's memory, and nowhere here")
    if config.cache != "tmpfs":
        return ok(CACHE, f"GIT_CREDENTIAL_RELAY_CACHE is {config.cache}")
    is_explicit = config.value("GIT_CREDENTIAL_RELAY_CACHE_DIR") is not None
    troubles: list[tuple[str, str | None]] = []
    for path in config.cache_dirs:
        trouble, fix = _look_at_cache(path, is_explicit=is_explicit)
        if trouble is None:
            return _look_at_space(path)
        troubles.append((f"{path} {trouble}", fix))
    fix = next((fix for _, fix in troubles if fix), None)
    words = "; ".join(trouble for trouble, _ in troubles)
    return warn(CACHE, "cache-unusable", f"every git command asks the API: {words}", fix)


def _look_at_cache(path: str, *, is_explicit: bool) -> tuple[str | None, str | None]:
    """Why a directory is passed over as the cache, if it is, and what mends it."""
    name = shlex.quote(path)
    try:
        info = os.lstat(path)
    except OSError:
        return _why_not_made(path, is_explicit=is_explicit), None
    if not stat.S_ISDIR(info.st_mode):
        return "is not a directory", f"rm {name}"
    if info.st_uid != os.geteuid():
        return f"belongs to user {info.st_uid}", f"rm -r {name}"
    if info.st_mode & 0o077:
        return "is open to other users", f"chmod 0700 {name}"
    return None, None


def _why_not_made(path: str, *, is_explicit: bool) -> str | None:
    """Why the cache would not make its directory, if so: by the rules of the cache itself."""
    parent = os.path.dirname(path)
    if is_explicit:
        while not os.path.exists(parent):
            parent = os.path.dirname(parent)
    elif not os.path.isdir(parent):
        return "cannot be made: the directory it would be in is not there"
    elif not is_safe_parent(parent):
        return f"is not made: others could exchange it in {parent}"
    elif not is_memory_backed(parent):
        return f"is not made: {parent} is not in memory"
    can_be_made = os.path.isdir(parent) and os.access(parent, os.W_OK | os.X_OK)
    return None if can_be_made else f"cannot be made in {parent}"


def _look_at_space(path: str) -> Check:
    place = path if os.path.isdir(path) else os.path.dirname(path)
    if os.path.isdir(place) and shutil.disk_usage(place).free == 0:
        words = f"every git command asks the API: {path} is on a full file system"
        return warn(CACHE, "cache-unusable", words)
    return ok(CACHE, path)


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None
