"""Which tokens are alive, so that they can be revoked whatever becomes of the broker."""

from __future__ import annotations

import time

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from git_credential_relay.broker.errors import ConflictError
from git_credential_relay.broker.sources.interface import Lease
from git_credential_relay.broker.store.cipher import Cipher
from git_credential_relay.broker.store.tables import leases
from git_credential_relay.secret import Secret

# Built once: they are part of every mint.
_ADD = insert(leases)
_FINISH = (
    update(leases)
    .where(leases.c.id == bindparam("of"))
    .values(
        handle=bindparam("handle"),
        token=bindparam("token"),
        token_sha256=bindparam("token_sha256"),
        expires_at=func.coalesce(bindparam("expires"), leases.c.expires_at),
    )
)


def add_lease(connection: Connection, cipher: Cipher, lease: Lease) -> None:
    """Put a lease on record."""
    connection.execute(
        _ADD,
        {
            "id": lease.id,
            "workspace_id": lease.workspace_id,
            "source": lease.source,
            "expires_at": lease.expires_at,
            "location": lease.location,
            "handle": lease.handle,
            "token": _encrypted(cipher, lease.token),
            "token_sha256": lease.token_sha256,
            "created_at": int(time.time()),
        },
    )


def finish_lease(
    connection: Connection,
    cipher: Cipher,
    lease_id: str,
    handle: str,
    token: Secret | None,
    expires_at: int | None,
    token_sha256: str,
) -> None:
    """Add what the mint brought; without `expires_at` the lease's own end stays.

    Raises ConflictError (LEASE_ENDED) where the lease is gone: its workspace was deleted during
    the mint, so that the token must be revoked and not be handed out.
    """
    values = {
        "of": lease_id,
        "handle": handle,
        "token": _encrypted(cipher, token),
        "expires": expires_at,
        "token_sha256": token_sha256,
    }
    if not connection.execute(_FINISH, values).rowcount:
        raise ConflictError(
            "the lease was ended while its token was being minted",
            code="LEASE_ENDED",
            hint="ask again, if the workspace is still there",
            retryable=True,
        )


def end_lease(connection: Connection, id: str) -> None:
    """Forget a lease whose token is no more."""
    connection.execute(delete(leases).where(leases.c.id == id))


def leases_of(connection: Connection, cipher: Cipher, workspace_id: str) -> list[Lease]:
    """All leases of a workspace."""
    return _leases(connection, cipher, leases.c.workspace_id == workspace_id, None)


def due_leases(connection: Connection, cipher: Cipher, now: int, limit: int) -> list[Lease]:
    """Up to `limit` leases whose time is over, the oldest first."""
    return _leases(connection, cipher, leases.c.expires_at <= now, limit)


def _leases(
    connection: Connection, cipher: Cipher, which: ColumnElement[bool], limit: int | None
) -> list[Lease]:
    query = select(leases).where(which).order_by(leases.c.expires_at, leases.c.id).limit(limit)
    return [_lease(cipher, row) for row in connection.execute(query).mappings()]


def _lease(cipher: Cipher, row: RowMapping) -> Lease:
    token = row["token"]
    return Lease(
        row["id"],
        row["workspace_id"],
        row["source"],
        row["expires_at"],
        row["location"],
        row["handle"],
        None if token is None else Secret(cipher.decrypt(token).decode()),
        row["token_sha256"],
    )


def _encrypted(cipher: Cipher, token: Secret | None) -> bytes | None:
    return None if token is None else cipher.encrypt(token.reveal().encode())
