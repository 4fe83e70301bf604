"""What a workspace may have: grants, compiled once, and the decision about one request. Pure.

Names are compared without regard to case where the forge does so itself (all but `static`),
patterns by `re.fullmatch` alone: `$` would accept a trailing newline, and a pattern joined to
anchors by hand accepts what an alternative in it leaves open.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from git_credential_relay.broker.sources.interface import LEVELS, Repository, Scope
from git_credential_relay.credential.forge import GITHUB, STATIC, Forge
from git_credential_relay.credential.url import DEFAULT_PORTS, normalise_host
from git_credential_relay.errors import ConfigError, ProtocolError
from git_credential_relay.secret import Secret, token_sha256

GIT, API, ANY = "git", "api", "any"
USES = frozenset({GIT, API})
# What git itself needs at GitHub; the other permissions are for its API.
GIT_PERMISSIONS = frozenset({"contents", "metadata", "workflows"})
# GitHub knows no lower level of this one.
WRITE_ONLY = frozenset({"workflows"})
MAX_REPOSITORIES = 500  # of one GitHub token
# Checked with the secret's own rules before; here only names and ids.
_PERMISSION = re.compile(r"[a-z][a-z0-9_]{0,63}")
_SEGMENT = r"[A-Za-z0-9_~+-][A-Za-z0-9_.~+-]*|\.[A-Za-z0-9_~+-][A-Za-z0-9_.~+-]*"
_OWNER = re.compile(rf"(?:{_SEGMENT})(?:/(?:{_SEGMENT}))*")
_NAME = re.compile(r"[A-Za-z0-9_.~+*-]+")


@dataclass(frozen=True, slots=True)
class Pattern:
    """`owner/name`, where `*` in the name stands for any characters but a slash."""

    text: str
    is_exact: bool
    regex: re.Pattern[str] = field(repr=False)

    def matches(self, name: str) -> bool:
        """Whether the whole of `name` is what this pattern means."""
        return self.regex.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class Grant:
    """Repositories of one forge, and what may be done there.

    `token` is the user's own, where this grant brings one; `integration` names the forge entry
    of the configuration that mints for it, where there are several for the host.
    """

    forge: Forge
    patterns: tuple[Pattern, ...]
    permissions: Mapping[str, str]
    uses: frozenset[str]
    repository_ids: Mapping[str, int]
    exact_names: frozenset[str]
    integration: str | None = None
    access_level: int | None = None
    token: Secret | None = None
    username: str | None = None

    @property
    def folds_case(self) -> bool:
        """Whether the forge takes `Acme/App` and `acme/app` for the same."""
        return self.forge.kind != STATIC

    def covers(self, repository: str) -> bool:
        """Whether a pattern of this grant means the repository."""
        name = repository.lower() if self.folds_case else repository
        # Exact names by a look-up: there may be hundreds, and every vend asks.
        return name in self.exact_names or any(
            pattern.matches(repository) for pattern in self.patterns if not pattern.is_exact
        )

    def pinned(self, repository: str) -> int | None:
        """The forge's id of the repository, where the grant pins one."""
        key = repository.lower() if self.folds_case else repository
        return self.repository_ids.get(key)


@dataclass(frozen=True, slots=True)
class Allowed:
    """The request may be served, with a token of this scope and no more."""

    forge: Forge
    scope: Scope
    integration: str | None
    token: Secret | None
    username: str | None


@dataclass(frozen=True, slots=True)
class Denied:
    """The workspace has something at this host, but not this. `code` says what is missing."""

    code: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class NotServed:
    """The workspace has nothing at this host: somebody else's question."""


Decision = Allowed | Denied | NotServed


@dataclass(frozen=True, slots=True)
class Policy:
    """All grants of one workspace. `digest` differs whenever they do."""

    grants: tuple[Grant, ...]
    digest: str
    _by_place: Mapping[tuple[str, str], tuple[Grant, ...]] = field(repr=False)

    def decide(self, host: str | None, path: str | None, use: str) -> Decision:
        """What a request for this host and repository may have.

        `host` and `path` are as the caller sent them; without a host github.com is meant, which
        is all that older clients know of. Raises ProtocolError for a path or use that is none.
        """
        if use not in USES:
            raise ProtocolError("use is neither git nor api")
        grants = self._grants_at(host or "github.com")
        if not grants:
            return NotServed()
        if path:
            return _decide_repository(grants, _repository(grants[0].forge, path), use)
        return _decide_all(grants, use)

    def _grants_at(self, host: str) -> tuple[Grant, ...]:
        for scheme in DEFAULT_PORTS:
            try:
                grants = self._by_place.get((scheme, normalise_host(host, scheme)))
            except ProtocolError:
                continue
            if grants:
                return grants
        return ()


