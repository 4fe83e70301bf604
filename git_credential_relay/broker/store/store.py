"""The database, as the rest of the broker uses it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, text

from git_credential_relay.broker.sources.interface import Lease
from git_credential_relay.broker.store import leases, workspaces
from git_credential_relay.broker.store.cipher import Cipher
from git_credential_relay.broker.store.engine import (
    IS_RECOVERABLE,
    READS_ONLY,
    THREADS,
    find_sqlite_file,
    open_engine,
)
from git_credential_relay.broker.store.failures import as_store_errors
from git_credential_relay.broker.store.migrate import migrate
from git_credential_relay.broker.store.rekey import check_key, reencrypt
from git_credential_relay.broker.store.revisions import (
    PostgresqlRevisions,
    Revisions,
    SqliteRevisions,
)
from git_credential_relay.broker.store.tables import MAX_ID
from git_credential_relay.broker.store.threads import in_time
from git_credential_relay.broker.store.workspaces import WorkspaceRecord
from git_credential_relay.secret import Secret

P = ParamSpec("P")
T = TypeVar("T")


class Store:
    """What outlives a restart. Every method raises StoreError where the database fails.

    `url` may hold a password: it is for a child process's stdin, and nothing else.
    """

    def __init__(self, url: str, engine: Engine, cipher: Cipher) -> None:
        self.url = url
        self.engine = engine
        self.cipher = cipher
        self._reading = engine.execution_options(**{READS_ONLY: True})
        self._recoverable = engine.execution_options(**{IS_RECOVERABLE: True})
        file = find_sqlite_file(url)
        # SQLite has one writer: threads of ours would only wait for each other, by polling.
        self._threads = ThreadPoolExecutor(THREADS if file is None else 1, "store")
        self._revisions: Revisions = (
            SqliteRevisions(file) if file else PostgresqlRevisions(engine, self._threads)
        )

    @classmethod
    def open(cls, url: str, cipher: Cipher) -> Store:
        """Open the database and migrate it.

        Raises ConfigError for a URL that names none or a database of a newer program, StoreError
        for one that cannot be used, STORE_KEY_MISMATCH where it was encrypted with another key.
        """
        engine = open_engine(url)
        try:
            with as_store_errors():
                migrate(engine)
                with engine.execution_options(**{READS_ONLY: True}).begin() as connection:
                    check_key(connection, cipher)
                return cls(url, engine, cipher)
        except BaseException:
            engine.dispose()
            raise

    def close(self) -> None:
        """Wait for what is being written, and close the connections."""
        self._threads.shutdown()
        self._revisions.close()
        self.engine.dispose()

    async def run(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """`work(connection, …)` in a thread, within a transaction that is committed at its end.

        It has to be short. Whether it is done is not known where the caller is cancelled, or a
        StoreError says that there was no answer in time.
        """
        return await self._run(self.engine, lambda connection: work(connection, *args, **kwargs))

    async def ping(self) -> None:
        """Raise StoreError if the database does not answer."""
        await self._run(self._reading, _ping)

    async def find_workspace(self, id: str) -> WorkspaceRecord | None:
        """The workspace, if there is one."""
        if not _is_possible(id):
            return None
        return await self._read(workspaces.find_workspace, self.cipher, id)

    async def list_workspaces(self, after: str = "", limit: int = 100) -> list[WorkspaceRecord]:
        """Up to `limit` workspaces in the order of their ids, those behind `after`."""
        return await self._read(workspaces.list_workspaces, self.cipher, after, limit)

    async def add_workspace(self, id: str, document: bytes) -> WorkspaceRecord:
        """Make a workspace. Raises ConflictError where there is one already."""
        return await self.run(workspaces.add_workspace, self.cipher, id, document)

    async def change_workspace(self, id: str, document: bytes, revision: int) -> WorkspaceRecord:
        """Replace the document of a workspace that still is at `revision`.

        Raises ConflictError (WORKSPACE_CHANGED) where it is not, WorkspaceNotFoundError.
        """
        return await self.run(workspaces.change_workspace, self.cipher, id, document, revision)

    async def remove_workspace(self, id: str) -> bool:
        """Delete a workspace; whether there was one."""
        return await self.run(workspaces.remove_workspace, id)

    async def revision_of(self, id: str) -> int | None:
        """The revision of a workspace, None where there is none.

        It knows every change that was committed before the call, by whomever.
        """
        return await self._revisions.find(id) if _is_possible(id) else None

    async def add_lease(self, lease: Lease) -> None:
        """Put a lease on record."""
        await self._run(
            self._recoverable, functools.partial(leases.add_lease, cipher=self.cipher, lease=lease)
        )

    async def finish_lease(
        self,
        lease_id: str,
        handle: str,
        token: Secret | None,
        expires_at: int | None,
        token_sha256: str,
    ) -> None:
        """Add what the mint brought; without `expires_at` the lease's own end stays.

        Raises ConflictError (LEASE_ENDED) where the lease is gone: revoke the token.
        """
        work = functools.partial(
            leases.finish_lease,
            cipher=self.cipher,
            lease_id=lease_id,
            handle=handle,
            token=token,
            expires_at=expires_at,
            token_sha256=token_sha256,
        )
        await self._run(self._recoverable, work)

    async def end_lease(self, id: str) -> None:
        """Forget a lease whose token is no more; one that is gone already is no error."""
        await self._run(self._recoverable, functools.partial(leases.end_lease, id=id))

    async def leases_of(self, workspace_id: str) -> list[Lease]:
        """All leases of a workspace."""
        return await self._read(leases.leases_of, self.cipher, workspace_id)

    async def due_leases(self, now: int, limit: int) -> list[Lease]:
        """Up to `limit` leases whose time is over, the oldest first."""
        return await self._read(leases.due_leases, self.cipher, now, limit)

    async def reencrypt(self) -> int:
        """Rewrite every encrypted value with the first key; how many there were."""
        return await self.run(reencrypt, self.cipher)

    async def _read(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return await self._run(self._reading, lambda connection: work(connection, *args, **kwargs))

    async def _run(self, engine: Engine, work: Callable[[Connection], T]) -> T:
        return await in_time(self._threads, _transact, engine, work)


def _transact(engine: Engine, work: Callable[[Connection], T]) -> T:
    with as_store_errors(), engine.begin() as connection:
        return work(connection)


def _is_possible(id: str) -> bool:
    """Whether a database can be asked for it: one NUL would fail a whole batch of questions."""
    return len(id) <= MAX_ID and id.isprintable()


def _ping(connection: Connection) -> None:
    connection.execute(text("SELECT 1"))
