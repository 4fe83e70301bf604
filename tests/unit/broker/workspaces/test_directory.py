"""Workspaces are found as they are at the moment of asking."""

import asyncio
import hashlib
import logging

import pytest

from git_credential_relay.broker.config.watch import ConfigWatch
from git_credential_relay.broker.errors import StoreError
from git_credential_relay.broker.store.cipher import Cipher, new_key
from git_credential_relay.broker.store.store import Store
from git_credential_relay.broker.workspace import API, FILE
from git_credential_relay.broker.workspaces.directory import WorkspaceDirectory
from git_credential_relay.broker.workspaces.document import (
    GrantDocument,
    SecretDocument,
    WorkspaceDocument,
    encode_document,
)
from tests.fakes.broker_files import FORGE, ONE, TWO, write_config
from tests.fakes.fake_clock import FakeClock

KEY = new_key()


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def store(tmp_path):
    with_key = Store.open(f"sqlite:///{tmp_path}/broker.db", Cipher([KEY]))
    yield with_key
    with_key.close()


@pytest.fixture
def other_store(store, tmp_path):
    """The same database, as another replica has it open."""
    other = Store.open(f"sqlite:///{tmp_path}/broker.db", Cipher([KEY]))
    yield other
    other.close()


@pytest.fixture
def directory(tmp_path, store, clock):
    return directory_of(tmp_path, store, clock)


def directory_of(tmp_path, store, clock, **options):
    write_config(tmp_path, ONE)
    watch = ConfigWatch(tmp_path / "broker.toml", clock.clock.monotonic)
    return WorkspaceDirectory(watch, store, clock=clock.clock.monotonic, **options)


def document(*repositories, host="git.example.com"):
    return encode_document(
        WorkspaceDocument(
            grants=[GrantDocument(host=host, repositories=list(repositories))],
            secrets=[SecretDocument(sha256=sha256("api-secret").hex(), created_at=1)],
        )
    )


def sha256(text):
    return hashlib.sha256(text.encode()).digest()


def may(workspace, repository):
    return type(workspace.policy.decide("git.example.com", repository, "git")).__name__ == "Allowed"


def test_edit_of_the_file_counts_for_the_next_request(tmp_path, directory):
    """A grant that the file has just lost is gone, a workspace it has just got is there."""

    async def scene():
        before = await directory.find("w1")
        assert (may(before, "acme/w1"), before.origin) == (True, FILE)
        assert await directory.find("w2") is None

        write_config(tmp_path, TWO.replace("acme/w1", "acme/other"))

        after = await directory.find("w1")
        assert (may(after, "acme/w1"), may(after, "acme/other")) == (False, True)
        assert await directory.find("w2") is not None

    asyncio.run(scene())


def test_secret_file_counts_from_its_next_reading(tmp_path, clock, directory, caplog):
    """A rotated secret file counts at once; an emptied one leaves the last good secret, which
    readiness and one line in the log say until it is mended."""

    async def hashes():
        found = await directory.find("w1")
        return [secret.sha256 for secret in found.secrets]

    async def scene():
        file = tmp_path / "w1.secret"
        assert await hashes() == [sha256("secret-of-w1")]
        clock.advance(1)

        file.write_text("rotated-secret")
        assert await hashes() == [sha256("rotated-secret")]

        file.write_text("")
        with caplog.at_level(logging.ERROR):
            assert await hashes() == await hashes() == [sha256("rotated-secret")]
        assert "w1.secret" in directory.trouble
        assert len(caplog.records) == 1
        assert "rotated-secret" not in caplog.text

        file.write_text("mended-secret")
        assert directory.trouble is None
        assert await hashes() == [sha256("mended-secret")]

    asyncio.run(scene())


def test_workspace_of_the_store_is_found(store, directory):
    """What the admin API made is found with its grants, secret and revision."""

    async def scene():
        record = await store.add_workspace("a1", document("acme/app"))
        found = await directory.find("a1")

        assert (may(found, "acme/app"), may(found, "acme/lib")) == (True, False)
        assert [secret.sha256 for secret in found.secrets] == [sha256("api-secret")]
        assert (found.origin, found.revision) == (API, record.revision)
        assert await directory.find("a1") is found

    asyncio.run(scene())