def compile_policy(grants: Iterable[Grant]) -> Policy:
    """The policy of these grants."""
    grants = tuple(grants)
    places: dict[tuple[str, str], tuple[Grant, ...]] = {}
    for grant in grants:
        place = grant.forge.scheme, grant.forge.host
        places[place] = (*places.get(place, ()), grant)
    return Policy(grants, _digest(grants), places)


def compile_grant(
    forge: Forge,
    *,
    repositories: Iterable[str],
    permissions: Mapping[str, str] | None = None,
    uses: Iterable[str] = (GIT, API),
    read_only: bool = False,
    repository_ids: Mapping[str, int] | None = None,
    integration: str | None = None,
    access_level: int | None = None,
    token: Secret | None = None,
    username: str | None = None,
) -> Grant:
    """A grant that can be decided by. Raises ConfigError for one that could mean too much."""
    folds_case = forge.kind != STATIC
    patterns = tuple(_compile_pattern(text, folds_case) for text in repositories)
    if not patterns:
        raise ConfigError("a grant names no repositories", hint='repositories = ["owner/name"]')
    allowed_uses = frozenset(uses)
    if not allowed_uses or not allowed_uses <= USES:
        raise ConfigError('uses must be "git", "api" or both')
    levels = _compile_permissions(permissions or {"contents": "write"}, read_only)
    if forge.kind == GITHUB and allowed_uses == {GIT}:
        levels = {name: level for name, level in levels.items() if name in GIT_PERMISSIONS}
    if allowed_uses == {API} and levels.get("contents", "read") != "read":
        # No forge makes a difference: with such a token git could push as well.
        raise ConfigError(
            "contents = write with uses = [api] would let git push too",
            hint="use contents = read, or add git to uses",
        )
    if not levels:
        raise ConfigError(
            "a grant leaves no permission", hint='permissions = { contents = "read" }'
        )
    ids = {(n.lower() if folds_case else n): i for n, i in (repository_ids or {}).items()}
    for name in ids:
        if not any(p.is_exact and p.matches(name) for p in patterns):
            raise ConfigError(f"repository_ids names {name}, which repositories does not")
    if token is not None and any(not p.is_exact for p in patterns):
        # Nothing narrows a token that somebody brings along: it is bound to names, one by one.
        raise ConfigError("a grant with a token of its own must name its repositories exactly")
    return Grant(
        forge,
        patterns,
        levels,
        allowed_uses,
        ids,
        frozenset((p.text.lower() if folds_case else p.text) for p in patterns if p.is_exact),
        integration,
        access_level,
        token,
        username,
    )


def is_within(given: Mapping[str, str], asked: Mapping[str, str]) -> bool:
    """Whether no permission given is higher than what was asked; metadata:read comes by itself."""
    return all(
        (name == "metadata" and level == "read")
        or (name in asked and level in LEVELS and _rank(level) <= _rank(asked[name]))
        for name, level in given.items()
    )


def _rank(level: str) -> int:
    return LEVELS.index(level)


def _repository(forge: Forge, path: str) -> str:
    """The repository a request names, which counts from the forge's root: owner/name."""
    return Forge(forge.kind, forge.scheme, forge.host).repository(path)


def _decide_repository(grants: Sequence[Grant], repository: str, use: str) -> Decision:
    covering = [grant for grant in grants if grant.covers(repository)]
    if not covering:
        return Denied(
            "REPOSITORY_NOT_GRANTED",
            f"this workspace has no grant for {repository}",
            "ask whoever owns the workspace to grant the repository",
        )
    usable = [grant for grant in covering if use in grant.uses]
    if not usable:
        return Denied(
            "USE_NOT_GRANTED",
            f"this workspace's grant for {repository} is not for {use}",
            f"ask whoever owns the workspace to add {use} to the grant's uses",
        )
    # The first grant says who mints; those of another integration cannot add to its token.
    first = usable[0]
    same = [grant for grant in usable if _minter(grant) == _minter(first)]
    pinned = next((i for grant in same if (i := grant.pinned(repository)) is not None), None)
    return _allowed(same, (Repository(repository, pinned),), use)


