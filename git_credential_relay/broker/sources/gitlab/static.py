"""A GitLab source that hands out a token somebody made."""

from __future__ import annotations

from git_credential_relay.broker.config.load import ForgeEntry
from git_credential_relay.broker.errors import ForgeRefusedError
from git_credential_relay.broker.sources.gitlab.api import GitLabApi
from git_credential_relay.broker.sources.gitlab.causes import error_of
from git_credential_relay.broker.sources.gitlab.expiry import midnight, parse_date
from git_credential_relay.broker.sources.gitlab.held import HeldTokenSource, require_push_grant
from git_credential_relay.broker.sources.gitlab.scopes import (
    WRITE_API,
    WRITE_REPOSITORY,
)
from git_credential_relay.broker.sources.hooks import SourceHooks
from git_credential_relay.broker.sources.http import ForgeClient
from git_credential_relay.broker.sources.interface import Lease, Minted, Scope
from git_credential_relay.broker.sources.secret_file import ReadSecret

LEASE_SECONDS = 3600


class StaticTokenSource(HeldTokenSource):
    """The TokenSource for `mode = "static"`."""

    def __init__(
        self,
        entry: ForgeEntry,
        client: ForgeClient,
        api: GitLabApi,
        read_token: ReadSecret,
        hooks: SourceHooks,
    ) -> None:
        super().__init__(entry.name, entry.forge.host, client, api)
        self._read_token = read_token
        self._now = hooks.now

    def lease_seconds(self, now: float) -> int:
        """For the record alone: the token is not ours to end."""
        return LEASE_SECONDS

    async def mint(self, scope: Scope, lease: Lease, deadline: float) -> Minted:
        """The token, after the forge has said that it is alive and until when."""
        token = self._read_token()
        answer = await self._api.get("/personal_access_tokens/self", deadline, token=token)
        if answer.status in (403, 404):
            # It may not ask about itself, so that nobody knows whether it can push.
            require_push_grant(scope)
            await self.require_projects(scope, deadline)
            return self.lend(token, scope, None)
        body = answer.json()
        if answer.status != 200 or not isinstance(body, dict):
            raise error_of(answer, self._now())
        day = parse_date(body.get("expires_at"))
        if body.get("active") is False or (day is not None and midnight(day) <= self._now()):
            raise ForgeRefusedError(
                "the token for this forge has expired or been revoked",
                code="FORGE_TOKEN_REJECTED",
                hint="write a new one into token_file",
            )
        _require_scopes(body.get("scopes"), scope)
        await self.require_projects(scope, deadline)
        return self.lend(token, scope, None if day is None else midnight(day))


def _require_scopes(scopes: object, scope: Scope) -> None:
    """Neither more than the grant nor less: a push that fails says less than this does."""
    words = {str(word) for word in scopes} if isinstance(scopes, list) else set()
    can_push = bool(words & {WRITE_API, WRITE_REPOSITORY})
    if can_push:
        require_push_grant(scope)
    elif scope.permissions.get("contents", "read") != "read":
        raise ForgeRefusedError(
            "the token for this forge may not push",
            code="FORGE_PERMISSION_NOT_GRANTED",
            hint="write one with the scope write_repository or api into token_file",
        )
