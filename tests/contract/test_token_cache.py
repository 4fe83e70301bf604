"""Both token caches keep the contract."""

from contextlib import asynccontextmanager

import pytest

from git_credential_relay.broker.cache.memory import MemoryCache
from git_credential_relay.broker.cache.valkey import open_valkey
from git_credential_relay.broker.store.cipher import Cipher, new_key
from tests.contract.token_cache import TokenCacheContract
from tests.fakes.servers import running_valkey


@pytest.fixture(scope="module")
def server():
    """One server for all tests: each has an encryption key of its own, so that it finds nothing."""
    with running_valkey() as server:
        yield server


class TestMemory(TokenCacheContract):
    """Each broker's own memory."""

    @asynccontextmanager
    async def open_pair(self):
        """Two memories, which know nothing of each other."""
        yield MemoryCache(), MemoryCache()


class TestValkey(TokenCacheContract):
    """A real server, shared."""

    is_shared = True

    @pytest.fixture(autouse=True)
    def _server(self, server):
        self.url = server.url

    @asynccontextmanager
    async def open_pair(self):
        """Two brokers' caches with the same key."""
        key = new_key()
        caches = [open_valkey(self.url, Cipher([key])) for _ in range(2)]
        try:
            yield tuple(caches)
        finally:
            for cache in caches:
                await cache.aclose()
