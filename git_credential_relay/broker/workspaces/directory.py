"""Every workspace as it is at the moment of asking, from the file or from the store."""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakValueDictionary

from git_credential_relay.broker.config.load import BrokerConfig
from git_credential_relay.broker.config.watch import ConfigWatch
from git_credential_relay.broker.workspace import Workspace
from git_credential_relay.broker.workspaces.compile import compile_workspace
from git_credential_relay.broker.workspaces.declared import DeclaredWorkspaces
from git_credential_relay.broker.workspaces.document import decode_document
from git_credential_relay.broker.workspaces.stored import WorkspaceReads

MAX_COMPILED = 10_000
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class _Compiled:
    """Good for one revision and one configuration, whose forges the grants refer to."""

    revision: int
    config: BrokerConfig
    workspace: Workspace


class WorkspaceDirectory:
    """Finds workspaces. One that the file declares hides one of the same id from the store."""

    def __init__(
        self,
        watch: ConfigWatch,
        records: WorkspaceReads,
        *,
        clock: Callable[[], float] = time.monotonic,
        max_compiled: int = MAX_COMPILED,
    ) -> None:
        self.declared = DeclaredWorkspaces(watch, clock)
        self._watch = watch
        self._records = records
        self._max_compiled = max_compiled
        self._compiled: OrderedDict[str, _Compiled] = OrderedDict()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @property
    def trouble(self) -> str | None:
        """Why an older state of a file is in force, for readiness; None when none is."""
        return self._watch.trouble or self.declared.trouble

    async def find(self, workspace_id: str) -> Workspace | None:
        """The workspace with every change made before the call. Raises StoreError."""
        declared = self.declared.find(workspace_id)
        if declared is not None:
            return declared
        if not ID.fullmatch(workspace_id):
            return None  # no id of ours, and nothing to bother the database with
        revision = await self._records.revision_of(workspace_id)
        if revision is None:
            self._compiled.pop(workspace_id, None)
            return None
        return self._find_compiled(workspace_id, revision) or await self._load(
            workspace_id, revision
        )

    def _find_compiled(self, workspace_id: str, revision: int) -> Workspace | None:
        known = self._compiled.get(workspace_id)
        if known is None or known.revision != revision or known.config is not self._watch.newest:
            return None
        self._compiled.move_to_end(workspace_id)
        return known.workspace

    async def _load(self, workspace_id: str, revision: int) -> Workspace | None:
        """Read and compile it, once for all who ask at the same time."""
        lock = self._locks.setdefault(workspace_id, asyncio.Lock())
        async with lock:
            known = self._find_compiled(workspace_id, revision)
            if known is not None:
                return known
            record = await self._records.find_workspace(workspace_id)
            if record is None:
                return None
            config = self._watch.newest
            workspace = compile_workspace(
                record.id, record.revision, decode_document(record.document), config.forges
            )
            self._keep(_Compiled(record.revision, config, workspace))
            return workspace

    def _keep(self, compiled: _Compiled) -> None:
        self._compiled[compiled.workspace.id] = compiled
        self._compiled.move_to_end(compiled.workspace.id)
        while len(self._compiled) > self._max_compiled:
            self._compiled.popitem(last=False)
