"""The store over a real PostgreSQL."""

import asyncio
import time
from contextlib import closing

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import event, make_url

from git_credential_relay.broker.errors import StoreError
from git_credential_relay.broker.store.cipher import Cipher, new_key
from git_credential_relay.broker.store.engine import open_engine
from git_credential_relay.broker.store.migrate import migrate
from git_credential_relay.broker.store.store import Store
from git_credential_relay.broker.store.tables import metadata
from tests.contract.store import StoreContract
from tests.fakes.servers import PASSWORD
from tests.fakes.starting import open_at_once


@pytest.fixture
def url(postgresql):
    """Of an empty database."""
    return postgresql.create_database()


@pytest.fixture(scope="module")
def database(postgresql):
    """One that has its tables: making a database for each test would take most of the time."""
    url = postgresql.create_database()
    Store.open(url, Cipher([new_key()])).close()
    return url


class TestPostgreSQL(StoreContract):
    """PostgreSQL keeps every promise of a store."""

    @pytest.fixture
    def url(self, postgresql, database):
        """Of the one database of these tests, emptied."""
        names = ", ".join(metadata.tables)
        with postgresql.connect(make_url(database).database) as connection:
            connection.execute(f"TRUNCATE {names}")
        return database

    def test_many_questions_cost_few_round_trips(self, store):
        """A thousand vends at once ask the database a handful of times for their workspaces."""
        queries = []

        @event.listens_for(store.engine, "before_cursor_execute")
        def count(connection, cursor, statement, *_rest):
            queries.append(statement)

        async def scenario():
            await store.add_workspace("w1", b"")
            queries.clear()
            return await asyncio.gather(*(store.revision_of("w1") for _ in range(1000)))

        answers = asyncio.run(scenario())

        assert len(set(answers)) == 1
        assert len([query for query in queries if "workspaces" in query]) <= 2

    def test_lost_connections_are_replaced(self, store, postgresql):
        """After a restart of the server the first request is answered, not the second."""

        async def scenario():
            record = await store.add_workspace("w1", b"")
            with postgresql.connect() as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                    [store.engine.url.database],
                )
            found = await store.find_workspace("w1")
            return record, found, await store.revision_of("w1")

        record, found, revision = asyncio.run(scenario())

        assert found == record
        assert revision == record.revision

    def test_a_lock_is_not_waited_for_for_ever(self, store, postgresql):
        """A row that somebody holds makes the write fail in time, and go through later."""
        asyncio.run(store.add_workspace("w1", b""))

        def hurry(connection):
            connection.exec_driver_sql("SET LOCAL statement_timeout = '100ms'")

        event.listen(store.engine, "begin", hurry)
        database = store.engine.url.database
        with postgresql.connect(database) as connection, connection.transaction():
            connection.execute("SELECT * FROM workspaces FOR UPDATE")
            with pytest.raises(StoreError) as caught:
                asyncio.run(store.remove_workspace("w1"))

        event.remove(store.engine, "begin", hurry)
        assert caught.value.retryable
        assert asyncio.run(store.remove_workspace("w1"))

    def test_a_statement_has_a_limit(self, store):
        """Every session of ours has a limit, so that a slow server answers with an error."""

        def limit(connection):
            return connection.exec_driver_sql("SHOW statement_timeout").scalar()

        assert asyncio.run(store.run(limit)) == "10s"


def test_migrations_lead_to_the_tables(url):
    """What the migrations make is what the code expects, here too."""
    engine = open_engine(url)
    migrate(engine)

    with engine.begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, metadata)
    engine.dispose()

    assert differences == []


@pytest.mark.parametrize("attempt", [1, 2])
def test_brokers_that_start_at_once_migrate_once(url, attempt):
    """Of three replicas that find an empty database, each starts and none fails."""
    assert open_at_once(url, new_key()) == [("", 0)] * 3


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        (PASSWORD, "canary-wrong", "password authentication failed"),
        ("/broker_", "/canary_", "does not exist"),
    ],
)
def test_what_is_wrong_is_said_without_the_url(url, old, new, cause):
    """A wrong password or name is named as the cause, and not shown."""
    with pytest.raises(StoreError) as caught:
        Store.open(url.replace(old, new), Cipher([new_key()]))

    assert caught.value.message == f"the database cannot be used: {cause}"
    assert "canary" not in f"{caught.value} {caught.value.hint}"
    assert PASSWORD not in f"{caught.value} {caught.value.hint} {caught.value.__cause__}"


def test_a_server_that_goes_away_fails_fast_and_comes_back(postgresql):
    """While it is away every request gets a clear error at once; afterwards all is as before."""

    async def scenario(server, store):
        record = await store.add_workspace("w1", b"")
        server.stop()
        begin = time.monotonic()
        ends = await asyncio.gather(
            store.revision_of("w1"),
            store.ping(),
            store.find_workspace("w1"),
            return_exceptions=True,
        )
        took = time.monotonic() - begin
        server.start()
        return record, ends, took, await store.revision_of("w1")

    with closing(Store.open(postgresql.create_database(), Cipher([new_key()]))) as store:
        record, ends, took, revision = asyncio.run(scenario(postgresql, store))

    assert [type(end) for end in ends] == [StoreError] * 3
    assert {end.message for end in ends} == {"the database cannot be used: connection refused"}
    assert took < 5
    assert revision == record.revision
