"""What a Store promises over any database. A subclass gives `url`, of an empty one."""

import asyncio
import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import select, text

from git_credential_relay.broker.errors import (
    ConflictError,
    StoreError,
    WorkspaceNotFoundError,
)
from git_credential_relay.broker.sources.interface import Lease
from git_credential_relay.broker.store.cipher import Cipher, new_key
from git_credential_relay.broker.store.store import Store
from git_credential_relay.broker.store.tables import leases, oauth_pairs, workspaces
from git_credential_relay.secret import Secret

NOW = 1_800_000_000
TOKEN = Secret("ghs_canary-token")
LEASE = Lease("lease-1", "w1", "github:github.com", NOW + 3600, "acme/app")


class StoreContract:
    """Tests of a Store."""

    @pytest.fixture
    def url(self) -> str:
        """Of an empty database; each subclass brings its own."""
        pytest.fail("a contract is not a test by itself")

    @pytest.fixture
    def key(self) -> str:
        """The encryption key."""
        return new_key()

    @pytest.fixture
    def store(self, url, key) -> Iterator[Store]:
        """A store over the database."""
        store = Store.open(url, Cipher([key]))
        yield store
        store.close()

    @pytest.fixture
    def other(self, store, url, key) -> Iterator[Store]:
        """A second store over the same database, as another broker has it."""
        other = Store.open(url, Cipher([key]))
        yield other
        other.close()

    def test_a_workspace_is_found_as_it_was_added(self, store, other):
        """What one broker stores, byte for byte, another one reads."""
        document = bytes(range(256))

        async def scenario():
            return await store.add_workspace("w1", document), await other.find_workspace("w1")

        added, found = asyncio.run(scenario())

        assert found == added
        assert (found.id, found.document) == ("w1", document)
        assert found.created_at == found.updated_at > NOW - 10**9

    def test_what_is_not_there_is_not_found(self, store):
        """A workspace nobody made has neither record nor revision."""

        async def scenario():
            return await store.find_workspace("w1"), await store.revision_of("w1")

        assert asyncio.run(scenario()) == (None, None)

    @pytest.mark.parametrize("id", ["w\0", "\ud800", "w" * 129, "w\n", ""])
    def test_impossible_ids_are_not_found(self, store, id):
        """What no workspace can be called is no trouble, not even for those asked for beside it."""

        async def scenario():
            await store.add_workspace("w1", b"{}")
            return await asyncio.gather(
                store.revision_of(id), store.find_workspace(id), store.revision_of("w1")
            )

        assert [answer is None for answer in asyncio.run(scenario())] == [True, True, False]

    def test_an_id_is_taken_once(self, store, other):
        """The second to add a workspace is told so, and changes nothing."""

        async def scenario():
            await store.add_workspace("w1", b"first")
            with pytest.raises(ConflictError) as caught:
                await other.add_workspace("w1", b"second")
            return caught.value.code, (await store.find_workspace("w1")).document

        assert asyncio.run(scenario()) == ("WORKSPACE_EXISTS", b"first")

    def test_ids_differ_by_case(self, store):
        """Two ids that differ by case alone are two workspaces."""

        async def scenario():
            await store.add_workspace("w1", b"small")
            await store.add_workspace("W1", b"large")
            return (await store.find_workspace("w1")).document

        assert asyncio.run(scenario()) == b"small"

    def test_workspaces_are_listed_in_pages(self, store):
        """Each page begins behind the last id of the one before, and none is left out."""

        async def scenario():
            for number in range(5):
                await store.add_workspace(f"w{number}", b"")
            pages, after = [], ""
            while page := await store.list_workspaces(after, 2):
                pages.append([record.id for record in page])
                after = pages[-1][-1]
            return pages

        assert asyncio.run(scenario()) == [["w0", "w1"], ["w2", "w3"], ["w4"]]

    def test_of_two_changes_one_loses(self, store, other):
        """Whoever changes what is not the newest any more is refused, and nothing is lost."""

        async def scenario():
            seen = await store.add_workspace("w1", b"old")
            changed = await store.change_workspace("w1", b"first", seen.revision)
            with pytest.raises(ConflictError) as caught:
                await other.change_workspace("w1", b"second", seen.revision)
            return changed, caught.value, await other.find_workspace("w1")

        changed, error, found = asyncio.run(scenario())

        assert error.code == "WORKSPACE_CHANGED"
        assert found == changed
        assert found.document == b"first"

    def test_of_many_changes_at_once_one_wins(self, store, other):
        """However many change one revision at the same moment, exactly one does."""

        async def scenario():
            seen = await store.add_workspace("w1", b"old")
            return await asyncio.gather(
                *(
                    each.change_workspace("w1", f"{number}".encode(), seen.revision)
                    for number in range(5)
                    for each in (store, other)
                ),
                return_exceptions=True,
            )

        ends = asyncio.run(scenario())

        assert sum(isinstance(end, ConflictError) for end in ends) == len(ends) - 1

    def test_a_workspace_that_is_gone_cannot_be_changed(self, store):
        """A change of a removed workspace does not bring it back."""

        async def scenario():
            record = await store.add_workspace("w1", b"")
            removed = [await store.remove_workspace("w1"), await store.remove_workspace("w1")]
            with pytest.raises(WorkspaceNotFoundError):
                await store.change_workspace("w1", b"", record.revision)
            return removed

        assert asyncio.run(scenario()) == [True, False]

    def test_a_revision_never_comes_back(self, store):
        """A workspace made anew under an old id is at none of the old one's revisions."""

        async def scenario():
            revisions = []
            for _ in range(20):
                record = await store.add_workspace("w1", b"")
                changed = await store.change_workspace("w1", b"", record.revision)
                revisions += [record.revision, changed.revision]
                await store.remove_workspace("w1")
            return revisions

        revisions = asyncio.run(scenario())

        assert len(set(revisions)) == len(revisions)
        assert all(0 <= revision < 2**53 for revision in revisions), "not exact in JSON"

    def test_a_revision_is_the_newest(self, store, other):
        """Every commit of another broker is seen by whoever asks after it."""

        async def scenario():
            assert await store.revision_of("w1") is None
            record = await other.add_workspace("w1", b"")
            seen = [(record.revision, await store.revision_of("w1"))]
            for _ in range(20):
                record = await other.change_workspace("w1", b"", record.revision)
                seen.append((record.revision, await store.revision_of("w1")))
            await other.remove_workspace("w1")
            return [*seen, (None, await store.revision_of("w1"))]

        for committed, seen in asyncio.run(scenario()):
            assert seen == committed

    def test_many_ask_for_revisions_at_once(self, store):
        """A thousand questions at the same time get each its own answer."""

        async def scenario():
            records = [await store.add_workspace(f"w{number}", b"") for number in range(10)]
            revisions = [record.revision for record in records] + [None] * 10
            asked = [number % 20 for number in range(1000)]
            answers = await asyncio.gather(*(store.revision_of(f"w{n}") for n in asked))
            return [revisions[number] for number in asked], answers

        expected, answers = asyncio.run(scenario())

        assert answers == expected

    def test_a_lease_is_kept_through_its_mint(self, store, other):
        """What the mint brought is added to the lease, for every broker to revoke it."""

        async def scenario():
            await store.add_lease(LEASE)
            before = await other.leases_of("w1")
            await store.finish_lease(LEASE.id, "handle", TOKEN, NOW + 60, "c2hhMjU2")
            return before, await other.leases_of("w1")

        before, after = asyncio.run(scenario())

        assert before == [LEASE]
        assert after == [
            Lease("lease-1", "w1", LEASE.source, NOW + 60, "acme/app", "handle", TOKEN, "c2hhMjU2")
        ]

    def test_a_lease_keeps_its_end_where_the_token_has_none(self, store):
        """A token without an expiry is revoked when the lease was to end."""

        async def scenario():
            await store.add_lease(LEASE)
            await store.finish_lease(LEASE.id, "", None, None, "")
            return await store.leases_of("w1")

        assert asyncio.run(scenario()) == [LEASE]

    def test_a_lease_that_was_ended_cannot_be_finished(self, store, other):
        """A token minted while its workspace was deleted is not handed out."""

        async def scenario():
            await store.add_lease(LEASE)
            await other.end_lease(LEASE.id)
            await other.end_lease(LEASE.id)
            with pytest.raises(ConflictError) as caught:
                await store.finish_lease(LEASE.id, "", TOKEN, NOW, "")
            return caught.value.code, await store.leases_of("w1")

        assert asyncio.run(scenario()) == ("LEASE_ENDED", [])

    def test_due_leases_come_oldest_first(self, store):
        """Leases whose time is over are found, no others, and not more than wanted."""

        async def scenario():
            for number, seconds in enumerate((-1, 1, -60, 0)):
                await store.add_lease(Lease(f"l{number}", f"w{number}", "s", NOW + seconds))
            return await store.due_leases(NOW, 10), await store.due_leases(NOW, 1)

        due, first = asyncio.run(scenario())

        assert [lease.id for lease in due] == ["l2", "l0", "l3"]
        assert [lease.id for lease in first] == ["l2"]

    def test_run_is_one_transaction(self, store):
        """A function that fails leaves nothing behind, and its own error arrives as it is."""

        def fail(connection, id):
            values = {"id": id, "revision": 1, "created_at": 1, "updated_at": 1, "document": b""}
            connection.execute(workspaces.insert().values(values))
            raise LookupError("of our own")

        async def scenario():
            with pytest.raises(LookupError, match="of our own"):
                await store.run(fail, "w1")
            return await store.revision_of("w1")

        assert asyncio.run(scenario()) is None

    def test_run_does_not_hold_up_the_loop(self, store):
        """While the database works, other tasks go on."""
        released = threading.Event()

        async def scenario():
            work = asyncio.ensure_future(store.run(lambda connection: released.wait(20)))
            await asyncio.sleep(0)
            released.set()
            return await work

        assert asyncio.run(scenario()) is True

    def test_errors_show_no_values(self, store):
        """The error of a failing statement has the code and a hint, and none of what it was for."""

        def fail(connection):
            connection.execute(text("SELECT :value FROM no_such_table"), {"value": "canary"})

        with pytest.raises(StoreError) as caught:
            asyncio.run(store.run(fail))

        assert (caught.value.code, caught.value.retryable) == ("STORE_UNAVAILABLE", True)
        assert caught.value.hint
        assert "canary" not in f"{caught.value} {caught.value.hint} {caught.value.__cause__}"

    def test_a_change_of_the_key(self, store, url, key):
        """Once everything is rewritten with the new key, the old one is not needed any more."""
        newer = new_key()

        async def fill():
            record = await store.add_workspace("w1", b"canary-1")
            await store.add_lease(LEASE)
            await store.add_lease(Lease("lease-2", "w1", "s", NOW))
            await store.finish_lease(LEASE.id, "", TOKEN, NOW + 60, "")
            await store.run(_add_pair, store.cipher)
            return record.revision

        revision = asyncio.run(fill())
        both = Store.open(url, Cipher([newer, key]))
        assert asyncio.run(both.reencrypt()) == 4
        both.close()

        alone = Store.open(url, Cipher([newer]))

        async def read():
            pair = await alone.run(lambda connection: connection.execute(select(oauth_pairs)).one())
            return await alone.find_workspace("w1"), await alone.leases_of("w1"), pair

        record, kept, pair = asyncio.run(read())
        alone.close()
        assert (record.document, record.revision) == (b"canary-1", revision)
        assert [lease.token for lease in kept] == [None, TOKEN]
        assert alone.cipher.decrypt(pair.access_token) == b"canary-access"
        assert alone.cipher.decrypt(pair.refresh_token) == b"canary-refresh"

    @pytest.mark.parametrize("kind", ["workspace", "lease", "pair"])
    def test_another_key_is_refused_at_the_start(self, store, url, kind):
        """A broker with the wrong key does not start, and says what to do."""

        async def fill():
            if kind == "workspace":
                await store.add_workspace("w1", b"")
            elif kind == "lease":
                await store.add_lease(LEASE)
                await store.finish_lease(LEASE.id, "", TOKEN, NOW, "")
            else:
                await store.run(_add_pair, store.cipher)

        asyncio.run(fill())

        with pytest.raises(StoreError) as caught:
            Store.open(url, Cipher([new_key()]))

        assert (caught.value.code, caught.value.retryable) == ("STORE_KEY_MISMATCH", False)
        assert "encryption_key_file" in str(caught.value.hint)

    def test_secrets_are_encrypted_in_the_tables(self, store):
        """No column holds a document or token in the clear."""

        async def scenario():
            await store.add_workspace("w1", b"canary-document")
            await store.add_lease(LEASE)
            await store.finish_lease(LEASE.id, "", TOKEN, NOW, "")
            return await store.run(
                lambda connection: [
                    *connection.execute(select(workspaces)).all(),
                    *connection.execute(select(leases)).all(),
                ]
            )

        assert "canary" not in str(asyncio.run(scenario()))

    def test_ping_answers(self, store):
        """A database that is there is no trouble."""
        asyncio.run(store.ping())


def _add_pair(connection, cipher):
    connection.execute(
        oauth_pairs.insert().values(
            name="gitlab",
            access_token=cipher.encrypt(b"canary-access"),
            refresh_token=cipher.encrypt(b"canary-refresh"),
            expires_at=NOW,
            seed_sha256="",
            revision=1,
        )
    )
