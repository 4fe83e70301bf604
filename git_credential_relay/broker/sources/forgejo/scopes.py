"""Permissions in a grant's words, and scopes in Forgejo's. Pure.

Forgejo has one scope for all of a repository: git, pull requests, statuses, workflows. Whoever
has it may push, so it is given for no more than what the grant says of `contents`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from git_credential_relay.broker.errors import GrantMissingError
from git_credential_relay.broker.sources.interface import LEVELS

CONTENTS = "contents"
METADATA = "metadata"
REPOSITORY = "repository"
_CATEGORIES = {
    CONTENTS: REPOSITORY,
    "pull_requests": REPOSITORY,
    "statuses": REPOSITORY,
    "actions": REPOSITORY,
    "workflows": REPOSITORY,
    "issues": "issue",
    "packages": "package",
    "organization": "organization",
}
_NONE = -1


def find_obstacle(name: str, permissions: Mapping[str, str]) -> str | None:
    """Why no token can have the permission `name` of these, or None."""
    category = _CATEGORIES.get(name)
    if category is None:
        return f"Forgejo has no scope for {name}"
    if category == REPOSITORY and _rank(_cap(permissions[name])) > _rank(
        _cap(permissions.get(CONTENTS, ""))
    ):
        return f"at Forgejo {name} = {permissions[name]} comes with the same level of contents"
    return None


def is_of_repository(name: str) -> bool:
    """Whether the permission is one that a repository's own scope carries."""
    return _CATEGORIES.get(name) == REPOSITORY


def narrow_permissions(permissions: Mapping[str, str], use: str) -> dict[str, str]:
    """What a token for this use has of these permissions; git needs `contents` alone.

    Raises GrantMissingError, PERMISSION_NOT_GRANTED, for what no scope says without saying more.
    """
    if use == "git":
        permissions = {k: level for k, level in permissions.items() if k == CONTENTS}
    else:
        # Comes with every other scope as far as it is needed, and has none of its own.
        permissions = {k: level for k, level in permissions.items() if k != METADATA}
    for name in permissions:
        if obstacle := find_obstacle(name, permissions):
            raise GrantMissingError(
                obstacle,
                code="PERMISSION_NOT_GRANTED",
                hint="ask whoever owns the workspace to change the grant's permissions",
            )
    if not permissions:
        raise GrantMissingError(
            "this workspace's grant does not cover the repository's contents",
            code="PERMISSION_NOT_GRANTED",
            hint="ask whoever owns the workspace to grant contents",
        )
    return {name: _cap(level) for name, level in permissions.items()}


def scopes_of(permissions: Mapping[str, str]) -> list[str]:
    """Forgejo's scopes for narrowed permissions, in a fixed order."""
    levels: dict[str, str] = {}
    for name, level in permissions.items():
        category = _CATEGORIES[name]
        if _rank(level) > _rank(levels.get(category, "")):
            levels[category] = level
    return [f"{level}:{category}" for category, level in sorted(levels.items())]


def permissions_of(scopes: Iterable[str], asked: Mapping[str, str]) -> dict[str, str]:
    """What is left of the permissions asked for in a token with these scopes."""
    has = _levels(scopes)
    left = {
        name: min(level, has.get(_CATEGORIES[name], ""), key=_rank) for name, level in asked.items()
    }
    return {name: level for name, level in left.items() if level}


def are_scopes_within(given: Iterable[str], asked: Iterable[str]) -> bool:
    """Whether no scope given says more than those asked for."""
    allowed = _levels(asked)
    for scope in given:
        level, _, category = scope.partition(":")
        if level not in LEVELS or _rank(level) > _rank(allowed.get(category, "")):
            return False
    return True


def _levels(scopes: Iterable[str]) -> dict[str, str]:
    levels: dict[str, str] = {}
    for scope in scopes:
        level, _, category = scope.partition(":")
        if _rank(level) > _rank(levels.get(category, "")):
            levels[category] = level
    return levels


def _cap(level: str) -> str:
    # A token bound to repositories can administer none of them.
    return "write" if level == "admin" else level


def _rank(level: str) -> int:
    return LEVELS.index(level) if level in LEVELS else _NONE
