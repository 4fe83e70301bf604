"""From a target to a credential: the one path for the helper, the commands and what follows.

First the relay API through the cache (cache → lock → fetch → cache), then the local sources.
On the warm path, so what a hit does not need is imported where it is needed.
"""

from __future__ import annotations

from git_credential_relay.errors import (
    ApiError,
    CacheError,
    ConfigError,
    DeadlineExceededError,
    NoCredentialError,
    RelayError,
    SourceError,
)
from git_credential_relay.relay.cache.entry import Entry, Failure, Key
from git_credential_relay.relay.deadline import Clock, Deadline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Protocol

    from git_credential_relay.config import Config
    from git_credential_relay.credential.credential import Credential
    from git_credential_relay.credential.forge import Target
    from git_credential_relay.relay.cache.interface import Cache
    from git_credential_relay.secret import Secret
    from git_credential_relay.trace import Trace

    class Fetch(Protocol):
        """Asks the relay API; RelayClient.fetch is one."""

        def __call__(
            self, target: Target, deadline: Deadline, refused_sha256: str | None
        ) -> Credential: ...


USES = ("git", "api")
# With a token in hand that still works, nobody should wait for an API that is down: time for
# one attempt, none for a second one.
PATIENCE_WITH_TOKEN = 2.2
# Whoever holds the lock for longer is fetching a new token in place of the one to forget.
FORGET_SECONDS = 5.0


