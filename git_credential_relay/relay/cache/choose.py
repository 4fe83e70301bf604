"""Which cache a configuration asks for. On the warm path: the others load when chosen."""

from __future__ import annotations

from git_credential_relay.errors import MissingExtraError
from git_credential_relay.relay.cache.tmpfs import TmpfsCache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_credential_relay.config import Config
    from git_credential_relay.relay.cache.interface import Cache
    from git_credential_relay.trace import Trace


def choose_cache(config: Config, trace: Trace) -> Cache:
    """The configured cache; the usual one in place of a keyring that is not installed."""
    if config.cache == "off":
        from git_credential_relay.relay.cache.memory import MemoryCache

        return MemoryCache()
    if config.cache == "keyring":
        try:
            from git_credential_relay.relay.cache.keyring import KeyringCache
        except MissingExtraError as error:
            trace("cache", outcome="not the keyring", reason=error.message)
        else:
            # Locks hold no secret, so a disk will do: a person's machine may have no tmpfs.
            return KeyringCache(TmpfsCache(config.lock_dirs, is_explicit=True))
    is_explicit = config.value("GIT_CREDENTIAL_RELAY_CACHE_DIR") is not None
    return TmpfsCache(config.cache_dirs, is_explicit=is_explicit)
