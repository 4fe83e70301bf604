"""The contract of a Cache, held by each of them."""

import keyring
import keyring.backends.fail
import pytest

from git_credential_relay.errors import CacheError
from git_credential_relay.relay.cache.entry import Entry
from git_credential_relay.relay.cache.keyring import KeyringCache
from git_credential_relay.relay.cache.memory import MemoryCache
from git_credential_relay.relay.cache.tmpfs import TmpfsCache
from tests.contract.credential_cache import KEY, TOKEN, CacheContract, facts, within
from tests.fakes.memory_keyring import FileKeyring


class TestMemoryCache(CacheContract):
    """In the memory of one process."""

    @pytest.fixture
    def cache(self):
        return MemoryCache()


class TestTmpfsCache(CacheContract):
    """In files, shared by processes."""

    @pytest.fixture
    def cache(self, tmp_path):
        return TmpfsCache([f"{tmp_path}/cache"], is_explicit=True)

    @pytest.fixture
    def other(self, tmp_path):
        return TmpfsCache([f"{tmp_path}/cache"], is_explicit=True)


class TestKeyringCache(CacheContract):
    """In the keyring, with locks in files."""

    can_list = False  # a keyring cannot

    @pytest.fixture(autouse=True)
    def backend(self, tmp_path):
        before = keyring.get_keyring()
        backend = FileKeyring(tmp_path / "keyring.json")
        keyring.set_keyring(backend)
        yield backend
        keyring.set_keyring(before)

    @pytest.fixture
    def cache(self, tmp_path):
        return KeyringCache(TmpfsCache([f"{tmp_path}/locks"], is_explicit=True))

    @pytest.fixture
    def other(self, tmp_path):
        return KeyringCache(TmpfsCache([f"{tmp_path}/locks"], is_explicit=True))

    def test_a_locked_keyring_is_an_empty_one(self, cache, backend):
        """What cannot be read is not there, and what cannot be written is a CacheError."""
        cache.write(KEY, Entry(TOKEN))
        backend.is_locked = True
        with pytest.raises(CacheError):
            cache.write(KEY, Entry())

        assert facts(cache.read(KEY)) == facts(Entry())

    def test_without_any_keyring(self, cache):
        """In a container there is none: reads are empty, locks work, writes are CacheErrors."""
        keyring.set_keyring(keyring.backends.fail.Keyring())
        with cache.lock(KEY, within(1)) as held, pytest.raises(CacheError):
            cache.write(KEY, Entry(TOKEN))

        assert (held, facts(cache.read(KEY))) == (True, facts(Entry()))

    def test_damaged_text_is_no_entry(self, cache, backend):
        """What somebody else put there answers nothing."""
        for text in ("", "x", "\n\n", "password=t\n\n", "\x00\n\n", "\ud800"):
            backend.set_password("git-credential-relay", f"cache:{KEY.name()}", text)

            assert facts(cache.read(KEY)) == facts(Entry())
