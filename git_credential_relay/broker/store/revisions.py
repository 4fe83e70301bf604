"""The one question asked on every vend: which revision of the workspace is in force."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Protocol

from sqlalchemy import Engine

from git_credential_relay.broker.store.batched import Batched
from git_credential_relay.broker.store.failures import as_store_errors, store_error
from git_credential_relay.broker.store.threads import in_time
from git_credential_relay.broker.store.workspaces import revisions_of

_QUERY = "SELECT revision FROM workspaces WHERE id = ?"
_BUSY_SECONDS = 0.2  # the whole event loop waits as long; readers of a WAL hardly ever have to


class Revisions(Protocol):
    """Answers with what was committed before it was asked, by whatever process."""

    async def find(self, id: str) -> int | None:
        """The revision of a workspace, None where there is none. Raises StoreError."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class SqliteRevisions:
    """Reads in the caller's thread: the way to another one would cost more than the query."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(
            path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        self._connection.execute("PRAGMA query_only=ON")

    async def find(self, id: str) -> int | None:
        """One read transaction of its own: the newest state there is."""
        try:
            row = self._connection.execute(_QUERY, (id,)).fetchone()
        except sqlite3.Error as error:
            raise store_error(error) from error
        return int(row[0]) if row else None

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class PostgresqlRevisions:
    """One query for all who ask while another one runs."""

    def __init__(self, engine: Engine, threads: Executor) -> None:
        # A single statement is its own transaction: without BEGIN and COMMIT, one round trip.
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._threads = threads
        self._batched = Batched(self._fetch)

    async def find(self, id: str) -> int | None:
        """The answer of the next query."""
        return await self._batched.find(id)

    def close(self) -> None:
        """The engine is the store's."""

    async def _fetch(self, ids: Sequence[str]) -> dict[str, int]:
        return await in_time(self._threads, self._read, ids)

    def _read(self, ids: Sequence[str]) -> dict[str, int]:
        with as_store_errors(), self._engine.connect() as connection:
            return revisions_of(connection, ids)
