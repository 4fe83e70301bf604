"""A token that somebody made by hand, lent out for the host and repositories it is for.

Nothing narrows such a token: whoever gets it for one of its repositories can reach them all,
with all it may do. So a request for less than its permissions is refused, not served with more.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from datetime import datetime

from git_credential_relay.broker.config.load import BrokerConfig, ForgeEntry
from git_credential_relay.broker.config.model import StaticModel
from git_credential_relay.broker.errors import ForgeRefusedError, GrantMissingError
from git_credential_relay.broker.policy import ANY, Allowed
from git_credential_relay.broker.sources.hooks import SourceHooks
from git_credential_relay.broker.sources.interface import (
    Lease,
    Minted,
    Repository,
    Scope,
    Verified,
)
from git_credential_relay.broker.sources.secret_file import ReadSecret, secret_reader
from git_credential_relay.broker.store.store import Store
from git_credential_relay.credential.forge import STATIC
from git_credential_relay.errors import ConfigError
from git_credential_relay.secret import Secret, token_sha256

MAX_TOKEN = 8192  # characters
LEASE_SECONDS = 3600
DEFAULT_USERNAME = "x-access-token"


class StaticSource:
    """Lends one token, which is read anew each time.

    `repositories` None means those that the policy lets through, `permissions` None those that
    the grant says: of a workspace's own token (`is_own`) always, of another one where the grant
    may write contents, since nobody has said that the token cannot.
    """

    kind = STATIC
    needs_lease_first = False
    refreshes_ahead = False
    verifies_fresh = False

    def __init__(
        self,
        name: str,
        host: str,
        read: ReadSecret,
        *,
        username: str,
        repositories: tuple[str, ...] | None,
        permissions: Mapping[str, str] | None,
        expires_at: int | None,
        now: Callable[[], float],
        is_own: bool = False,
    ) -> None:
        self.name = name
        self.host = host
        self._read = read
        self._username = username
        self._repositories = None if repositories is None else frozenset(repositories)
        self._permissions = permissions
        self._expires_at = expires_at
        self._now = now
        self._is_own = is_own
        self._rejected_sha256 = ""

    def __repr__(self) -> str:
        return f"StaticSource({self.name})"

    def narrow(self, scope: Scope) -> Scope:
        """The same scope for any use, if the token is for it.

        Raises GrantMissingError: REPOSITORY_NOT_GRANTED for a repository that is not in its
        list, PERMISSION_NOT_GRANTED for more or less than the token may do.
        """
        for repository in scope.repositories:
            self._check_repository(repository.name)
        self._check_permissions(scope.permissions)
        return Scope(scope.repositories, dict(scope.permissions), ANY)

    def lease_seconds(self, now: float) -> int:
        """As long as the token lives, or an hour where nobody knows."""
        return LEASE_SECONDS if self._expires_at is None else max(0, self._expires_at - int(now))

    async def mint(self, scope: Scope, lease: Lease, deadline: float) -> Minted:
        """The token itself. Raises ForgeRefusedError where there is none that is any good."""
        scope = self.narrow(scope)
        if self._expires_at is not None and self._expires_at <= self._now():
            raise ForgeRefusedError(
                "the token that the broker holds for this forge has expired",
                code="FORGE_TOKEN_EXPIRED",
                hint="whoever runs the broker has to renew it, and expires_at",
            )
        token = self._read()
        self._check_token(token)
        return Minted(
            token,
            self._username,
            self._expires_at,
            tuple(repository.name for repository in scope.repositories),
            scope.permissions,
            "static",
            is_ours=False,
        )

    async def is_accepted(self, token: Secret, scope: Scope) -> bool:
        """Nobody knows how to ask any forge."""
        return True

    async def reject(self, token_sha256: str) -> None:
        """Refuse the next request, if the token is still the same by then.

        Only that one: a caller who reports a token that is good must not end it for the others.
        """
        self._rejected_sha256 = token_sha256

    async def revoke(self, lease: Lease) -> None:
        """Nothing to do: it is not ours."""

    async def verify(self, repository: str, permissions: Mapping[str, str]) -> Verified:
        """What is configured: nothing can be asked."""
        try:
            self._check_repository(repository)
            self._check_permissions(permissions)
        except GrantMissingError as error:
            raise ForgeRefusedError(error.message, code=error.code, hint=error.hint) from error
        return Verified(Repository(repository), dict(permissions))

    async def reap(self, now: float) -> int:
        """Nothing to do: no token is ours."""
        return 0

    async def aclose(self) -> None:
        """Nothing to do: there are no connections."""

    def _check_repository(self, name: str) -> None:
        # Letter by letter: not every forge takes Acme/App and acme/app for the same.
        if self._repositories is not None and name not in self._repositories:
            raise GrantMissingError(
                f"the broker's token for this host is not for {name}",
                code="REPOSITORY_NOT_GRANTED",
                hint="whoever runs the broker has to add it to the forge's repositories",
            )

    def _check_permissions(self, asked: Mapping[str, str]) -> None:
        is_unknown = self._permissions is None and not self._is_own
        if is_unknown and asked.get("contents", "read") == "read":
            raise GrantMissingError(
                "nobody has said that the broker's token for this host cannot write",
                code="PERMISSION_NOT_GRANTED",
                hint='add permissions = { contents = "read" } to the [[forge]] if that is so',
            )
        if self._permissions is not None and _essential(asked) != _essential(self._permissions):
            raise GrantMissingError(
                "the broker's token for this host may do "
                f"{_list(self._permissions)}, and cannot be had for {_list(asked)}",
                code="PERMISSION_NOT_GRANTED",
                hint="grant just that, or add a [[forge]] with a token that may do no more",
            )

    def _check_token(self, token: Secret) -> None:
        text = token.reveal()
        if len(text) > MAX_TOKEN or not all("!" <= c <= "~" for c in text):
            raise ForgeRefusedError(
                "what the broker holds for this forge is not a token",
                code="FORGE_TOKEN_UNREADABLE",
                hint="token_file must hold the token and nothing else",
            )
        is_rejected = token_sha256(token) == self._rejected_sha256
        self._rejected_sha256 = ""
        if is_rejected:
            raise ForgeRefusedError(
                "the forge refuses the token that the broker holds for it",
                code="FORGE_TOKEN_REJECTED",
                hint="whoever runs the broker has to put a new one into token_file",
            )


def static_source(
    entry: ForgeEntry, config: BrokerConfig, store: Store | None, hooks: SourceHooks
) -> StaticSource:
    """The source of a `[[forge]]` of kind static. Raises ConfigError."""
    model = entry.model
    if not isinstance(model, StaticModel):
        raise TypeError(f"{entry.name} is no static token")
    return StaticSource(
        entry.name,
        entry.forge.host,
        secret_reader(config, model.token_file),
        username=model.username,
        repositories=None if model.repositories is None else tuple(model.repositories),
        permissions=model.permissions,
        expires_at=None if model.expires_at is None else _parse_time(model.expires_at),
        now=hooks.now,
    )


def lent_source(allowed: Allowed, hooks: SourceHooks) -> StaticSource:
    """The source of the token that a workspace's own grant brings. Raises ValueError without."""
    token = allowed.token
    if token is None:
        raise ValueError("the grant brings no token")
    return StaticSource(
        f"workspace:{allowed.forge.host}",
        allowed.forge.host,
        lambda: token,
        username=allowed.username or allowed.forge.username or DEFAULT_USERNAME,
        repositories=tuple(repository.name for repository in allowed.scope.repositories),
        permissions=None,
        expires_at=None,
        now=hooks.now,
        is_own=True,
    )


def _essential(permissions: Mapping[str, str]) -> dict[str, str]:
    """Without metadata = read, which comes by itself."""
    return {n: level for n, level in permissions.items() if (n, level) != ("metadata", "read")}


def _list(permissions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} = {level}" for name, level in sorted(permissions.items()))


def _parse_time(text: str) -> int:
    time: datetime | None = None
    with contextlib.suppress(ValueError):
        time = datetime.fromisoformat(text)
    if time is None or time.tzinfo is None:
        raise ConfigError(
            f"expires_at is not a time with its zone: {text}", hint="2027-01-31T00:00:00Z"
        )
    return int(time.timestamp())
