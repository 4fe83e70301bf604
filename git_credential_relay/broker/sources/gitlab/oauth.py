"""A GitLab source that hands out the access token of an OAuth pair and keeps the pair alive.

A refresh ends the access token that others may be using, so it is put off until too little of
its life is left; and it ends the refresh token, so there is one writer: see refresh.py.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from git_credential_relay.broker.errors import ForgeRefusedError, ForgeUnavailableError
from git_credential_relay.broker.sources.gitlab.api import GitLabApi
from git_credential_relay.broker.sources.gitlab.held import (
    CALL_SECONDS,
    HeldTokenSource,
    require_push_grant,
)
from git_credential_relay.broker.sources.gitlab.refresh_job import (
    BUSY,
    INVALID_GRANT,
    REFUSED,
    RefreshOutcome,
)
from git_credential_relay.broker.sources.gitlab.refresher import OAuthClient, Refresher
from git_credential_relay.broker.sources.hooks import SourceHooks
from git_credential_relay.broker.sources.http import ForgeClient
from git_credential_relay.broker.sources.interface import Lease, Minted, Scope, Verified
from git_credential_relay.broker.store.oauth_pairs import OAuthPair, PairState, read_state
from git_credential_relay.broker.store.store import Store
from git_credential_relay.secret import Secret, token_sha256

LEASE_SECONDS = 7200
LOOK_SECONDS = 0.1
AGAIN_SECONDS = 2.0
MAX_REJECTED = 100


@dataclass(frozen=True, slots=True)
class _Known:
    """What the database says, and the seed in the file where it has not been tried yet."""

    state: PairState
    seed: Secret | None


class OAuthSource(HeldTokenSource):
    """The TokenSource for a forge with `oauth`."""

    def __init__(
        self, oauth: OAuthClient, client: ForgeClient, store: Store, hooks: SourceHooks
    ) -> None:
        api = GitLabApi(client, self._last_token)
        super().__init__(oauth.entry.name, oauth.entry.forge.host, client, api)
        self._oauth = oauth
        self._store = store
        self._now = hooks.now
        self._refresher = Refresher(oauth, hooks.now)
        self._access_token = Secret("")
        self._rejected: deque[str] = deque(maxlen=MAX_REJECTED)
        self._dead_revision: int | None = None

    def narrow(self, scope: Scope) -> Scope:
        """As it is: the user's token. Raises GrantMissingError for a grant that only reads."""
        require_push_grant(scope)
        return super().narrow(scope)

    def lease_seconds(self, now: float) -> int:
        """For the record alone: the token is not the lease's own."""
        return LEASE_SECONDS

    async def mint(self, scope: Scope, lease: Lease, deadline: float) -> Minted:
        """The access token there is, or the next one if too little of its life is left."""
        pair = await self._current(deadline)
        await self.require_projects(scope, deadline)
        return self.lend(pair.access_token, scope, pair.expires_at)

    async def reject(self, token_sha256: str) -> None:
        """Refresh before the next mint, if this is still the token there is."""
        self._rejected.append(token_sha256)

    async def verify(self, repository: str, permissions: Mapping[str, str]) -> Verified:
        """What the pair's user may do in the project."""
        await self._current(time.monotonic() + CALL_SECONDS)
        return await super().verify(repository, permissions)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._refresher.aclose()
        await super().aclose()

    def _last_token(self) -> Secret:
        return self._access_token

    async def _current(self, deadline: float) -> OAuthPair:
        pair = await self._usable(deadline)
        self._access_token = pair.access_token
        return pair

    async def _usable(self, deadline: float) -> OAuthPair:
        known = await self._read()
        # A seed that is no good leaves the pair there is, and a lock whose holder gave up is free.
        for _ in range(3):
            pair, revision = known.state.pair, known.state.revision
            if known.seed is None:
                if pair is not None and self._is_usable(pair):
                    return pair
                if pair is None or revision == self._dead_revision:
                    raise _reconnect()
            outcome = await self._refresher.refresh(revision, known.seed, deadline)
            had_seed = known.seed is not None
            known = await self._settled(outcome, revision, deadline)
            if known.state.revision != revision and known.state.pair is not None:
                return known.state.pair
            if outcome.outcome == BUSY and not known.state.is_locked:
                continue
            if outcome.outcome != INVALID_GRANT:
                raise _error(outcome)
            if not had_seed:
                # The next one who asks need not bother the forge.
                self._dead_revision = revision
                raise _reconnect()
        raise _unavailable("other brokers keep refreshing the pair")

    async def _settled(self, outcome: RefreshOutcome, revision: int, deadline: float) -> _Known:
        """What there is when this refresh, or another broker's, has come to its end."""
        known = await self._read()
        while (
            outcome.outcome == BUSY
            and known.state.revision == revision
            and known.state.is_locked
            and time.monotonic() < deadline
        ):
            await asyncio.sleep(LOOK_SECONDS)
            known = await self._read()
        return known

    async def _read(self) -> _Known:
        seed = self._oauth.find_seed()
        state = await self._store.run(read_state, self._store.cipher, self.name, seed, self._now())
        return _Known(state, None if state.is_seed_used else seed)

    def _is_usable(self, pair: OAuthPair) -> bool:
        left = pair.expires_at - self._now()
        # Whatever is promised: a refresh for each who asks would end the token of the one before.
        enough = min(self._oauth.config.model.min_lifetime, LEASE_SECONDS // 2)
        return left >= enough and token_sha256(pair.access_token) not in self._rejected


def _error(outcome: RefreshOutcome) -> ForgeRefusedError | ForgeUnavailableError:
    if outcome.outcome == REFUSED:
        return ForgeRefusedError(
            "the forge refuses the broker's OAuth application",
            code="FORGE_OAUTH_REFUSED",
            hint="check client_id, client_secret_file and redirect_uri",
            reason=outcome.reason,
        )
    code = "FORGE_RATE_LIMITED" if outcome.retry_after is not None else None
    return _unavailable(outcome.reason or outcome.outcome, code, outcome.retry_after)


def _unavailable(
    reason: str, code: str | None = None, retry_after: float | None = None
) -> ForgeUnavailableError:
    return ForgeUnavailableError(
        "the forge's OAuth token could not be refreshed",
        code=code,
        hint="ask again",
        retry_after=AGAIN_SECONDS if retry_after is None else retry_after,
        reason=reason,
    )


def _reconnect() -> ForgeRefusedError:
    return ForgeRefusedError(
        "the forge does not accept the broker's refresh token any more",
        code="FORGE_OAUTH_RECONNECT",
        hint="authorise the application at the forge anew and write the refresh token into "
        "refresh_token_file; it is read with the next request",
    )
