"""Who asks, and whether they may have it: outside the cache, for every request anew."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from git_credential_relay.broker.audit.event import AuditEvent
from git_credential_relay.broker.buckets import Buckets
from git_credential_relay.broker.errors import (
    BadRequestError,
    CallerUnknownError,
    ForgeRefusedError,
    TooManyRequestsError,
    WorkspaceChangedError,
)
from git_credential_relay.broker.identity.guesses import Guesses
from git_credential_relay.broker.identity.identify import Identifier
from git_credential_relay.broker.policy import Allowed
from git_credential_relay.broker.sources.interface import TokenSource
from git_credential_relay.broker.vend.interface import Answer, Query, Vended
from git_credential_relay.broker.vend.order import Order, order_key
from git_credential_relay.broker.workspace import Workspace

WORKSPACE = "workspace"
Inner = Callable[[Order, AuditEvent], Awaitable[Vended]]


class Directory(Protocol):
    """Knows every workspace as it is now."""

    async def find(self, workspace_id: str) -> Workspace | None:
        """The workspace as it is at the moment of the call."""
        ...


class AuthorisedVending:
    """Turns a query into an order, or refuses it.

    `find_source` gives the source for what a policy allowed; `on_too_late` is told of a
    workspace that was deleted or changed while its token was being minted.
    """

    def __init__(
        self,
        directory: Directory,
        identifier: Identifier,
        buckets: Buckets,
        guesses: Guesses,
        find_source: Callable[[Allowed], TokenSource | None],
        inner: Inner,
        *,
        min_lifetime: int,
        on_order: Callable[[Order], None] = lambda order: None,
        on_too_late: Callable[[str], Awaitable[object]],
    ) -> None:
        self._directory = directory
        self._identifier = identifier
        self._buckets = buckets
        self._guesses = guesses
        self._find_source = find_source
        self._inner = inner
        self._min_lifetime = min_lifetime
        self._on_order = on_order
        self._on_too_late = on_too_late

    async def vend(self, query: Query, event: AuditEvent) -> Answer:
        """The answer to a query. Raises BrokerError for everything but Denied and NotServed."""
        workspace = await self._identify(query, event)
        decision = workspace.policy.decide(query.host, query.path, query.use)
        if not isinstance(decision, Allowed):
            return decision
        order = self.order(workspace, decision, query)
        event.repositories = [repository.name for repository in order.scope.repositories]
        event.permissions_asked = order.scope.permissions
        event.source = order.source.name
        answer = await self._inner(order, event)
        if event.cache != "hit":
            await self._recheck(order)
        # Only now, or names that no repository has would fill what is remembered.
        self._on_order(order)
        return answer

    async def _identify(self, query: Query, event: AuditEvent) -> Workspace:
        unverified_id = event.unverified_workspace = query.unverified_workspace_id
        if not unverified_id:
            raise BadRequestError("workspaceId is required", hint="check WORKSPACE_ID")
        self._guesses.check(query.address, WORKSPACE, unverified_id)
        workspace = await self._directory.find(unverified_id)
        try:
            caller = await self._identifier.identify(query.unverified_bearer, workspace)
        except CallerUnknownError:
            self._guesses.failed(query.address, WORKSPACE, unverified_id)
            raise
        assert workspace is not None  # noqa: S101 - nobody can speak for one that is not there
        event.workspace, event.unverified_workspace = workspace.id, None
        event.caller, event.claims = f"{caller.kind}:{caller.name}", caller.claims
        if (wait := self._buckets.take(workspace.id)) is not None:
            raise TooManyRequestsError(
                "this workspace asks for tokens too often",
                hint="the helper caches tokens; see that its cache directory is usable",
                retry_after=wait,
            )
        return workspace

    def order(self, workspace: Workspace, allowed: Allowed, query: Query) -> Order:
        """The order for what the policy allowed. Raises ForgeRefusedError without a source."""
        source = self._find_source(allowed)
        if source is None:
            raise ForgeRefusedError(
                f"no integration mints for {allowed.scope.repositories[0].owner} at this host",
                code="NO_INTEGRATION",
                hint="add a [[forge]] for this owner to the broker's configuration",
            )
        scope = source.narrow(allowed.scope)
        minimum = self._min_lifetime if query.min_lifetime is None else query.min_lifetime
        return Order(
            workspace,
            allowed.forge,
            source,
            scope,
            order_key(workspace, source, scope),
            minimum,
            query.no_cache,
            query.rejected_sha256,
        )

    async def _recheck(self, order: Order) -> None:
        """Refuse what the workspace may not have any more: minting leaves time for an edit."""
        now = await self._directory.find(order.workspace.id)
        if now is not None and now.is_same_as(order.workspace):
            return
        if now is None:
            await self._on_too_late(order.workspace.id)
            raise CallerUnknownError("the workspace was deleted while its token was being minted")
        raise WorkspaceChangedError("the workspace was changed while its token was being minted")
