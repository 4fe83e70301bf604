"""What answers a forge before git asks any helper: headers in the configuration, and netrc."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from git_credential_relay.doctor.checks.helpers import away_command
from git_credential_relay.doctor.gitconfig import (
    COMMAND_VARIABLES,
    Entry,
    about,
    edit_command,
    in_force,
    unset_command,
)
from git_credential_relay.doctor.report import Check, fail, ok
from git_credential_relay.doctor.urlmatch import Url

HEADERS = "extra-headers"
NETRC = "netrc"
MAX_NETRC = 64 * 1024


def check_headers(entries: Sequence[Entry], url: Url) -> Iterator[Check]:
    """http.extraHeader with an Authorization: git sends it, and no helper's token."""
    found = [
        entry
        for entry in in_force(about(entries, "http", "extraheader", url))
        if (entry.value or "").lstrip().lower().startswith("authorization:")
    ]
    for entry in found:
        yield fail(
            HEADERS,
            "authorization-header",
            f"an Authorization header in {entry.origin} is sent to {url.address} in place of any"
            " token of ours",
            _removal(entry, entries),
        )
    if not found:
        yield ok(HEADERS, f"none with an Authorization for {url.address}")


def _removal(entry: Entry, entries: Sequence[Entry]) -> str:
    if entry.file is None:
        return "unset " + " ".join(COMMAND_VARIABLES)
    same = [e for e in entries if (e.file, e.key) == (entry.file, entry.key)]
    if all((e.value or "").lstrip().lower().startswith("authorization:") for e in same):
        return unset_command(same, entries)
    return edit_command(entry.file)  # a pattern would have to show the header


def check_netrc(environ: Mapping[str, str], url: Url) -> Check:
    """~/.netrc: with an entry for the host git's HTTP library does not ask for a helper."""
    home = environ.get("HOME", "")
    path = os.path.join(home, ".netrc")
    text = _read(path) if home.startswith("/") else None
    if text is None:
        return ok(NETRC, "there is none")
    if not names_host(text, url.host):
        return ok(NETRC, f"{path} has no entry for {url.host}")
    return fail(
        NETRC,
        "netrc-entry",
        f"{path} has an entry for {url.host}, which is used in place of any helper",
        away_command(path),
    )


def names_host(text: str, host: str) -> bool:
    """Whether a netrc file has an entry that is for `host`."""
    words = iter(text.split())
    for word in words:
        if word == "default":
            return True
        if word in ("login", "password", "account"):
            next(words, None)
        elif word == "machine" and next(words, "").lower() == host:
            return True
    return False


def _read(path: str) -> str | None:
    if not os.path.isfile(path):
        return None  # nor wait for the writer of a FIFO
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read(MAX_NETRC)
    except OSError:
        return None