class Acquirer:
    """Acquires credentials by one configuration, through one cache."""

    def __init__(
        self, config: Config, cache: Cache, fetch: Fetch, clock: Clock, trace: Trace
    ) -> None:
        self._config: Final = config
        self._cache: Final = cache
        self._fetch: Final = fetch
        self._clock: Final = clock
        self._trace: Final = trace

    def acquire(
        self, target: Target, refused_sha256: str | None = None, username: str | None = None
    ) -> Credential:
        """A credential for `target` from the API, or else from the first local source.

        `refused_sha256` is the hash of a token the forge has just refused, `username` whom the
        asker wants to be. Raises NoCredentialError when every source failed.
        """
        config = self._config
        deadline = Deadline(config.deadline, self._clock)
        tried: list[tuple[str, RelayError]] = []
        missing = config.missing_api_setting()
        if missing is None:
            try:
                return self.from_api(target, deadline, refused_sha256)
            except RelayError as error:
                self._trace("api failed", code=error.code, message=error.message)
                tried.append((f"relay API ({config.api_url})", error))
        credential = self._from_local_sources(target, deadline, refused_sha256, username, tried)
        if credential is not None:
            return credential
        if missing is not None:
            absent = f"unavailable ({missing} not set)"
            hint = f"set {missing}"
            tried.append(("relay API", SourceError(absent, code="not-configured", hint=hint)))
        raise NoCredentialError(str(target), tried)

    def _from_local_sources(
        self,
        target: Target,
        deadline: Deadline,
        refused_sha256: str | None,
        username: str | None,
        tried: list[tuple[str, RelayError]],
    ) -> Credential | None:
        """What the first local source has; those that have nothing are added to `tried`."""
        if not self._config.fallback:
            return None
        from git_credential_relay.relay.fallback import LocalSources

        sources = LocalSources(self._config, deadline, username)
        for name in self._config.fallback:
            if not sources.serves(name, target.forge):
                continue
            try:
                credential = sources.find(name, target.forge)
                if credential.token_sha256 == refused_sha256:
                    raise SourceError("was refused by the forge", code="refused")
            except RelayError as error:
                self._trace("source failed", source=name, code=error.code, message=error.message)
                tried.append((name, error))
                continue
            self._trace("source answered", source=name, sha256=credential.token_sha256)
            return credential
        return None

    def from_api(
        self, target: Target, deadline: Deadline, refused_sha256: str | None = None
    ) -> Credential:
        """A credential for `target` from the cache or the API, with its life as promised.

        Only one asker per key is with the API at a time; the others get what it got.
        """
        key = self._key(target)
        asked_at = self._clock.now()
        entry = self._cache.read(key)
        credential = self._fresh(entry, asked_at, refused_sha256)
        if credential is not None:
            return credential
        with self._cache.lock(key, deadline) as is_held:
            if is_held:
                entry = self._cache.read(key)
                credential = self._fresh(entry, asked_at, refused_sha256)
                if credential is not None:
                    return credential
                return self._fetch_holding_lock(key, target, entry, deadline, refused_sha256)
        if not deadline.remaining():
            raise DeadlineExceededError(
                "another process has been asking for this all the time",
                hint="try again; if it stays so, end the other git-credential-relay processes",
            )
        # No cache, or its holder is stopped: alone, and nothing is kept.
        self._trace("cache", outcome="unusable")
        return self._fetch(target, deadline, refused_sha256 or entry.refused_sha256)

    def forget(self, target: Target, password: Secret | None) -> None:
        """Drop the tokens of `target`'s forge that equal `password`; the next get mints anew.

        Without a password, those of `target` itself: git's own rule for a missing field.
        """
        wanted = [
            self._key(target),
            self._key(type(target)(target.forge, target.repository, "api")),
        ]
        if password is not None:
            # One token may be kept for several repositories; it is refused for all of them.
            wanted += [key for key in self._cache.list_keys() if key.has_same_forge(wanted[0])]
        deadline = Deadline(min(self._config.deadline, FORGET_SECONDS), self._clock)
        for key in {key.name(): key for key in wanted}.values():
            kept = self._cache.read(key).credential
            if kept is None or (password is not None and kept.password != password):
                continue
            with self._cache.lock(key, deadline) as is_held:
                kept = self._cache.read(key).credential
                if not is_held or kept is None:
                    continue
                if password is None or kept.password == password:
                    self._trace("cache", outcome="erased", sha256=kept.token_sha256)
                    self._keep(key, Entry(refused_sha256=kept.token_sha256))

    def _key(self, target: Target) -> Key:
        return Key.of(self._config.api_url or "", self._config.workspace_id or "", target)

    def _fresh(
        self, entry: Entry, asked_at: float, refused_sha256: str | None
    ) -> Credential | None:
        credential = entry.credential
        if credential is None:
            self._trace("cache", outcome="miss")
            return None
        if credential.token_sha256 == refused_sha256:
            self._trace("cache", outcome="refused by the forge", sha256=refused_sha256)
            return None
        if not credential.is_fresh(self._clock.now(), asked_at, self._config.min_lifetime):
            self._trace("cache", outcome="too old", sha256=credential.token_sha256)
            return None
        self._trace("cache", outcome="hit", sha256=credential.token_sha256)
        return credential

    def _fetch_holding_lock(
        self,
        key: Key,
        target: Target,
        entry: Entry,
        deadline: Deadline,
        refused_sha256: str | None,
    ) -> Credential:
        alive = entry.credential
        if alive is not None and (
            alive.token_sha256 == refused_sha256 or not alive.is_alive(self._clock.now())
        ):
            alive = None
        failure = entry.failure
        if failure is not None and failure.is_current(self._clock.now()):
            self._trace("cache", outcome="failed a moment ago", code=failure.code)
            if alive is not None:
                return alive
            raise failure.error()
        refused_sha256 = refused_sha256 or entry.refused_sha256
        if alive is not None:
            patience = min(deadline.remaining(), PATIENCE_WITH_TOKEN)
            deadline = Deadline(patience, self._clock)
        try:
            credential = self._fetch(target, deadline, refused_sha256)
        except (ConfigError, SourceError):
            raise  # ours to mend, and mended the moment it is: nothing to remember
        except RelayError as error:
            if isinstance(error, ApiError) and not error.retryable:
                alive = None  # it was taken away from us
            now = self._clock.now()
            self._keep(key, Entry(alive, refused_sha256, Failure.of(error, now)))
            if alive is not None:
                self._trace("cache", outcome="served, the API is down", code=error.code)
                return alive
            raise
        if credential.token_sha256 == refused_sha256:
            # An API that knows no better. It may work again (a forge's replicas lag), so it is
            # handed out, but the API stays asked for another one.
            self._keep(key, Entry(refused_sha256=refused_sha256))
        else:
            self._keep(key, Entry(credential))
        return credential

    def _keep(self, key: Key, entry: Entry) -> None:
        try:
            self._cache.write(key, entry)
        except CacheError as error:
            self._trace("cache", outcome="not written", reason=error.message)
