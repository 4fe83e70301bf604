"""The workspaces that the admin API made: rows of encrypted documents."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, RowMapping, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from git_credential_relay.broker.errors import ConflictError, WorkspaceNotFoundError
from git_credential_relay.broker.store.cipher import Cipher
from git_credential_relay.broker.store.tables import workspaces
from git_credential_relay.secret import printable

# A number that JSON's readers keep exactly, with as many more above it as there will be changes.
_FIRST_REVISION_BITS = 52


@dataclass(frozen=True, slots=True)
class WorkspaceRecord:
    """One workspace. `revision` is another one after each change and each new creation."""

    id: str
    revision: int
    document: bytes = field(repr=False)
    created_at: int
    updated_at: int


def find_workspace(connection: Connection, cipher: Cipher, id: str) -> WorkspaceRecord | None:
    """The workspace, if there is one."""
    row = connection.execute(select(workspaces).where(workspaces.c.id == id)).mappings().first()
    return _record(cipher, row) if row else None


def list_workspaces(
    connection: Connection, cipher: Cipher, after: str, limit: int
) -> list[WorkspaceRecord]:
    """Up to `limit` workspaces in the order of their ids, those behind `after`."""
    query = select(workspaces).where(workspaces.c.id > after).order_by(workspaces.c.id).limit(limit)
    return [_record(cipher, row) for row in connection.execute(query).mappings()]


def add_workspace(
    connection: Connection, cipher: Cipher, id: str, document: bytes
) -> WorkspaceRecord:
    """Make a workspace. Raises ConflictError where there is one already."""
    now = int(time.time())
    # Random, or a workspace made anew under an old id could pass for the deleted one.
    revision = secrets.randbits(_FIRST_REVISION_BITS)
    record = WorkspaceRecord(id, revision, document, now, now)
    try:
        connection.execute(
            insert(workspaces).values(
                id=id,
                revision=revision,
                document=cipher.encrypt(document),
                created_at=now,
                updated_at=now,
            )
        )
    except IntegrityError:
        raise ConflictError(
            f"there is a workspace {printable(id)} already",
            hint="change it, or choose another id",
        ) from None
    return record


def change_workspace(
    connection: Connection, cipher: Cipher, id: str, document: bytes, revision: int
) -> WorkspaceRecord:
    """Replace the document of a workspace that still is at `revision`.

    Raises ConflictError (WORKSPACE_CHANGED) where it is not, WorkspaceNotFoundError.
    """
    changed = connection.execute(
        update(workspaces)
        .where(workspaces.c.id == id, workspaces.c.revision == revision)
        .values(
            document=cipher.encrypt(document),
            revision=revision + 1,
            updated_at=int(time.time()),
        )
    ).rowcount
    record = find_workspace(connection, cipher, id)
    if record is None:
        raise WorkspaceNotFoundError(f"there is no workspace {printable(id)}")
    if not changed:
        raise ConflictError(
            f"workspace {printable(id)} was changed by somebody else in the meantime",
            code="WORKSPACE_CHANGED",
            hint="read it again and repeat the change",
            retryable=True,
        )
    return record


def remove_workspace(connection: Connection, id: str) -> bool:
    """Delete a workspace; whether there was one."""
    return connection.execute(delete(workspaces).where(workspaces.c.id == id)).rowcount > 0


def revisions_of(connection: Connection, ids: Sequence[str]) -> dict[str, int]:
    """The revisions of those workspaces that there are."""
    query = select(workspaces.c.id, workspaces.c.revision).where(workspaces.c.id.in_(ids))
    return {row.id: row.revision for row in connection.execute(query)}


def _record(cipher: Cipher, row: RowMapping) -> WorkspaceRecord:
    return WorkspaceRecord(
        row["id"],
        row["revision"],
        cipher.decrypt(row["document"]),
        row["created_at"],
        row["updated_at"],
    )
