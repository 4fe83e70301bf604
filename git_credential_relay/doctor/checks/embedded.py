"""Passwords and tokens that somebody wrote into a repository's addresses, and their removal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from git_credential_relay.doctor.addresses import secrets_in, user_info, without_user
from git_credential_relay.doctor.git import Git, run
from git_credential_relay.doctor.gitconfig import Entry
from git_credential_relay.doctor.helper_commands import PROGRAM
from git_credential_relay.doctor.owner import owner_of
from git_credential_relay.doctor.report import Check, fail, ok
from git_credential_relay.doctor.urlmatch import parse_url

EMBEDDED = "embedded-credentials"
# The settings whose value may be an address. http.proxy is not one: its password belongs there.
_ADDRESSES = {
    "remote": ("url", "pushurl", "lfsurl", "lfspushurl", "pushdefault"),
    "branch": ("remote", "pushremote"),
    "submodule": ("url",),
    "lfs": ("url", "pushurl"),
}
# The sections whose name holds one.
_NAMED_BY_ADDRESS = ("url", "http", "credential")
# Git has the old name of a section among its arguments, where every process could read the
# secret. So this edits the file as git would, under git's lock; what to change is on stdin.
_EDIT = """\
set -eu
umask 077
file=$(readlink -f -- "$1")
lock=$file.lock
set -C
: >"$lock"
set +C
trap 'rm -f -- "$lock"' EXIT
cp -p -- "$file" "$lock"  # for its mode
sed -f - -- "$file" >"$lock"
mv -- "$lock" "$file"
trap - EXIT
"""


def in_values(entries: Iterable[Entry]) -> list[Entry]:
    """The entries whose value is an address with a secret in it."""
    return [
        entry
        for entry in entries
        if entry.variable in _ADDRESSES.get(entry.section, ()) and secrets_in(entry.value or "")
    ]


def in_names(entries: Iterable[Entry]) -> list[Entry]:
    """The entries whose section's name is an address with a secret in it."""
    return [
        entry
        for entry in entries
        if entry.section in _NAMED_BY_ADDRESS and secrets_in(entry.subsection or "")
    ]


def check_embedded(entries: Sequence[Entry]) -> Iterator[Check]:
    """Secrets in the addresses of all remotes, submodules, branches and rewriting rules."""
    values, names = in_values(entries), in_names(entries)
    for entry in values:
        yield fail(
            EMBEDDED,
            "credential-in-url",
            f"{_key(entry)} in {entry.origin} holds a password{_host(entry.value)}; after it is"
            " out, revoke it at the forge",
            f"{PROGRAM} doctor --fix" if entry.file else None,
        )
    for file in dict.fromkeys(entry.file for entry in names):
        sections = {entry.section for entry in names if entry.file == file}
        yield fail(
            EMBEDDED,
            "credential-in-section",
            f"the name of a [{'], ['.join(sorted(sections))}] section in {file} holds a password;"
            " after it is out, revoke it at the forge",
            f"{PROGRAM} doctor --fix" if file else None,
        )
    if not (values or names):
        yield ok(EMBEDDED, "none in any address")


def strip(git: Git, entries: Sequence[Entry]) -> Iterator[Check]:
    """Take the secrets out of all addresses, each in its own file as the file's owner."""
    values = in_values(entries)
    for file, key in dict.fromkeys((entry.file, entry.key) for entry in values):
        if file is None:
            continue
        entry = next(e for e in values if (e.file, e.key) == (file, key))
        old = [e.value or "" for e in entries if (e.file, e.key) == (file, key)]
        error = _replace(git, file, key, [without_user(v) if secrets_in(v) else v for v in old])
        if error is None:
            yield Check(
                EMBEDDED,
                "ok",
                "repaired",
                f"took the password out of {_key(entry)} in {file}; revoke it at the forge",
            )
        else:
            yield fail(EMBEDDED, "fix-failed", f"{_key(entry)} in {file}: {error}")
    names = in_names(entries)
    for file in dict.fromkeys(entry.file for entry in names if entry.file is not None):
        error = _rename(git, file, [e.subsection or "" for e in names if e.file == file])
        if error is None:
            yield Check(
                EMBEDDED,
                "ok",
                "repaired",
                f"took the password out of the names of sections in {file}; revoke it at the forge",
            )
        else:
            yield fail(EMBEDDED, "fix-failed", f"names of sections in {file}: {error}")


def _replace(git: Git, file: str, key: str, values: list[str]) -> str | None:
    """Write `values` in place of all that `key` had; what git says when it fails.

    Never with a pattern: a secret in the arguments could be read by every process.
    """
    try:
        owner = owner_of(file)
    except OSError as error:
        return error.strerror or type(error).__name__
    arguments = ["--replace-all", key]
    for value in values:
        done = git.run("config", "--file", file, *arguments, value, owner=owner)
        if done.code != 0:
            return done.err.strip() or f"git config exited with {done.code}"
        arguments = ["--add", key]
    return None


def _rename(git: Git, file: str, names: list[str]) -> str | None:
    """Take the user out of the sections called `names`; what the shell says when that fails."""
    lines = []
    for name in dict.fromkeys(names):
        user = f"{user_info(name)}@"
        before = name[: name.index(user)]
        old, new = _for_sed(before + user), _for_sed(before)
        lines.append(f'/^[[:space:]]*\\[/s/"{old}/"{new}/')
    try:
        owner = owner_of(file)
    except OSError as error:
        return error.strerror or type(error).__name__
    script = "\n".join(lines).encode("utf-8", "surrogateescape")
    done = run(["sh", "-c", _EDIT, "sh", file], git.environ, owner=owner, stdin=script)
    if done.code != 0:
        return done.err.strip() or f"sh exited with {done.code}"
    if in_names(git.file_entries(file)):
        return "it is written in a way that only a person can take it out of"
    return None


def _for_sed(text: str) -> str:
    """`text` as git writes it between quotes, as a pattern of sed's."""
    quoted = re.sub(r'(["\\])', r"\\\1", text)
    return re.sub(r"([][\\.*^$/&])", r"\\\1", quoted)


def _key(entry: Entry) -> str:
    """The key, whose middle somebody else chose."""
    return f"{entry.section}.{entry.subsection}.{entry.variable}" if entry.subsection else entry.key


def _host(value: str | None) -> str:
    url = parse_url(value or "")
    return f" for {url.host}" if url else ""
