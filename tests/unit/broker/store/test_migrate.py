"""Migrations: what they lead to, and that nothing is lost on the way."""

import asyncio
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from git_credential_relay.broker.store.cipher import Cipher
from git_credential_relay.broker.store.engine import open_engine
from git_credential_relay.broker.store.migrate import MIGRATIONS, migrate
from git_credential_relay.broker.store.store import Store
from git_credential_relay.broker.store.tables import metadata
from git_credential_relay.errors import ConfigError
from git_credential_relay.secret import Secret
from tests.fakes.starting import open_at_once

KEY = "c3RhYmxlLWtleS1vZi10aGUtdGVzdHMtMzItYnl0ZXM="
# A database as each version left it, with content: never to be changed, only to be added to.
VERSIONS = sorted(Path(__file__).parent.glob("version_*.sql"))
NEXT_VERSION = """
import sqlalchemy as sa
from alembic import op

revision = "999"
down_revision = "001"


def upgrade():
    op.add_column("workspaces", sa.Column("note", sa.Text, nullable=True))
    op.execute("UPDATE workspaces SET note = 'kept'")
"""


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/broker.db"


@pytest.fixture
def newer(tmp_path):
    """The migrations of a program that is one step ahead."""
    directory = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, directory, ignore=shutil.ignore_patterns("__pycache__"))
    (directory / "versions" / "v999_note.py").write_text(NEXT_VERSION)
    return directory


def test_migrations_lead_to_the_tables(url):
    """What the migrations make is exactly what the code expects."""
    engine = open_engine(url)
    migrate(engine)

    with engine.begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, metadata)
    engine.dispose()

    assert differences == []


@pytest.mark.parametrize("dump", VERSIONS, ids=lambda path: path.stem)
def test_a_database_of_every_version_is_read(url, tmp_path, dump):
    """What an older version stored is there after the start of this one."""
    with closing(sqlite3.connect(tmp_path / "broker.db")) as connection:
        connection.executescript(dump.read_text())

    async def read(store):
        return (
            await store.find_workspace("w1"),
            await store.revision_of("w1"),
            await store.leases_of("w1"),
        )

    with closing(Store.open(url, Cipher([KEY]))) as store:
        record, revision, (lease,) = asyncio.run(read(store))

    assert (record.document, record.revision, revision) == (b'{"old": 1}', 4711, 4711)
    assert (lease.token, lease.handle, lease.expires_at) == (Secret("tok"), "h-1", 1_800_000_000)


def test_an_upgrade_keeps_the_content_and_cannot_be_run_backwards(url, newer):
    """A newer program finds all there was; after that, this one refuses and says why."""
    with closing(Store.open(url, Cipher([KEY]))) as store:
        asyncio.run(store.add_workspace("w1", b"document"))

    engine = open_engine(url)
    migrate(engine, newer)
    with engine.begin() as connection:
        rows = connection.execute(text("SELECT id, note FROM workspaces")).all()
    engine.dispose()
    assert [tuple(row) for row in rows] == [("w1", "kept")]

    with pytest.raises(ConfigError) as caught:
        Store.open(url, Cipher([KEY]))
    assert caught.value.code == "database-too-new"
    assert caught.value.hint


def test_a_migration_that_fails_leaves_the_database_as_it_was(url, newer):
    """Half of a migration is none: the old program still runs."""
    with closing(Store.open(url, Cipher([KEY]))) as store:
        asyncio.run(store.add_workspace("w1", b"document"))
    path = newer / "versions" / "v999_note.py"
    path.write_text(path.read_text() + '    raise LookupError("in the middle")\n')

    engine = open_engine(url)
    with pytest.raises(LookupError):
        migrate(engine, newer)
    engine.dispose()

    with closing(Store.open(url, Cipher([KEY]))) as store:
        record = asyncio.run(store.find_workspace("w1"))
    assert record is not None
    assert record.document == b"document"


def test_brokers_that_start_at_once_migrate_once(url):
    """Of three processes that find an empty database, each starts and none fails."""
    assert open_at_once(url, KEY) == [("", 0)] * 3


def test_migrations_are_part_of_the_package():
    """Each version's file lies where an installed program looks for it."""
    assert [path.name for path in sorted((MIGRATIONS / "versions").glob("v*.py"))] == [
        "v001_workspaces_leases_pairs.py"
    ]
    assert len(VERSIONS) == 1, "add a dump of the version before when adding a migration"