def _decide_all(grants: Sequence[Grant], use: str) -> Decision:
    """Git did not say which repository, so the token is for all there are."""
    usable = [grant for grant in grants if use in grant.uses]
    if not usable:
        return Denied(
            "USE_NOT_GRANTED",
            f"this workspace has no grant for {use} at this host",
            f"ask whoever owns the workspace to add {use} to a grant's uses",
        )
    names = {pattern.text: grant for grant in usable for pattern in grant.patterns}
    first = usable[0]
    is_one = (
        all(pattern.is_exact for grant in usable for pattern in grant.patterns)
        and len(names) <= MAX_REPOSITORIES
        and len({Repository(name).owner.lower() for name in names}) == 1
        and all(
            (grant.permissions, _minter(grant)) == (first.permissions, _minter(first))
            for grant in usable
        )
    )
    if not is_one:
        # One token for all of them would be wider than some grant.
        return Denied(
            "REPOSITORY_REQUIRED",
            "the request does not say which repository, and the grants differ",
            "git config --global credential.useHttpPath true",
        )
    repositories = tuple(
        Repository(name, grant.pinned(name)) for name, grant in sorted(names.items())
    )
    return _allowed(usable, repositories, use)


def _allowed(grants: Sequence[Grant], repositories: tuple[Repository, ...], use: str) -> Allowed:
    permissions: dict[str, str] = {}
    for grant in grants:
        for name, level in grant.permissions.items():
            if name not in permissions or _rank(permissions[name]) < _rank(level):
                permissions[name] = level
    levels = [grant.access_level for grant in grants if grant.access_level is not None]
    first = grants[0]
    scope = Scope(repositories, permissions, use, min(levels, default=None))
    return Allowed(first.forge, scope, first.integration, first.token, first.username)


def _minter(grant: Grant) -> tuple[str | None, Secret | None, str | None]:
    return grant.integration, grant.token, grant.username


def _compile_pattern(text: str, folds_case: bool) -> Pattern:
    owner, slash, name = text.rpartition("/")
    if not slash or not _OWNER.fullmatch(owner) or not _NAME.fullmatch(name):
        raise ConfigError(
            f"not a repository: {text!r}",
            hint="owner/name; * stands for anything in the name, and for nothing in the owner",
        )
    if name in (".", "..") or name.endswith(".git"):
        raise ConfigError(f"not a repository: {text!r}", hint="without .git")
    flags = re.IGNORECASE | re.ASCII if folds_case else re.ASCII
    regex = re.escape(f"{owner}/") + _name_regex(name)
    return Pattern(text, "*" not in name, re.compile(regex, flags))


def _name_regex(name: str) -> str:
    """Each `*` but the last takes the least that will do, and never tries again with more.

    It loses no match, and a long name of dashes does not keep `*-*-*-*-x` busy for minutes,
    and with it everybody else's requests.
    """
    first, *rest = (re.escape(part) for part in name.split("*"))
    if not rest:
        return first
    *middle, last = rest
    return first + "".join(f"(?>[^/]*?{part})" for part in middle if part) + f"[^/]*{last}"


def _compile_permissions(permissions: Mapping[str, str], read_only: bool) -> dict[str, str]:
    compiled = {}
    for name, level in permissions.items():
        if not _PERMISSION.fullmatch(name) or level not in LEVELS:
            raise ConfigError(
                f"not a permission: {name} = {level}",
                hint='read, write or admin, as in contents = "write"',
            )
        if read_only:
            if name in WRITE_ONLY:
                continue
            level = "read"
        compiled[name] = level
    return compiled


def _digest(grants: tuple[Grant, ...]) -> str:
    form = [
        [
            grant.forge.kind,
            grant.forge.url,
            sorted(pattern.text for pattern in grant.patterns),
            sorted(grant.permissions.items()),
            sorted(grant.uses),
            sorted(grant.repository_ids.items()),
            grant.integration,
            grant.access_level,
            None if grant.token is None else token_sha256(grant.token),
            grant.username,
        ]
        for grant in grants
    ]
    return hashlib.sha256(json.dumps(form).encode()).hexdigest()
