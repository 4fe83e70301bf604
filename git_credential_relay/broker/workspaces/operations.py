"""What the admin API does with workspaces: verify, record, store, in this order."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

from msgspec import UNSET
from msgspec.structs import replace

from git_credential_relay.broker.audit.event import AuditEvent
from git_credential_relay.broker.config.load import BrokerConfig
from git_credential_relay.broker.config.watch import ConfigWatch
from git_credential_relay.broker.errors import AuditError, ConflictError, WorkspaceNotFoundError
from git_credential_relay.broker.workspaces.compile import forge_of
from git_credential_relay.broker.workspaces.directory import WorkspaceDirectory
from git_credential_relay.broker.workspaces.document import (
    GrantDocument,
    WorkspaceDocument,
    decode_document,
    encode_document,
)
from git_credential_relay.broker.workspaces.draft import (
    changed_grants,
    check_document,
    check_forges,
    grants_of,
)
from git_credential_relay.broker.workspaces.probe import Probe, probe_repository
from git_credential_relay.broker.workspaces.record import FAILED, Record
from git_credential_relay.broker.workspaces.secrets import new_secret, rotated
from git_credential_relay.broker.workspaces.stored import StoredWorkspace, WorkspaceStore
from git_credential_relay.broker.workspaces.verify import Checked, SourceFinder, check_grant
from git_credential_relay.broker.workspaces.view import relay_env, view_declared, view_stored
from git_credential_relay.broker.workspaces.wire import (
    Changed,
    ChangeRequest,
    Created,
    CreateRequest,
    Deleted,
    Page,
    Rotated,
    RotateRequest,
    WorkspaceView,
)
from git_credential_relay.credential.forge import Forge
from git_credential_relay.errors import ConfigError

MAX_PAGE = 200
_FILE_PAGE, _API_PAGE = "file:", "api:"


class Workspaces:
    """Makes, shows, changes and deletes workspaces.

    Each change is verified at the forge first, then put on record, then stored; what fails on
    the way has changed nothing. `revoke` ends the live tokens of a workspace: how many, and how
    many could not be ended yet. `sources` gives those of the newest configuration.
    """

    def __init__(
        self,
        watch: ConfigWatch,
        directory: WorkspaceDirectory,
        store: WorkspaceStore,
        sources: Callable[[], SourceFinder],
        revoke: Callable[[str], Awaitable[tuple[int, int]]],
        *,
        probe: Probe = probe_repository,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._watch = watch
        self._declared = directory.declared
        self._store = store
        self._sources = sources
        self._revoke = revoke
        self._probe = probe
        self._now = now

    async def create(self, request: CreateRequest, record: Record, api_url: str) -> Created:
        """A new workspace, verified. `api_url` is where relays reach this broker."""
        config = self._watch.current()
        id = request.id or f"ws-{secrets.token_hex(6)}"
        record.event.workspace = id
        await self._check_free(id)
        grants = grants_of(request, config)
        _note(record, grants)
        new = new_secret(self._now()) if request.with_secret else None
        document = WorkspaceDocument(
            grants=grants,
            identities=request.identities,
            session_hmac=request.session_hmac,
            secrets=[new.document] if new else [],
        )
        check_document(document, config)
        checked = await self._check(grants, config, allow_partial=request.allow_partial)
        document = replace(document, grants=[one.document for one in checked])
        _note(record, document.grants)
        record.allow(201)
        stored = await self._store.add_workspace(id, encode_document(document))
        return Created(
            workspace=_view(stored),
            secret=new.secret.reveal() if new else None,
            works=[works for one in checked for works in one.works],
            relay_env=_env(id, api_url, document.grants, [one.forge for one in checked]),
        )

    async def show(self, id: str) -> WorkspaceView:
        """One workspace, without its secrets. Raises WorkspaceNotFoundError."""
        declared = self._declared.find(id)
        if declared is not None:
            return view_declared(self._declared.models()[id], declared)
        return _view(await self._get(id))

    async def page(self, after: str | None, limit: int) -> Page:
        """Up to `limit` workspaces, those of the file first; `after` is a former page's `next`."""
        limit = max(1, min(limit, MAX_PAGE))
        after = after or _FILE_PAGE
        models = self._declared.models()
        views: list[WorkspaceView] = []
        if after.startswith(_FILE_PAGE):
            ids = sorted(id for id in models if id > after.removeprefix(_FILE_PAGE))[:limit]
            views = [view for id in ids if (view := self._show_declared(id))]
            if len(ids) == limit:
                return Page(workspaces=views, next=_FILE_PAGE + ids[-1])
            after = _API_PAGE
        room = limit - len(views)
        stored = await self._store.list_workspaces(after.removeprefix(_API_PAGE), room)
        views += [_view(one) for one in stored if one.id not in models]
        is_full = len(stored) == room
        return Page(workspaces=views, next=_API_PAGE + stored[-1].id if is_full else None)

    async def change(self, id: str, request: ChangeRequest, record: Record) -> Changed:
        """The workspace with what the request says. Grants that are new are verified."""
        config = self._watch.current()
        stored = await self._get_changeable(id, request.revision)
        former = decode_document(stored.document)
        grants = changed_grants(request, former.grants)
        document = replace(
            former,
            grants=grants,
            identities=former.identities if request.identities is UNSET else request.identities,
            session_hmac=(
                former.session_hmac if request.session_hmac is UNSET else request.session_hmac
            ),
        )
        check_document(document, config)
        fresh = [grant for grant in grants if grant not in former.grants]
        _note(record, fresh)
        checked = await self._check(fresh, config, allow_partial=request.allow_partial)
        verified = iter(checked)
        grants = [grant if grant in former.grants else next(verified).document for grant in grants]
        check_forges(_forges(grants, config))
        record.allow()
        stored = await self._store.change_workspace(
            id, encode_document(replace(document, grants=grants)), stored.revision
        )
        return Changed(
            workspace=_view(stored), works=[works for one in checked for works in one.works]
        )

    async def rotate(self, id: str, request: RotateRequest, record: Record) -> Rotated:
        """A new secret; the former ones stay valid for the overlap."""
        stored = await self._get_changeable(id, request.revision)
        former = decode_document(stored.document)
        now = self._now()
        new = new_secret(now)
        document = replace(
            former, secrets=rotated(former.secrets, new.document, now, request.overlap_seconds)
        )
        record.allow()
        stored = await self._store.change_workspace(id, encode_document(document), stored.revision)
        return Rotated(workspace=_view(stored), secret=new.secret.reveal())

    async def delete(self, id: str, record: Record) -> Deleted:
        """Delete the workspace, then end its live tokens; said twice, it tries those again."""
        self._refuse_declared(id)
        record.allow()
        # In this order, or a token could still be minted after the last one was revoked.
        was_there = await self._store.remove_workspace(id)
        revoked, failed = await self._revoke(id)
        if not was_there and not (revoked or failed):
            raise _not_found(id)
        # The deletion is on record; its outcome is not worth a failure of what is done.
        with contextlib.suppress(AuditError):
            record.add(_outcome(record.event, revoked, failed))
        return Deleted(id=id, revoked=revoked, failed=failed)

    async def _check(
        self, grants: Sequence[GrantDocument], config: BrokerConfig, *, allow_partial: bool
    ) -> list[Checked]:
        sources = self._sources()
        checked = [
            await check_grant(
                grant, config.forges, sources, self._probe, allow_partial=allow_partial
            )
            for grant in grants
        ]
        check_forges(one.forge for one in checked)
        return checked

    async def _check_free(self, id: str) -> None:
        """Refuse an id that is taken, before anything is asked at a forge."""
        self._refuse_declared(id)
        if await self._store.find_workspace(id) is not None:
            raise ConflictError(
                f"there is a workspace {id} already",
                hint="change it, rotate its secret, or choose another id",
            )

    async def _get(self, id: str) -> StoredWorkspace:
        stored = await self._store.find_workspace(id)
        if stored is None:
            raise _not_found(id)
        return stored

    async def _get_changeable(self, id: str, revision: int | None) -> StoredWorkspace:
        self._refuse_declared(id)
        stored = await self._get(id)
        if revision is not None and stored.revision != revision:
            raise ConflictError(
                "the workspace was changed by somebody else in the meantime",
                code="WORKSPACE_CHANGED",
                hint="read it again and repeat the change",
            )
        return stored

    def _refuse_declared(self, id: str) -> None:
        if self._declared.find(id) is not None:
            raise ConflictError(
                f"workspace {id} is declared in the broker's configuration file",
                code="WORKSPACE_DECLARED",
                hint="change it there; the file wins over this API",
            )

    def _show_declared(self, id: str) -> WorkspaceView | None:
        declared = self._declared.find(id)
        return view_declared(self._declared.models()[id], declared) if declared else None


