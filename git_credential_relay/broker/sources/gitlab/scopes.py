"""A grant's permissions in GitLab's words, and back. Pure.

GitLab has three words for git and two for its API, and a role beside them: a token may do what
both allow. Scopes: GitLab's documentation of project access tokens.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from git_credential_relay.broker.errors import GrantMissingError
from git_credential_relay.broker.policy import API, GIT
from git_credential_relay.broker.sources.interface import Scope

READ_REPOSITORY, WRITE_REPOSITORY = "read_repository", "write_repository"
READ_API, WRITE_API = "read_api", "api"
REPORTER, DEVELOPER, MAINTAINER, OWNER = 20, 30, 40, 50


def narrow_permissions(scope: Scope) -> Scope:
    """`scope` with the permissions and the role that a token of its own would have.

    Raises GrantMissingError for what GitLab cannot give without giving more.
    """
    permissions = dict(scope.permissions)
    if scope.use == GIT:
        if "contents" not in permissions:
            raise _not_granted("git needs the permission contents", "add contents to the grant")
        permissions = {"contents": permissions["contents"]}
    permissions = {
        name: "read" if level == "read" else "write" for name, level in permissions.items()
    }
    may_push = permissions.get("contents") == "write"
    # Default branches are protected against less than Maintainer, and merge jobs push there.
    level = scope.access_level or (MAINTAINER if may_push else REPORTER)
    if WRITE_API in forge_scopes(permissions, scope.use) and not may_push:
        _refuse_more_than_granted(permissions, level)
    return replace(scope, permissions=permissions, access_level=level)


def forge_scopes(permissions: Mapping[str, str], use: str) -> tuple[str, ...]:
    """The least of GitLab's scopes that covers narrowed permissions."""
    writes = any(level != "read" for level in permissions.values())
    if use == API:
        return (WRITE_API,) if writes else (READ_API, READ_REPOSITORY)
    return (READ_REPOSITORY, WRITE_REPOSITORY) if writes else (READ_REPOSITORY,)


def given_permissions(
    asked: Mapping[str, str], use: str, scopes: Collection[str], access_level: int
) -> dict[str, str]:
    """What of the narrowed permissions a token of these scopes in this role has."""
    reads = {READ_API, WRITE_API} if use == API else {READ_REPOSITORY, WRITE_API}
    writes = {WRITE_API} if use == API else {WRITE_REPOSITORY, WRITE_API}
    if not reads.intersection(scopes):
        return {}
    given = {}
    for name, level in asked.items():
        needed = REPORTER if name in _REPORTER_WRITES else DEVELOPER
        is_write = bool(writes.intersection(scopes)) and access_level >= needed
        given[name] = "write" if level != "read" and is_write else "read"
    return given


# What a Reporter may write; everything else takes a Developer, who may push as well.
_REPORTER_WRITES = frozenset({"issues"})


def _refuse_more_than_granted(permissions: Mapping[str, str], level: int) -> None:
    """With the scope `api` git can push, unless the role forbids it."""
    writes = {name for name, given in permissions.items() if given == "write"}
    if writes <= _REPORTER_WRITES and level <= REPORTER:
        return
    raise _not_granted(
        "GitLab has no token that may write "
        f"{', '.join(sorted(writes))} and may not push: the grant has contents = read",
        "grant contents = write, or read for everything but issues with access_level = 20",
    )


def _not_granted(message: str, hint: str) -> GrantMissingError:
    return GrantMissingError(message, code="PERMISSION_NOT_GRANTED", hint=hint)