def test_change_by_another_replica_counts_for_the_next_request(store, other_store, directory):
    """Change, deletion and making anew by another process are all seen at once."""

    async def scene():
        record = await store.add_workspace("a1", document("acme/app"))
        assert may(await directory.find("a1"), "acme/app")

        await other_store.change_workspace("a1", document("acme/lib"), record.revision)
        assert not may(await directory.find("a1"), "acme/app")

        await other_store.remove_workspace("a1")
        assert await directory.find("a1") is None

        await other_store.add_workspace("a1", document("acme/new"))
        assert may(await directory.find("a1"), "acme/new")

    asyncio.run(scene())


def test_file_hides_the_store(store, directory):
    """Where both know an id, the file says what holds."""

    async def scene():
        await store.add_workspace("w1", document("acme/app"))
        found = await directory.find("w1")

        assert (found.origin, may(found, "acme/app")) == (FILE, False)

    asyncio.run(scene())


def test_grant_of_a_forge_that_has_left_counts_no_more(tmp_path, store, directory):
    """Without its forge a grant allows nothing; with it again it does."""

    async def scene():
        await store.add_workspace("a1", document("acme/app"))
        assert may(await directory.find("a1"), "acme/app")

        write_config(tmp_path, "")
        assert not may(await directory.find("a1"), "acme/app")

        write_config(tmp_path, FORGE)
        assert may(await directory.find("a1"), "acme/app")

    asyncio.run(scene())


class CountingStore:
    """The store, with the number of documents that were read from it."""

    def __init__(self, store):
        self._store = store
        self.reads = 0
        self.looks = 0

    async def revision_of(self, id):
        self.looks += 1
        return await self._store.revision_of(id)

    async def find_workspace(self, id):
        self.reads += 1
        return await self._store.find_workspace(id)


def test_document_is_read_once_for_many_askers(tmp_path, store, clock):
    """A thousand requests at once for a cold workspace read its document once."""
    counting = CountingStore(store)
    directory = directory_of(tmp_path, counting, clock)

    async def scene():
        await store.add_workspace("a1", document("acme/app"))
        found = await asyncio.gather(*(directory.find("a1") for _ in range(1000)))

        assert len(set(map(id, found))) == 1
        assert (counting.reads, counting.looks) == (1, 1000)

    asyncio.run(scene())


def test_only_so_many_are_kept(tmp_path, store, clock):
    """What was asked for longest ago is forgotten, and read again when it is asked for."""
    counting = CountingStore(store)
    directory = directory_of(tmp_path, counting, clock, max_compiled=2)

    async def scene():
        for name in ("a1", "a2", "a3"):
            await store.add_workspace(name, document("acme/app"))
        for name in ("a1", "a2", "a1", "a3", "a1", "a2"):
            assert (await directory.find(name)).id == name
        assert counting.reads == 4

    asyncio.run(scene())


@pytest.mark.parametrize("name", ["", "../w1", "a" * 129, "w1\n", "w1 ", "*", "ä"])
def test_what_is_no_id_does_not_reach_the_database(tmp_path, store, clock, name):
    """Junk is nobody's id, and costs no query."""
    counting = CountingStore(store)

    assert asyncio.run(directory_of(tmp_path, counting, clock).find(name)) is None
    assert counting.looks == 0


def test_record_of_a_newer_broker_is_an_error(store, directory):
    """A document with fields we do not know is not guessed at."""

    async def scene():
        await store.add_workspace("a1", b'{"grants": [], "onlyOnMondays": true}')
        with pytest.raises(StoreError, match="cannot be read") as caught:
            await directory.find("a1")
        assert (caught.value.code, caught.value.retryable) == ("WORKSPACE_UNREADABLE", False)

    asyncio.run(scene())
