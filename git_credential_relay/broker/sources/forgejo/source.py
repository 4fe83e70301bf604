"""The token source for Forgejo and Gitea.

Nothing expires there by itself, so every token is named after its lease and the second at which
the lease ends: whatever becomes of the broker, the next one finds it by that name.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from git_credential_relay.broker.config.load import BrokerConfig, ForgeEntry
from git_credential_relay.broker.config.model import ForgejoModel
from git_credential_relay.broker.errors import ForgeError, ForgeRefusedError
from git_credential_relay.broker.sources.forgejo.api import (
    ForgejoApi,
    admin_authorization,
    basic_authorization,
)
from git_credential_relay.broker.sources.forgejo.causes import cause_of, is_name_taken
from git_credential_relay.broker.sources.forgejo.probe import probe
from git_credential_relay.broker.sources.forgejo.scopes import (
    are_scopes_within,
    narrow_permissions,
    permissions_of,
    scopes_of,
)
from git_credential_relay.broker.sources.forgejo.tokens import (
    Created,
    Handle,
    find_id,
    format_name,
    parse_created,
    parse_handle,
    serialize_handle,
)
from git_credential_relay.broker.sources.hooks import SourceHooks
from git_credential_relay.broker.sources.http import ForgeAnswer, ForgeClient
from git_credential_relay.broker.sources.interface import Lease, Minted, Scope, Verified
from git_credential_relay.broker.sources.secret_file import ReadSecret, secret_reader
from git_credential_relay.broker.store.store import Store
from git_credential_relay.credential.forge import FORGEJO
from git_credential_relay.secret import Secret

ASK_SECONDS = 5.0
REVOKE_SECONDS = 10.0
REAP_SECONDS = 45.0  # of the minute until it is done again
UNRESTRICTED = "unrestricted"


class ForgejoSource:
    """Makes a token of the bot's for each lease, limited to the repositories asked for."""

    kind = FORGEJO
    needs_lease_first = True
    refreshes_ahead = True
    verifies_fresh = False

    def __init__(
        self, entry: ForgeEntry, model: ForgejoModel, api: ForgejoApi, now: Callable[[], float]
    ) -> None:
        self.name = entry.name
        self.host = entry.forge.host
        self._user = model.user
        self._allows_unrestricted = model.allows_unrestricted_tokens
        self._lease_seconds = model.lease_seconds
        self._api = api
        self._now = now

    def __repr__(self) -> str:
        return f"ForgejoSource({self.name})"

    def narrow(self, scope: Scope) -> Scope:
        """The scope in the levels Forgejo has; for git only `contents`.

        Raises GrantMissingError, PERMISSION_NOT_GRANTED, where a token would have to be wider.
        """
        names = {repository.name: repository for repository in scope.repositories}
        return Scope(
            tuple(repository for _, repository in sorted(names.items())),
            narrow_permissions(scope.permissions, scope.use),
            scope.use,
        )

    def lease_seconds(self, now: float) -> int:
        """As long as the configuration says."""
        return self._lease_seconds

    async def mint(self, scope: Scope, lease: Lease, deadline: float) -> Minted:
        """A new token named after the lease. Raises ForgeError."""
        scope = self.narrow(scope)
        asked = scopes_of(scope.permissions)
        answer = await self._create(scope, asked, lease, deadline)
        created = parse_created(answer.json())
        excess = await self._find_excess(created, asked, scope, deadline)
        if created is None or excess:
            # By its name where the answer does not even tell the number.
            number = find_id(answer.json())
            handle = serialize_handle(Handle(self._user, number)) if number else ""
            raise await self._refused_after_mint(
                replace(lease, handle=handle), excess or "not a token", deadline
            )
        return Minted(
            created.token,
            self._user,
            lease.expires_at,
            tuple(name for name, _ in created.repositories),
            permissions_of(created.scopes, scope.permissions),
            "token" if created.repositories else UNRESTRICTED,
            serialize_handle(Handle(self._user, created.id)),
        )

    async def is_accepted(self, token: Secret, scope: Scope) -> bool:
        """Whether the forge knows the token; one that may not read the repository is known."""
        deadline = time.monotonic() + ASK_SECONDS
        name = scope.repositories[0].name
        return (await self._api.get_repository(name, token, deadline)).status != 401

    async def reject(self, token_sha256: str) -> None:
        """Nothing to do: every mint makes a new one."""

    async def revoke(self, lease: Lease) -> None:
        """Delete the lease's token, found by its number or else by its name."""
        await self._delete(lease, time.monotonic() + REVOKE_SECONDS)

    async def verify(self, repository: str, permissions: Mapping[str, str]) -> Verified:
        """Try it with a token that is deleted at once: only that shows what the bot may do.

        An administrator sees every repository, so that their own view would say nothing.
        """
        return await probe(self, self._api, repository, permissions, self._now())

    async def reap(self, now: float) -> int:
        """Delete all tokens of ours whose time is over, whichever broker made them.

        One that cannot be deleted does not keep the others alive; its error comes last.
        """
        deadline = time.monotonic() + REAP_SECONDS
        over = [token for token in await self._api.list_tokens(deadline) if token.is_over(now)]
        count, trouble = 0, None
        for token in over:
            try:
                count += await self._api.delete_token(Handle(self._user, token.id), deadline)
            except ForgeRefusedError as error:
                trouble = error
        if trouble is not None:
            raise trouble
        return count

    async def aclose(self) -> None:
        """Close the connections."""
        await self._api.aclose()

    async def _create(
        self, scope: Scope, asked: list[str], lease: Lease, deadline: float
    ) -> ForgeAnswer:
        name = format_name(lease.id, lease.expires_at)
        repositories = [repository.name for repository in scope.repositories]
        answer = await self._api.create_token(name, asked, repositories, deadline)
        if is_name_taken(answer):
            # The same lease's, of an attempt whose answer was lost: nobody has its text.
            await self._delete(replace(lease, handle=""), deadline)
            answer = await self._api.create_token(name, asked, repositories, deadline)
        if answer.status != 201:
            raise cause_of(answer, self._user, self._now())
        return answer

    async def _find_excess(
        self, created: Created | None, asked: list[str], scope: Scope, deadline: float
    ) -> str | None:
        """What is wrong with a token that was made, or None. Fails closed."""
        if created is None:
            return "the answer is not that of a token"
        if not are_scopes_within(created.scopes, asked):
            return f"scopes {list(created.scopes)[:20]} instead of {asked}"
        if not permissions_of(created.scopes, scope.permissions):
            return "a token without any scope"
        given = {name.lower(): number for name, number in created.repositories}
        wanted = {repository.name.lower(): repository.id for repository in scope.repositories}
        if not given:
            if not self._allows_unrestricted:
                # Older servers do not know the field, and say nothing about it.
                return "a token for all repositories of the user"
            given = await self._numbers_of(scope, created.token, deadline)
        if given.keys() != wanted.keys():
            return f"repositories {sorted(given)[:20]} instead of {sorted(wanted)[:20]}"
        # After the mint, so that no other repository can take the name in between.
        others = [n for n, number in wanted.items() if number is not None and given[n] != number]
        return f"another repository has the name of {others} now" if others else None

    async def _numbers_of(
        self, scope: Scope, token: Secret, deadline: float
    ) -> dict[str, int | None]:
        """The numbers of the scope's repositories, asked for only where some are pinned."""
        numbers: dict[str, int | None] = {}
        for repository in scope.repositories:
            numbers[repository.name.lower()] = None
            if repository.id is not None:
                answer = await self._api.get_repository(repository.name, token, deadline)
                numbers[repository.name.lower()] = find_id(answer.json())
        return numbers

    async def _refused_after_mint(
        self, lease: Lease, excess: str, deadline: float
    ) -> ForgeRefusedError:
        outcome = "it has been revoked"
        try:
            await self._delete(lease, deadline)
        except ForgeError:
            outcome = "it is revoked as soon as the forge lets us"
        return ForgeRefusedError(
            f"the forge made another token than it was asked for; {outcome}",
            code="FORGE_SCOPE_MISMATCH",
            hint="tokens for single repositories need Forgejo 15; for others see "
            "allows_unrestricted_tokens",
            reason=excess,
        )

    async def _delete(self, lease: Lease, deadline: float) -> None:
        handle = parse_handle(lease.handle)
        if handle is not None:
            await self._api.delete_token(handle, deadline)
            return
        for token in await self._api.list_tokens(deadline):
            if token.lease_id == lease.id:
                await self._api.delete_token(Handle(self._user, token.id), deadline)


def forgejo_source(
    entry: ForgeEntry, config: BrokerConfig, store: Store | None, hooks: SourceHooks
) -> ForgejoSource:
    """The source of a `[[forge]]` of kind forgejo. Raises ConfigError."""
    model = entry.model
    if not isinstance(model, ForgejoModel):
        raise TypeError(f"{entry.name} is no forgejo")
    client = ForgeClient(
        entry.api_url,
        ca_file=str(config.resolve(model.ca_file)) if model.ca_file else None,
        now=hooks.now,
        sleep=hooks.sleep,
        on_retry=lambda: hooks.on_retry(entry.name),
    )
    is_admin = model.admin_token_file is not None
    read = secret_reader(config, model.admin_token_file or model.password_file or "")
    api = ForgejoApi(client, model.user, _authorization(model.user, read, is_admin), is_admin)
    return ForgejoSource(entry, model, api, hooks.now)


def _authorization(user: str, read: ReadSecret, is_admin: bool) -> Callable[[], str]:
    if is_admin:
        return lambda: admin_authorization(read())
    return lambda: basic_authorization(user, read())
