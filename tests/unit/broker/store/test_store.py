"""The store over SQLite."""

import asyncio
import subprocess
import sys
import time
from contextlib import closing

import pytest
from sqlalchemy import event

from git_credential_relay.broker.errors import StoreError
from git_credential_relay.broker.sources.interface import Lease
from git_credential_relay.broker.store.cipher import Cipher
from git_credential_relay.broker.store.store import Store
from tests.contract.store import LEASE, NOW, TOKEN, StoreContract


class TestSqlite(StoreContract):
    """SQLite keeps every promise of a store."""

    @pytest.fixture
    def url(self, tmp_path):
        """A file that is not there yet."""
        return f"sqlite:///{tmp_path}/broker.db"

    def test_no_token_lies_on_the_disk(self, store, tmp_path):
        """Neither the database nor the files beside it hold a secret that can be read."""

        async def fill():
            await store.add_workspace("w1", b"canary-document")
            await store.add_lease(LEASE)
            await store.finish_lease(LEASE.id, "", TOKEN, NOW, "")

        asyncio.run(fill())

        files = list(tmp_path.glob("broker.db*"))
        assert {path.suffix for path in files} == {".db", ".db-wal", ".db-shm"}
        for path in files:
            assert b"canary" not in path.read_bytes(), path
        assert any(b"lease-1" in path.read_bytes() for path in files), "looked at the wrong files"

    def test_files_are_for_the_broker_alone(self, store, tmp_path):
        """The database and the files beside it cannot be read by others."""
        asyncio.run(store.add_workspace("w1", b""))

        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob("broker.db*")}

        assert len(modes) == 3
        assert set(modes.values()) == {0o600}

    def test_a_full_disk_fails_the_write_and_nothing_else(self, store):
        """Without space nothing is stored, what is there can be read, and it mends by itself."""
        asyncio.run(store.add_workspace("w1", b"old"))
        limits = [1]  # pages: fewer than there are is what a full disk looks like

        @event.listens_for(store.engine, "connect")
        def limit(connection, _record):
            connection.execute(f"PRAGMA max_page_count={limits[0]}")

        store.engine.dispose()

        async def fill():
            for number in range(100):
                await store.add_lease(Lease(f"l{number}", "w1" * 50, "s", NOW))

        async def scenario():
            with pytest.raises(StoreError) as caught:
                await fill()
            kept = await store.find_workspace("w1")
            limits[0] = 1_000_000
            store.engine.dispose()
            await store.add_workspace("w2", b"")
            return caught.value, kept.document

        error, document = asyncio.run(scenario())

        assert error.message == "the database cannot be used: database or disk is full"
        assert error.retryable
        assert document == b"old"

    def test_a_commit_of_another_process_is_seen(self, store, url):
        """What the command line changes is in force for the running broker at once."""
        revision = asyncio.run(store.add_workspace("w1", b"")).revision
        program = (
            "import asyncio, sys\n"
            "from git_credential_relay.broker.store.store import Store\n"
            "from git_credential_relay.broker.store.cipher import Cipher, new_key\n"
            "class AnyCipher(Cipher):\n"
            "    def decrypt(self, value): return value\n"
            "store = Store.open(sys.argv[1], AnyCipher([new_key()]))\n"
            "asyncio.run(store.change_workspace('w1', b'new', int(sys.argv[2])))\n"
            "store.close()\n"
        )

        before = asyncio.run(store.revision_of("w1"))
        subprocess.run([sys.executable, "-c", program, url, str(revision)], check=True)

        assert before == revision
        assert asyncio.run(store.revision_of("w1")) == revision + 1

    def test_killed_while_writing_it_starts_clean(self, url, key):
        """After kill -9 in the middle of writing, all that was answered is there, whole."""
        program = (
            "import asyncio, sys\n"
            "from git_credential_relay.broker.store.store import Store\n"
            "from git_credential_relay.broker.store.cipher import Cipher\n"
            "store = Store.open(sys.argv[1], Cipher([sys.argv[2]]))\n"
            "async def write():\n"
            "    for number in range(10**6):\n"
            "        await store.add_workspace(f'w{number:07}', b'x' * 2000)\n"
            "        print(number, flush=True)\n"
            "asyncio.run(write())\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", program, url, key], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if int(line) >= 20:
                    break
            process.kill()
            answered = max(map(int, process.stdout.read().split()), default=20)

        with closing(Store.open(url, Cipher([key]))) as store:
            records = asyncio.run(store.list_workspaces(limit=10**6))

        assert len(records) >= answered + 1
        assert {record.document for record in records} == {b"x" * 2000}

    def test_a_writer_waits_for_another_process(self, store, other):
        """While somebody else writes for a moment, a write waits its turn and does not fail."""

        def write_slowly(connection):
            time.sleep(0.1)

        async def scenario():
            slow = asyncio.ensure_future(other.run(write_slowly))
            await asyncio.sleep(0.02)
            await store.add_workspace("w1", b"")
            done = slow.done()
            await slow
            return done

        assert asyncio.run(scenario())

    def test_revisions_do_not_wait_for_a_writer(self, store, other):
        """The question of every vend is answered while another process holds the lock."""

        async def scenario():
            await store.add_workspace("w1", b"")
            slow = asyncio.ensure_future(other.run(lambda connection: time.sleep(0.2)))
            await asyncio.sleep(0.02)
            revision = await store.revision_of("w1")
            is_free = slow.done()
            await slow
            return revision is not None, is_free

        assert asyncio.run(scenario()) == (True, False)


@pytest.mark.parametrize("content", [b"not a database, but long enough for a header" * 10])
def test_a_file_that_is_no_database_is_refused(tmp_path, content):
    """What somebody else's file holds is not touched, and the answer says what is wrong."""
    (tmp_path / "broker.db").write_bytes(content)

    with pytest.raises(StoreError) as caught:
        Store.open(f"sqlite:///{tmp_path}/broker.db", Cipher(["A" * 43 + "="]))

    assert "not a database" in caught.value.message
    assert (tmp_path / "broker.db").read_bytes() == content
