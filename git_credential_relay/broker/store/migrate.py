"""Bringing a database up to what this program expects, whoever else is starting."""

from __future__ import annotations

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from git_credential_relay.errors import ConfigError

MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x6763722D6D6967  # PostgreSQL's advisory locks are numbers; any of our own will do
_alembic = threading.Lock()  # its `context` is one for the whole process


def migrate(engine: Engine, directory: Path = MIGRATIONS) -> None:
    """Run those migrations in `directory` that are missing, all or none.

    Safe for several processes at once: one of them migrates, the others find it done. Raises
    ConfigError where a newer program has migrated further, SQLAlchemyError.
    """
    with _alembic, engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        _upgrade(connection, directory)


def _upgrade(connection: Connection, directory: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(directory).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    script = ScriptDirectory.from_config(config)
    known = {step.revision for step in script.walk_revisions()}
    current = set(MigrationContext.configure(connection).get_current_heads())
    if not current <= known:
        raise ConfigError(
            "the database was migrated by a newer version of git-credential-relay",
            code="database-too-new",
            hint="run that version, or go back to a copy of the database from before",
        )
    if current != set(script.get_heads()):
        command.upgrade(config, "head")
