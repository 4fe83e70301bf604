"""Whether what a grant promises will work, asked at the forge before anything is stored."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from msgspec.structs import replace

from git_credential_relay.broker.config.load import ForgeEntry
from git_credential_relay.broker.errors import BadRequestError, ForgeRefusedError
from git_credential_relay.broker.policy import Grant
from git_credential_relay.broker.sources.interface import LEVELS, TokenSource
from git_credential_relay.broker.workspaces.compile import (
    compile_document,
    forge_of,
    is_probable,
)
from git_credential_relay.broker.workspaces.document import GrantDocument
from git_credential_relay.broker.workspaces.probe import FETCH, PUSH, Probe
from git_credential_relay.broker.workspaces.wire import Works
from git_credential_relay.credential.forge import Forge
from git_credential_relay.errors import ConfigError
from git_credential_relay.secret import Secret, printable

OWN_TOKEN = "own-token"  # noqa: S105 - what stands in the place of a source's name
# Repositories asked about at the same time; forges limit how many requests run at once.
AT_ONCE = 8
T = TypeVar("T")


class SourceFinder(Protocol):
    """Knows which source mints for a grant."""

    def for_grant(self, forge: Forge, owner: str, integration: str | None) -> TokenSource | None:
        """The source for repositories of `owner`, None where nobody mints."""
        ...


@dataclass(frozen=True, slots=True)
class Checked:
    """A grant with the repositories' ids pinned, and what it gives."""

    document: GrantDocument
    forge: Forge
    works: list[Works]


async def check_grant(
    document: GrantDocument,
    forges: Sequence[ForgeEntry],
    sources: SourceFinder,
    probe: Probe,
    *,
    allow_partial: bool,
) -> Checked:
    """What the forge says to each repository of the grant.

    Raises BadRequestError for a grant that means nothing, ForgeRefusedError (NO_INTEGRATION,
    FORGE_PERMISSION_NOT_GRANTED, …) for one that would not work, ForgeUnavailableError.
    """
    grant = _compile(document, forges)
    if grant.token is not None:
        works = await _try_own_token(grant, grant.token, forges, probe)
        return Checked(document, grant.forge, works)
    found = [(text, _get_source(grant, text, forges, sources)) for text in _names(grant)]
    works = await _gather([partial(_ask, grant, text, source) for text, source in found])
    _check_missing(works, allow_partial)
    permissions = _common(grant.permissions, works)
    if permissions != grant.permissions:
        document = replace(document, permissions=permissions)
        _compile(document, forges)
    ids = {one.repository: one.repository_id for one in works if one.repository_id is not None}
    return Checked(replace(document, repository_ids=ids), grant.forge, works)


def _compile(document: GrantDocument, forges: Sequence[ForgeEntry]) -> Grant:
    if document.token is None:
        try:
            forge_of(document, forges)
        except ConfigError as error:
            name = printable(document.host, 100)
            what = f"nothing mints tokens for {name}"
            if document.integration is not None:
                what = (
                    f"no [[forge]] {printable(document.integration, 100)} mints tokens for {name}"
                )
            raise _no_integration(what, name, None) from error
    try:
        return compile_document(document, forges)
    except ConfigError as error:
        raise BadRequestError(error.message, code="INVALID_GRANT", hint=error.hint) from error


def _names(grant: Grant) -> list[str]:
    return [pattern.text for pattern in grant.patterns]


def _get_source(
    grant: Grant, name: str, forges: Sequence[ForgeEntry], sources: SourceFinder
) -> TokenSource:
    owner = name.rpartition("/")[0]
    source = sources.for_grant(grant.forge, owner, grant.integration)
    if source is None:
        what = f"nothing mints tokens for {owner} at {grant.forge.host}"
        raise _no_integration(what, grant.forge.host, owner)
    return source


def _no_integration(what: str, host: str, owner: str | None) -> ForgeRefusedError:
    entry = f"a [[forge]] for {owner} at {host}" if owner else f"a [[forge]] with host {host}"
    app = f"install the App on {owner} and " if owner and host == "github.com" else ""
    return ForgeRefusedError(
        what,
        code="NO_INTEGRATION",
        hint=f"{app}add {entry} to the broker's configuration, or give token, a user's own",
    )


async def _ask(grant: Grant, name: str, source: TokenSource) -> Works:
    if "*" in name:
        # Of what a pattern means, nobody knows the names yet.
        return _works(grant, name, source.name, is_verified=False)
    verified = await source.verify(name, grant.permissions)
    pinned = grant.pinned(name)
    if pinned is not None and verified.repository.id not in (None, pinned):
        raise ForgeRefusedError(
            f"{name} is another repository than the one with the pinned id",
            code="FORGE_REPOSITORY_MISMATCH",
            hint="leave repositoryIds out to take the repository that has the name now",
        )
    return Works(
        host=grant.forge.host,
        repository=name,
        repository_id=verified.repository.id if verified.repository.id is not None else pinned,
        permissions=dict(verified.permissions),
        missing={key: printable(text) for key, text in verified.missing.items()},
        source=source.name,
    )


def _works(grant: Grant, name: str, source: str, *, is_verified: bool) -> Works:
    return Works(
        host=grant.forge.host,
        repository=name,
        permissions=dict(grant.permissions),
        source=source,
        verified=is_verified,
    )


def _check_missing(works: Sequence[Works], allow_partial: bool) -> None:
    for one in works:
        if not one.missing or (allow_partial and one.permissions):
            continue
        wanted = "; ".join(f"{name}: {reason}" for name, reason in sorted(one.missing.items()))
        raise ForgeRefusedError(
            f"the forge does not give all permissions at {one.repository}: {wanted}",
            code="FORGE_PERMISSION_NOT_GRANTED",
            hint="grant them at the forge, ask for less, or say allowPartial to take what there is",
        )


def _common(wanted: Mapping[str, str], works: Sequence[Works]) -> dict[str, str]:
    """What can be had of `wanted` at every repository: one grant is one set of permissions."""
    common = dict(wanted)
    for one in works:
        if not one.missing:
            continue
        common = {
            name: min(level, one.permissions[name], key=LEVELS.index)
            for name, level in common.items()
            if name in one.permissions
        }
    if not common:
        raise ForgeRefusedError(
            "the forge gives none of the permissions at all of the repositories",
            code="FORGE_PERMISSION_NOT_GRANTED",
            hint="make a grant for each repository",
        )
    return common


async def _try_own_token(
    grant: Grant, token: Secret, forges: Sequence[ForgeEntry], probe: Probe
) -> list[Works]:
    is_tried = is_probable(grant.forge, forges)
    if is_tried:
        service = FETCH if grant.permissions.get("contents", "read") == "read" else PUSH
        here = [entry for entry in forges if entry.forge.url == grant.forge.url]
        ca_file = next((entry.model.ca_file for entry in here if entry.model.ca_file), None)
        username = grant.username or ""
        await _gather(
            [
                partial(probe, grant.forge, name, username, token, service=service, ca_file=ca_file)
                for name in _names(grant)
            ]
        )
    return [_works(grant, name, OWN_TOKEN, is_verified=is_tried) for name in _names(grant)]


async def _gather(asked: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """All answers; the first error ends the others."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(ask: Callable[[], Awaitable[T]]) -> T:
        async with room:
            return await ask()

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(ask)) for ask in asked]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
