"""What to say when the database fails: its own text may hold parameters, hosts or a URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from git_credential_relay.broker.errors import StoreError

_HINT = "see that the database is running and has space left"
# Parts of the drivers' texts that say all a person needs, and what to do about it.
_KNOWN = {
    "database or disk is full": "make space where the database is",
    "No space left on device": "make space where the database is",
    "readonly database": "the broker has to be able to write the database and its directory",
    "unable to open database file": "check the database's path and who may write there",
    "disk I/O error": "check the disk that the database is on",
    "file is not a database": "this file is not one of SQLite's, or it is damaged",
    "database disk image is malformed": "restore the database from a copy",
    "database is locked": "another process holds the database; trying again can help",
    "connection refused": "start PostgreSQL, or check host and port in `database`",
    "password authentication failed": "check the user and the password in `database`",
    "no pg_hba.conf entry": "allow the broker in PostgreSQL's pg_hba.conf",
    "could not translate host name": "check the host in `database`",
    "failed to resolve host": "check the host in `database`",
    "does not exist": "check the names in `database`",
    "permission denied": "the user in `database` needs rights to its tables",
    "too many clients": "raise max_connections of PostgreSQL",
    "timeout expired": "check the way to PostgreSQL",
    "statement timeout": "PostgreSQL is too slow: see what keeps it busy",
    "starting up": "wait until PostgreSQL is ready",
    "shutting down": "wait until PostgreSQL is ready",
}


@contextmanager
def as_store_errors() -> Iterator[None]:
    """Turn the database's errors into StoreErrors."""
    try:
        yield
    except SQLAlchemyError as error:
        raise store_error(error) from error


def store_error(error: Exception) -> StoreError:
    """The StoreError for what went wrong, without any of its values."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    lines = str(cause).lower()
    for phrase, hint in _KNOWN.items():
        if phrase.lower() in lines:
            return StoreError(f"the database cannot be used: {phrase}", hint=hint)
    name = getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None)
    return StoreError(f"the database cannot be used: {name or type(cause).__name__}", hint=_HINT)
