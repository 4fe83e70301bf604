"""Modes and owners of the files that the wiring is made of."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence

from git_credential_relay.config import SYSTEM_FILES, Config, user_files
from git_credential_relay.doctor.checks.helpers import install_command, own_program
from git_credential_relay.doctor.git import Done
from git_credential_relay.doctor.gitconfig import Entry
from git_credential_relay.doctor.report import Check, fail, ok, skip, warn
from git_credential_relay.env_file import read_env_file
from git_credential_relay.errors import ConfigError
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


def check_launchers(entries: Sequence[Entry]) -> Iterator[Check]:
    """What git is told to run is there and can be run."""
    programs = [own_program(e.value) for e in entries if _is_helper(e)]
    paths = [path for path in dict.fromkeys(programs) if path is not None]
    found = [check for path in paths if (check := _look_at_launcher(path)) is not None]
    if found:
        yield from found
    elif paths:
        yield ok(LAUNCHERS, ", ".join(paths))
    else:
        yield skip(LAUNCHERS, "not-wired", "git is not told to run one")


def _is_helper(entry: Entry) -> bool:
    return entry.section == "credential" and entry.variable == "helper"


def _look_at_launcher(path: str) -> Check | None:
    again = install_command()
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
    if config is not None:
        values = [config.value(f"{s.name}_FILE") for s in SETTINGS if s.is_secret]
        paths += [value.text for value in values if value is not None]
    open_paths = [p for p in paths if (info := _stat(p)) and info.st_mode & stat.S_IROTH]
    for path in open_paths:
        yield warn(
            SECRET_FILES,
            "secret-file-open",
            f"{path} holds a secret and can be read by every user",
            f"chmod o= {shlex.quote(path)}",
        )
    if not open_paths:
        yield ok(SECRET_FILES, ", ".join(paths) or "there are none")


def _env_files(environ: Mapping[str, str], config: Config | None) -> list[str]:
    own = config.value("GIT_CREDENTIAL_RELAY_CONFIG") if config else None
    return [own.text] if own else [*SYSTEM_FILES, *user_files(environ)]


def _holds_secret(path: str) -> bool:
    names = {name for s in SETTINGS if s.is_secret for name in s.names if "_FILE" not in name}
    try:
        return any(name in names for name, _, _ in read_env_file(path))
    except ConfigError:
        return False  # the check of the configuration says why


def check_cache(config: Config | None) -> Check:
    """Whether tokens can be kept between two commands."""
    if config is None:
        return skip(CACHE, "bad-configuration", "the configuration cannot be loaded")
    if config.cache != "tmpfs":
        return ok(CACHE, f"GIT_CREDENTIAL_RELAY_CACHE is {config.cache}")
    troubles: list[tuple[str, str]] = []
    for path in config.cache_dirs:
        trouble, fix = _look_at_cache(path)
        if trouble is None:
            return ok(CACHE, path)
        troubles.append((f"{path} {trouble}", fix or ""))
    fix = next((fix for _, fix in troubles if fix), None)
    words = "; ".join(trouble for trouble, _ in troubles)
    return warn(CACHE, "cache-unusable", f"every git command asks the API: {words}", fix)


def _look_at_cache(path: str) -> tuple[str | None, str | None]:
    """What keeps a directory from being the cache, if anything, and what mends it."""
    name = shlex.quote(path)
    try:
        info = os.lstat(path)
    except OSError:
        parent = os.path.dirname(path)
        while not os.path.exists(parent):
            parent = os.path.dirname(parent)
        can_be_made = os.access(parent, os.W_OK | os.X_OK)
        return (None, None) if can_be_made else (f"cannot be made in {parent}", None)
    if not stat.S_ISDIR(info.st_mode):
        return "is not a directory", f"rm {name}"
    if info.st_uid != os.geteuid():
        return f"belongs to user {info.st_uid}", f"rm -r {name}"
    if info.st_mode & 0o077:
        return "is open to other users", f"chmod 0700 {name}"
    if shutil.disk_usage(path).free == 0:
        return "is on a full file system", None
    return None, None


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None
