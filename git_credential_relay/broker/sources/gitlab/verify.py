"""What a token would be able to do in a project, told without making one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from git_credential_relay.broker.errors import ForgeRefusedError, GrantMissingError
from git_credential_relay.broker.policy import API, GIT
from git_credential_relay.broker.sources.gitlab.api import GitLabApi
from git_credential_relay.broker.sources.gitlab.scopes import (
    DEVELOPER,
    OWNER,
    narrow_permissions,
)
from git_credential_relay.broker.sources.interface import Repository, Scope, Verified


async def verify_project(
    api: GitLabApi,
    project: Mapping[str, Any],
    repository: str,
    permissions: Mapping[str, str],
    deadline: float,
    *,
    minimum: int,
) -> Verified:
    """What the wanted permissions come to; `minimum` is the role our own token needs.

    Raises ForgeRefusedError, FORGE_FORBIDDEN where that role is less.
    """
    level = await _own_level(api, project, deadline)
    if level < minimum:
        raise ForgeRefusedError(
            f"the broker's own token has too small a role in {repository}",
            code="FORGE_FORBIDDEN",
            hint=f"make its user a Maintainer of {repository}"
            if minimum > DEVELOPER
            else f"make its user a member of {repository}",
        )
    missing = {}
    for name, wanted in permissions.items():
        reason = _missing(project, permissions, name, wanted, level)
        if reason is not None:
            missing[name] = reason
    given = {name: wanted for name, wanted in permissions.items() if name not in missing}
    return Verified(Repository(repository, project["id"]), given, missing)


def _missing(
    project: Mapping[str, Any],
    permissions: Mapping[str, str],
    name: str,
    wanted: str,
    level: int,
) -> str | None:
    """Why a permission is not to be had, or None."""
    if wanted == "read":
        return None
    if project.get("archived") is True:
        return "the project is archived"
    if level < DEVELOPER:
        return "the broker's own token may only read there"
    repository = (Repository(project["path_with_namespace"]),)
    try:
        alone = {"contents": permissions.get("contents", "read"), name: wanted}
        narrow_permissions(Scope(repository, alone, GIT if name == "contents" else API))
    except GrantMissingError as error:
        return error.message
    return None


async def _own_level(api: GitLabApi, project: Mapping[str, Any], deadline: float) -> int:
    """The role of our own token's user in the project; that of an owner for administrators."""
    access = project.get("permissions")
    levels = [
        entry.get("access_level")
        for entry in (access.values() if isinstance(access, dict) else ())
        if isinstance(entry, dict)
    ]
    known = [level for level in levels if type(level) is int]
    if known:
        return max(known)
    answer = await api.get("/user", deadline)
    user = answer.json()
    return OWNER if isinstance(user, dict) and user.get("is_admin") is True else 0
