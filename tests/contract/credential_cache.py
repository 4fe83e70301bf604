"""What every Cache promises. A subclass gives `cache` and `other`, two users of one store."""

import threading
import time

import pytest

from git_credential_relay.credential.credential import Credential
from git_credential_relay.credential.forge import FORGEJO, GITHUB, GITLAB, Forge, Target
from git_credential_relay.errors import CacheError, DeniedError, UnavailableError
from git_credential_relay.relay.cache.entry import Entry, Failure, Key
from git_credential_relay.relay.cache.interface import Cache
from git_credential_relay.relay.deadline import Clock, Deadline
from git_credential_relay.secret import Secret

API = "https://relay.example"
GITHUB_COM = Forge(GITHUB, "https", "github.com")
KEY = Key.of(API, "ws-1", Target(GITHUB_COM, "octo/spoon"))

# Each differs from KEY in one respect, some of them only just.
OTHER_KEYS = {
    "api": Key.of("https://relay.example/x", "ws-1", Target(GITHUB_COM, "octo/spoon")),
    "workspace": Key.of(API, "ws-2", Target(GITHUB_COM, "octo/spoon")),
    "workspace's case": Key.of(API, "WS-1", Target(GITHUB_COM, "octo/spoon")),
    "workspace unset": Key.of(API, "", Target(GITHUB_COM, "octo/spoon")),
    "host": Key.of(API, "ws-1", Target(Forge(GITHUB, "https", "github.co"), "octo/spoon")),
    "port": Key.of(API, "ws-1", Target(Forge(GITHUB, "https", "github.com:8443"), "octo/spoon")),
    "scheme": Key.of(API, "ws-1", Target(Forge(GITHUB, "http", "github.com"), "octo/spoon")),
    "root": Key.of(API, "ws-1", Target(Forge(GITLAB, "https", "github.com", "octo"), "spoon")),
    "repository": Key.of(API, "ws-1", Target(GITHUB_COM, "octo/spoons")),
    "repository's case": Key.of(API, "ws-1", Target(GITHUB_COM, "octo/Spoon")),
    "repository's dot": Key.of(API, "ws-1", Target(GITHUB_COM, "octo/.spoon")),
    "repository escaped": Key.of(API, "ws-1", Target(GITHUB_COM, "octo_2f_spoon")),
    "no repository": Key.of(API, "ws-1", Target(GITHUB_COM, None)),
    "use": Key.of(API, "ws-1", Target(GITHUB_COM, "octo/spoon", "api")),
    "very long": Key.of(API, "w" * 3000, Target(GITHUB_COM, "octo/spoon")),
    "very long too": Key.of(API, "w" * 2999 + "x", Target(GITHUB_COM, "octo/spoon")),
    "not ASCII": Key.of(API, "würks/../", Target(Forge(FORGEJO, "https", "[::1]:3000"), "a/b")),
}

TOKEN = Credential(
    "x-access-token",
    Secret("ghs_=one==two"),
    token_sha256="c2hhMjU2+/=",
    fetched_at=1_800_000_000.123456,
    expires_at=1_800_003_600,
)
UNKNOWN_EXPIRY = Credential("dév bot", Secret("t" * 8192), token_sha256="b3RoZXI=", fetched_at=1.5)
PASSING = Failure.of(
    UnavailableError("down: a=b", code="SOME", hint="wait ü", details='{"a": 1}'), "mark=", 7.25
)
REFUSED = Failure.of(DeniedError("no"), "", 1_800_000_000.5)
ENTRIES = {
    "nothing": Entry(),
    "token": Entry(TOKEN),
    "token without expiry": Entry(UNKNOWN_EXPIRY),
    "refused token": Entry(refused_sha256="c2hhMjU2+/="),
    "passing failure": Entry(failure=PASSING),
    "refusal": Entry(failure=REFUSED),
    "everything": Entry(TOKEN, "b3RoZXI=", PASSING),
}


def facts(entry: Entry) -> tuple[object, ...]:
    """All that is in an entry, to be compared as a whole."""
    credential, failure = entry.credential, entry.failure
    return (
        entry.refused_sha256,
        None
        if credential is None
        else (
            credential.username,
            credential.password.reveal(),
            credential.token_sha256,
            credential.fetched_at,
            credential.expires_at,
        ),
        None if failure is None else tuple(getattr(failure, name) for name in failure.__slots__),
    )


def within(seconds: float) -> Deadline:
    return Deadline(seconds, Clock())


