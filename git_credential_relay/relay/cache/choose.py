"""Which cache a configuration asks for. On the warm path: the others load when chosen."""

from __future__ import annotations

from git_credential_relay.relay.cache.tmpfs import TmpfsCache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_credential_relay.config import Config
    from git_credential_relay.relay.cache.interface import Cache


def choose_cache(config: Config) -> Cache:
    """The configured cache. Raises MissingExtraError for a keyring that is not installed."""
    if config.cache == "off":
        from git_credential_relay.relay.cache.memory import MemoryCache

        return MemoryCache()
    is_explicit = config.value("GIT_CREDENTIAL_RELAY_CACHE_DIR") is not None
    files = TmpfsCache(config.cache_dirs, is_explicit=is_explicit)
    if config.cache == "keyring":
        from git_credential_relay.relay.cache.keyring import KeyringCache

        return KeyringCache(files)
    return files
