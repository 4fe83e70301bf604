"""What a mint brought, held against what was asked. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from git_credential_relay.broker.policy import is_within
from git_credential_relay.broker.sources.interface import Repository, Scope
from git_credential_relay.secret import Secret

# Of any length: GitHub's tokens have grown from 40 characters to some 520, and vary.
MAX_TOKEN = 8192


@dataclass(frozen=True, slots=True)
class Issued:
    """A token as GitHub described it; `wrong` says what is not as it was asked, or nothing.

    `renamed`: where only names differ, as after a rename, those that were asked for.
    """

    token: Secret | None
    expires_at: int
    repositories: tuple[Repository, ...]
    permissions: Mapping[str, str] = field(default_factory=dict)
    wrong: str = ""
    renamed: tuple[str, ...] = ()


def request_body(scope: Scope) -> dict[str, object]:
    """The body of a mint for exactly this scope.

    Never without repositories or permissions: what is left out means everything there is.
    """
    ids = [repository.id for repository in scope.repositories if repository.id is not None]
    if not scope.repositories or not scope.permissions:
        raise ValueError("a token without limits")
    permissions = dict(scope.permissions)
    if len(ids) == len(scope.repositories):
        return {"repository_ids": ids, "permissions": permissions}
    names = [repository.name.rpartition("/")[2] for repository in scope.repositories]
    return {"repositories": names, "permissions": permissions}


def check_issued(body: object, scope: Scope, now: float) -> Issued:
    """The token in the body of a 201, with what is wrong about it; `now` in Unix seconds."""
    fields = body if isinstance(body, dict) else {}
    token = _token(fields.get("token"))
    expires_at = _expires_at(fields.get("expires_at"))
    repositories = _repositories(fields.get("repositories"))
    given = _permissions(fields.get("permissions"))
    renamed: tuple[str, ...] = ()
    if token is None:
        wrong = "no usable token"
    elif expires_at <= now:
        wrong = "its expiry is in the past or unreadable"
    elif fields.get("repository_selection") != "selected":
        wrong = "it is not for selected repositories"
    elif given is None or not is_within(given, scope.permissions):
        wrong = "it has permissions that were not asked for"
    else:
        wrong, renamed = _compare(scope.repositories, repositories)
    return Issued(token, expires_at, repositories, given or {}, wrong, renamed)


def _compare(
    asked: tuple[Repository, ...], given: tuple[Repository, ...]
) -> tuple[str, tuple[str, ...]]:
    left = list(given)
    unmatched = []
    for repository in asked:
        found = next((other for other in left if _is_same(repository, other)), None)
        if found is None:
            unmatched.append(repository)
        else:
            left.remove(found)
    if not unmatched and not left:
        return "", ()
    # A pinned repository that is another one by its id has not merely been renamed.
    is_renamed = len(unmatched) == len(left) and all(r.id is None for r in unmatched)
    names = tuple(repository.name for repository in unmatched) if is_renamed else ()
    return "it is for other repositories", names


def _is_same(asked: Repository, given: Repository) -> bool:
    if asked.id is not None:
        return asked.id == given.id
    return asked.name.lower() == given.name.lower()


def _token(value: object) -> Secret | None:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TOKEN:
        return None
    # What git or a header would break apart is no token.
    return Secret(value) if value.isascii() and value.isprintable() and " " not in value else None


def _expires_at(value: object) -> int:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        # Without a zone it could mean any time of a day.
        return int(moment.timestamp()) if moment is not None and moment.tzinfo else 0
    except (ValueError, OverflowError):
        return 0


def _repositories(value: object) -> tuple[Repository, ...]:
    found = []
    for item in value if isinstance(value, list) else []:
        match item:
            case {"id": int(number), "full_name": str(name)}:
                found.append(Repository(name, number))
            case _:
                found.append(Repository("?"))  # matches nothing that could be asked
    return tuple(found)


def _permissions(value: object) -> dict[str, str] | None:
    if not isinstance(value, dict):
        return None
    return {str(name): str(level) for name, level in value.items()}