class CacheContract:
    """Tests of a Cache; `can_list` tells whether it knows which keys it holds."""

    can_list = True

    @pytest.fixture
    def cache(self) -> Cache:
        """An empty one; each subclass brings its own."""
        pytest.fail("a contract is not a test by itself")

    @pytest.fixture
    def other(self, cache: Cache) -> Cache:
        """A second user of the same store, as another process would have it."""
        return cache

    def test_nothing_is_kept_at_first(self, cache):
        """A key nobody wrote has an empty entry."""
        assert facts(cache.read(KEY)) == facts(Entry())
        assert cache.list_keys() == []

    @pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
    def test_an_entry_survives_whole(self, cache, other, entry):
        """Every field that was written is read, by others too."""
        cache.write(KEY, entry)

        assert facts(other.read(KEY)) == facts(entry)

    @pytest.mark.parametrize("key", OTHER_KEYS.values(), ids=OTHER_KEYS)
    def test_an_entry_is_for_its_key_alone(self, cache, key):
        """No other key reads it, however similar, in either direction."""
        cache.write(KEY, Entry(TOKEN))
        before = facts(cache.read(key))
        cache.write(key, Entry(UNKNOWN_EXPIRY))

        assert before == facts(Entry())
        assert facts(cache.read(KEY)) == facts(Entry(TOKEN))
        assert facts(cache.read(key)) == facts(Entry(UNKNOWN_EXPIRY))

    def test_a_new_entry_replaces_all_of_the_old_one(self, cache, other):
        """Nothing of an earlier entry shows through."""
        cache.write(KEY, ENTRIES["everything"])
        other.write(KEY, Entry(refused_sha256="x"))

        assert facts(cache.read(KEY)) == facts(Entry(refused_sha256="x"))

    @pytest.mark.parametrize(
        "username", ["two\nlines", "nul\0", "x" * 70_000, "\ud800"], ids=lambda name: name[:4]
    )
    def test_what_cannot_be_kept_is_a_cache_error(self, cache, username):
        """A value that does not fit the form is refused, and what was kept stays."""
        cache.write(KEY, Entry(TOKEN))
        bad = Credential(username, Secret("t"), token_sha256="s", fetched_at=1.0)
        with pytest.raises(CacheError):
            cache.write(KEY, Entry(bad))

        assert facts(cache.read(KEY)) == facts(Entry(TOKEN))

    def test_the_keys_that_are_kept(self, cache, other):
        """A cache that can list lists every key it holds, once."""
        keys = [KEY, *OTHER_KEYS.values()]
        for key in keys:
            cache.write(key, Entry(TOKEN))
        cache.write(KEY, Entry())

        listed = sorted(key.fields for key in other.list_keys())
        assert listed == (sorted(key.fields for key in keys) if self.can_list else [])

    def test_a_lock_excludes(self, cache, other):
        """While one holds a key nobody else gets it; afterwards the next one does."""
        with cache.lock(KEY, within(5)) as first, other.lock(KEY, within(0.05)) as second:
            held = (first, second)
        with other.lock(KEY, within(0.05)) as third:
            assert (*held, third) == (True, False, True)

    def test_a_lock_is_for_its_key_alone(self, cache, other):
        """Another key can be locked meanwhile."""
        with cache.lock(KEY, within(5)), other.lock(OTHER_KEYS["use"], within(0.05)) as held:
            assert held

    def test_a_lock_ends_with_an_error(self, cache, other):
        """Whoever fails while holding a key does not keep it."""
        with pytest.raises(ZeroDivisionError), cache.lock(KEY, within(5)):
            raise ZeroDivisionError
        with other.lock(KEY, within(0.05)) as held:
            assert held

    @pytest.mark.parametrize("seconds", [0.0, 0.2])
    def test_waiting_is_bounded(self, cache, other, seconds):
        """A wait ends at its deadline, with False."""
        with cache.lock(KEY, within(5)):
            started = time.monotonic()
            with other.lock(KEY, within(seconds)) as held:
                took = time.monotonic() - started

        assert not held
        assert took == pytest.approx(seconds, abs=0.15)

    def test_a_free_lock_needs_no_time(self, cache):
        """A key nobody holds is had even by who has no time to wait."""
        with cache.lock(KEY, within(0)) as held:
            assert held

    def test_a_waiting_one_gets_it_when_it_is_free(self, cache, other):
        """The wait ends as soon as the holder is done."""
        order: list[str] = []
        may_end = threading.Event()

        def hold() -> None:
            with cache.lock(KEY, within(5)):
                order.append("first")
                is_held.set()
                may_end.wait(5)
                order.append("first ends")

        is_held = threading.Event()
        holder = threading.Thread(target=hold)
        holder.start()
        is_held.wait(5)
        threading.Timer(0.1, may_end.set).start()
        with other.lock(KEY, within(5)) as held:
            order.append("second")
        holder.join()

        assert (held, order) == (True, ["first", "first ends", "second"])

    def test_one_of_many_at_a_time(self, cache, other):
        """Twenty threads never hold a key together."""
        inside: list[int] = []
        most: list[int] = []

        def work(user: Cache) -> None:
            with user.lock(KEY, within(10)) as held:
                inside.append(1)
                most.append(len(inside) if held else 99)
                time.sleep(0.002)
                inside.pop()

        threads = [threading.Thread(target=work, args=(user,)) for user in (cache, other) * 10]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert most == [1] * 20
