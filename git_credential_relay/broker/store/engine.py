"""Opening the database: SQLite for one broker, PostgreSQL for several."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

from git_credential_relay.broker.config.load import BrokerConfig
from git_credential_relay.errors import ConfigError, MissingExtraError

BUSY_SECONDS = 5
STATEMENT_SECONDS = 10
THREADS = 8  # that use PostgreSQL at once
READS_ONLY = "reads_only"
IS_RECOVERABLE = "is_recoverable"
_FORMS = "sqlite:///broker.db or postgresql://user:password@host/database"


def resolve_database_url(config: BrokerConfig) -> str:
    """The URL of the database, with a relative path counted from the configuration's directory."""
    url = _parse(config.read_url(config.model.database))
    if url.drivername == "sqlite":
        url = url.set(database=str(config.resolve(_sqlite_path(url))))
    return url.render_as_string(hide_password=False)


def find_sqlite_file(url: str) -> Path | None:
    """The file of an SQLite database; None for another one."""
    parsed = _parse(url)
    return Path(_sqlite_path(parsed)) if parsed.drivername == "sqlite" else None


def open_engine(url: str) -> Engine:
    """An engine for the database, not connected yet.

    Raises ConfigError for a URL that names none, MissingExtraError where the driver is missing.
    No message holds the URL, in which there may be a password.
    """
    parsed = _parse(url)
    if parsed.drivername == "sqlite":
        return _open_sqlite(parsed)
    try:
        return _open_postgresql(parsed)
    except ImportError as error:
        raise MissingExtraError(
            "a PostgreSQL database needs psycopg, which is not installed",
            hint="pip install 'git-credential-relay[broker,replicas]'",
        ) from error


def _parse(text: str) -> URL:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ConfigError("database is not a URL", hint=_FORMS) from None
    kind = url.drivername
    if kind in ("postgresql", "postgres", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg")
    if kind != "sqlite":
        raise ConfigError("database is neither of SQLite nor of PostgreSQL", hint=_FORMS)
    _sqlite_path(url)
    return url


def _sqlite_path(url: URL) -> str:
    path = url.database
    if not path or path == ":memory:" or path.startswith("file:") or url.query or url.host:
        # Nothing else could open one in memory: neither a second thread nor the CLI.
        raise ConfigError("database has to name one SQLite file", hint=_FORMS)
    return path


def _open_sqlite(url: URL) -> Engine:
    path = _sqlite_path(url)
    try:
        # Made here for its mode, which SQLite gives to the files beside it too. Only made, never
        # opened: closing a file ends every lock that this process has on it.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        raise ConfigError(
            f"cannot open the database {path}: {error.strerror}",
            hint="the directory must be there, and writable for the broker",
        ) from error
    engine = create_engine(
        url, hide_parameters=True, connect_args={"timeout": BUSY_SECONDS, "isolation_level": None}
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(connection: Connection) -> None:
    """Begin as the connection's options say.

    A writer takes the lock at once: two that read first and write then could not both go on.
    FULL waits for the disk, so that a power cut takes no OAuth pair and brings no deleted
    workspace back. NORMAL survives the end of the process, not that of the machine: enough for
    leases, whose tokens are found at the forge by their name, and they are part of every mint.
    """
    options = connection.get_execution_options()
    if options.get(READS_ONLY):
        connection.exec_driver_sql("BEGIN")
        return
    level = "NORMAL" if options.get(IS_RECOVERABLE) else "FULL"
    connection.exec_driver_sql(f"PRAGMA synchronous={level}")
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _open_postgresql(url: URL) -> Engine:
    timeouts = {
        "connect_timeout": BUSY_SECONDS,
        "options": f"-c statement_timeout={STATEMENT_SECONDS}s",
        "tcp_user_timeout": STATEMENT_SECONDS * 1000,
    }
    return create_engine(
        url,
        hide_parameters=True,
        pool_size=THREADS,
        pool_pre_ping=True,  # a restarted server costs nobody an answer
        pool_timeout=STATEMENT_SECONDS,
        # A prepared statement is lost behind a pooler such as PgBouncer.
        connect_args={name: url.query.get(name, value) for name, value in timeouts.items()}
        | {"prepare_threshold": None},
    )
