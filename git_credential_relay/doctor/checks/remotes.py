"""Where the remotes lead: to us, past us, or to somebody else."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from git_credential_relay.credential.forge import Forge
from git_credential_relay.doctor.addresses import (
    forge_at,
    secrets_in,
    shown,
    ssh_place,
    target_of,
    user_info,
    without_user,
)
from git_credential_relay.doctor.checks.helpers import install_command
from git_credential_relay.doctor.gitconfig import Entry, edit_command, unset_command
from git_credential_relay.doctor.report import Check, fail, ok, skip, warn
from git_credential_relay.doctor.repository import Address, Repository
from git_credential_relay.doctor.urlmatch import Url, parse_url

REMOTES = "remotes"
REPOSITORY = "repository"


def check_repository(repository: Repository | None, words: str) -> Check:
    """The repository we stand in, and whether git works in it."""
    if repository is None:
        return skip(REPOSITORY, "no-repository", f"not in a repository: {words or 'none asked'}")
    if repository.refused is not None:
        return fail(
            REPOSITORY,
            "dubious-ownership",
            f"git does not work in {repository.refused}: it belongs to another user",
            f"git config --global --add safe.directory {shlex.quote(repository.refused)}",
        )
    return ok(REPOSITORY, repository.top)


def check_addresses(
    addresses: Sequence[Address],
    entries: Sequence[Entry],
    forges: list[Forge],
    socket: str | None = None,
) -> Iterator[Check]:
    """Every remote's addresses, as git uses them after insteadOf."""
    seen: list[Check] = []
    for address in addresses:
        finding = _look_at(address, entries, forges, socket)
        if finding is not None and finding not in seen:
            seen.append(finding)
    yield from seen
    if not addresses:
        yield skip(REMOTES, "no-remotes", "there are none")
    elif not seen:
        places = dict.fromkeys(shown(address.url) for address in addresses)
        yield ok(REMOTES, ", ".join(places))


def _look_at(
    address: Address, entries: Sequence[Entry], forges: list[Forge], socket: str | None
) -> Check | None:
    what = f"{address.remote} ({shown(address.url)})"
    url = parse_url(address.url)
    if url is None or url.scheme not in ("https", "http"):
        if address.rewriter is not None and _is_ours(address.configured, forges):
            return _rewritten(address, entries, what)
        # Or a path, a bundle, whose readers need no credential.
        place = ssh_place(address.url)
        return _ssh(address, entries, forges, what, place) if place else None
    if forge_at(forges, url.address, url.scheme) is None:
        if url.scheme == "http" and forge_at(forges, url.host):
            secure = f"https://{url.host}/{url.path}"
            return warn(
                REMOTES,
                "plain-http-remote",
                f"{what}: over plain http git gets no token",
                _replace(address, secure, entries),
            )
        return warn(
            REMOTES,
            "host-not-ours",
            f"{what}: we do not answer for this host",
            install_command("--host", shlex.quote(_as_host(url)), socket=socket),
        )
    if url.path and target_of(forges, address.url) is None:
        return warn(
            REMOTES,
            "not-a-repository",
            f"{what}: this is not owner/name, so we stay silent",
        )
    info = user_info(address.url)
    forge = forge_at(forges, url.address, url.scheme)
    is_name = info is not None and not secrets_in(address.url)
    if is_name and forge is not None and forge.username not in (None, info):
        return warn(
            REMOTES,
            "user-in-remote",
            f"{address.remote} names a user: git asks for that user's credential, and we stay"
            " silent unless the API's user is called so",
            _replace(address, without_user(address.configured), entries),
        )
    return None


def _ssh(
    address: Address,
    entries: Sequence[Entry],
    forges: list[Forge],
    what: str,
    place: tuple[str, str],
) -> Check | None:
    host, path = place
    if forge_at(forges, host) is None:
        return None
    return warn(
        REMOTES,
        "ssh-remote",
        f"{what}: over ssh git asks no helper",
        _replace(address, f"https://{host}/{path}", entries),
    )


def _as_host(url: Url) -> str:
    """How `install --host` takes it: a bare host means https."""
    return url.address if url.scheme == "https" else f"{url.scheme}://{url.address}"


def _is_ours(text: str, forges: list[Forge]) -> bool:
    url = parse_url(text)
    return url is not None and forge_at(forges, url.address, url.scheme) is not None


def _rewritten(address: Address, entries: Sequence[Entry], what: str) -> Check:
    assert address.rewriter is not None  # noqa: S101 - for the type checker
    return fail(
        REMOTES,
        "rewritten-away",
        f"{what}: {address.rewriter.variable} in {address.rewriter.origin} leads"
        f" {shown(address.configured)} there, where git asks no helper",
        unset_command([address.rewriter], entries),
    )


def _replace(address: Address, url: str, entries: Sequence[Entry]) -> str | None:
    entry = address.entry
    if entry is None or entry.file is None:
        return None
    if sum((e.file, e.key) == (entry.file, entry.key) for e in entries) > 1:
        # To name one of several it would have to show the old one, whoever is in it.
        return edit_command(entry.file)
    return (
        f"git config --file {shlex.quote(entry.file)} --replace-all"
        f" {shlex.quote(entry.key)} {shlex.quote(url)}"
    )
