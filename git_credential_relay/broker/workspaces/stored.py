"""What is needed of the store: workspaces as they are kept there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class StoredWorkspace(Protocol):
    """A workspace as it is stored."""

    @property
    def id(self) -> str:
        """Its name."""
        ...

    @property
    def revision(self) -> int:
        """Another one after each change."""
        ...

    @property
    def document(self) -> bytes:
        """What document.py encodes."""
        ...

    @property
    def created_at(self) -> int:
        """Unix seconds."""
        ...

    @property
    def updated_at(self) -> int:
        """Unix seconds."""
        ...


class WorkspaceReads(Protocol):
    """The part of the store that is read for every vend. Raises StoreError."""

    async def revision_of(self, id: str) -> int | None:
        """The newest revision, of whatever process; None where there is no such workspace."""
        ...

    async def find_workspace(self, id: str) -> StoredWorkspace | None:
        """The workspace, if there is one."""
        ...


class WorkspaceStore(Protocol):
    """The part of the store that keeps workspaces; errors as Store's."""

    async def find_workspace(self, id: str) -> StoredWorkspace | None:
        """The workspace, if there is one."""
        ...

    async def list_workspaces(self, after: str, limit: int) -> Sequence[StoredWorkspace]:
        """Those behind `after`, in the order of their ids."""
        ...

    async def add_workspace(self, id: str, document: bytes) -> StoredWorkspace:
        """Make one. Raises ConflictError."""
        ...

    async def change_workspace(self, id: str, document: bytes, revision: int) -> StoredWorkspace:
        """Change one that is at `revision`. Raises ConflictError, WorkspaceNotFoundError."""
        ...

    async def remove_workspace(self, id: str) -> bool:
        """Delete one; whether there was one."""
        ...