def _view(stored: StoredWorkspace) -> WorkspaceView:
    return view_stored(
        stored.id,
        stored.revision,
        decode_document(stored.document),
        stored.created_at,
        stored.updated_at,
    )


def _not_found(id: str) -> WorkspaceNotFoundError:
    return WorkspaceNotFoundError(f"there is no workspace {id}", hint="list shows those there are")


def _note(record: Record, grants: Sequence[GrantDocument]) -> None:
    """What is to be granted, for the audit; of several grants the first one's permissions."""
    if not grants:
        return
    record.event.host = ",".join(sorted({grant.host for grant in grants}))
    record.event.repositories = [name for grant in grants for name in grant.repositories]
    record.event.permissions_asked = grants[0].permissions


def _forges(grants: Iterable[GrantDocument], config: BrokerConfig) -> list[Forge]:
    forges = []
    for grant in grants:
        # One that was stored, and whose forge has left the configuration, counts for nothing.
        with contextlib.suppress(ConfigError):
            forges.append(forge_of(grant, config.forges))
    return forges


def _env(
    id: str, api_url: str, grants: Sequence[GrantDocument], forges: Sequence[Forge]
) -> dict[str, str]:
    nests = any(name.count("/") > 1 for grant in grants for name in grant.repositories)
    return relay_env(id, api_url, forges, nests)


def _outcome(event: AuditEvent, revoked: int, failed: int) -> AuditEvent:
    return AuditEvent(
        at=event.at,
        request_id=event.request_id,
        kind="revoke",
        action="delete",
        workspace=event.workspace,
        caller=event.caller,
        verdict=FAILED if failed else "revoked",
        code="FORGE_UNAVAILABLE" if failed else None,
        reason=f"{revoked} revoked, {failed} to be tried again",
    )
