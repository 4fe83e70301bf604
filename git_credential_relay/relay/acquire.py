"""From a target to a credential: the one path for the helper, the commands and what follows.

First a sidecar where one is configured, else the relay API through the cache; then the local
sources. On the warm path.
"""

from __future__ import annotations

from git_credential_relay.errors import (
    NoCredentialError,
    RelayError,
    SidecarError,
    SourceError,
    unforeseen,
)
from git_credential_relay.relay.cached import CachedApi
from git_credential_relay.relay.deadline import Deadline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from git_credential_relay.config import Config
    from git_credential_relay.credential.credential import Credential
    from git_credential_relay.credential.forge import Target
    from git_credential_relay.relay.cache.interface import Cache
    from git_credential_relay.relay.cache_socket.client import SidecarClient
    from git_credential_relay.relay.cached import Fetch
    from git_credential_relay.relay.deadline import Clock
    from git_credential_relay.secret import Secret
    from git_credential_relay.trace import Trace


class Acquirer:
    """Acquires credentials by one configuration, through one cache or from a sidecar."""

    def __init__(
        self,
        config: Config,
        cache: Cache,
        fetch: Fetch,
        clock: Clock,
        trace: Trace,
        sidecar: SidecarClient | None = None,
    ) -> None:
        self._config: Final = config
        self._api: Final = CachedApi(config, cache, fetch, clock, trace)
        self._clock: Final = clock
        self._trace: Final = trace
        self._sidecar: Final = sidecar

    def acquire(
        self,
        target: Target,
        refused_sha256: str | None = None,
        username: str | None = None,
        deadline: Deadline | None = None,
    ) -> Credential:
        """A credential for `target` from sidecar or API, or else from the first local source.

        `refused_sha256` is the hash of a token the forge has just refused, `username` whom the
        asker wants to be; without a `deadline` it is the configured one from now on. Raises
        NoCredentialError when every source failed.
        """
        config = self._config
        deadline = deadline or Deadline(config.deadline, self._clock)
        tried: list[tuple[str, RelayError]] = []
        asks_api = True
        if self._sidecar is not None:
            name = f"sidecar ({self._sidecar.path})"
            find = self._sidecar.get
            credential = self._try(name, tried, find, target, deadline, refused_sha256, username)
            if credential is not None:
                return credential
            # One that answered has asked the API, and we would hear nothing else from it.
            asks_api = isinstance(tried[0][1], SidecarError)
        missing = config.missing_api_setting()
        if asks_api and missing is None:
            name = f"relay API ({config.api_url})"
            credential = self._try(name, tried, self._api.get, target, deadline, refused_sha256)
            if credential is not None:
                return credential
        if config.fallback:
            from git_credential_relay.relay.fallback import LocalSources

            sources = LocalSources(config, deadline, username, refused_sha256)
            for name in config.fallback:
                if sources.serves(name, target.forge):
                    credential = self._try(name, tried, sources.find, name, target.forge)
                    if credential is not None:
                        return credential
        if missing is not None and self._sidecar is None:
            absent = f"unavailable ({missing} not set)"
            hint = f"set {missing}"
            tried.append(("relay API", SourceError(absent, code="not-configured", hint=hint)))
        raise NoCredentialError(str(target), tried)

    def forget(self, target: Target, password: Secret | None) -> None:
        """Drop the tokens of `target`'s forge that equal `password`; the next get mints anew."""
        self._api.forget(target, password)
        if self._sidecar is not None:
            self._sidecar.forget(target, password)

    def find_fresh(self, target: Target, refused_sha256: str | None = None) -> Credential | None:
        """What the cache holds for `target` and may be handed out as it is. Asks nobody."""
        return self._api.find_fresh(target, refused_sha256)

    def _try(
        self,
        name: str,
        tried: list[tuple[str, RelayError]],
        find: Callable[..., Credential],
        *arguments: object,
    ) -> Credential | None:
        """What `find` gives; when it fails, in whatever way, None and its error in `tried`."""
        try:
            credential = find(*arguments)
        except RelayError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - one failing source must not stop the chain
            failure = unforeseen(error)
        else:
            self._trace("answered", source=name, sha256=credential.token_sha256)
            return credential
        self._trace("failed", source=name, code=failure.code, message=failure.message)
        tried.append((name, failure))
        return None
