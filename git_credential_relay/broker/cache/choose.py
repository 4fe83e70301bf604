"""Which cache the configuration asks for."""

from __future__ import annotations

from git_credential_relay.broker.cache.interface import TokenCache
from git_credential_relay.broker.cache.memory import MemoryCache
from git_credential_relay.broker.store.cipher import Cipher
from git_credential_relay.errors import MissingExtraError


def open_cache(url: str | None, cipher: Cipher) -> TokenCache:
    """The server's at `url`, or memory without one.

    Raises ConfigError for a URL that names no server, MissingExtraError where the library is
    missing. A server that is away is no error.
    """
    if url is None:
        return MemoryCache()
    try:
        from git_credential_relay.broker.cache.valkey import open_valkey
    except ImportError as error:
        raise MissingExtraError(
            "a shared cache needs the library valkey, which is not installed",
            hint="pip install 'git-credential-relay[broker,replicas]'",
        ) from error
    return open_valkey(url, cipher)
