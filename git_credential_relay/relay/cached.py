"""The relay API through the cache: cache → lock → fetch → cache.

On the warm path, so what a hit does not need is imported where it is needed.
"""

from __future__ import annotations

from git_credential_relay.errors import (
    ApiError,
    CacheError,
    ConfigError,
    DeadlineExceededError,
    RelayError,
    SourceError,
)
from git_credential_relay.relay.cache.entry import Entry, Failure, Key
from git_credential_relay.relay.deadline import Deadline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Protocol

    from git_credential_relay.config import Config
    from git_credential_relay.credential.credential import Credential
    from git_credential_relay.credential.forge import Target
    from git_credential_relay.relay.cache.interface import Cache
    from git_credential_relay.relay.deadline import Clock
    from git_credential_relay.secret import Secret
    from git_credential_relay.trace import Trace

    class Fetch(Protocol):
        """Asks the relay API; RelayClient.fetch is one."""

        def __call__(
            self, target: Target, deadline: Deadline, refused_sha256: str | None
        ) -> Credential: ...


# With a token in hand that still works nobody should wait long for an API that is down: for one
# whole attempt, which a slow mint may need, and for no second one.
PATIENCE_WITH_TOKEN = 8.0
# A token with less left than this may not outlive the push it is for; then it is worth waiting.
COMFORTABLE_LIFE = 60.0
# Whoever holds the lock for longer is fetching a new token in place of the one to forget.
FORGET_SECONDS = 5.0


def key_of(config: Config, target: Target) -> Key:
    """The key of `target` by this configuration: its API and workspace."""
    return Key.of(config.api_source(target.use), config.workspace_id or "", target)


class CachedApi:
    """Fetches through one cache, for one configuration."""

    def __init__(
        self, config: Config, cache: Cache, fetch: Fetch, clock: Clock, trace: Trace
    ) -> None:
        self._config: Final = config
        self._cache: Final = cache
        self._fetch: Final = fetch
        self._clock: Final = clock
        self._trace: Final = trace

    def get(
        self, target: Target, deadline: Deadline, refused_sha256: str | None = None
    ) -> Credential:
        """A credential for `target` from the cache or the API, with its life as promised.

        Only one asker per key is with the API at a time; the others get what it got. A token
        that still lives is given when the API cannot give a better one.
        """
        key = key_of(self._config, target)
        asked_at = self._clock.now()
        entry = self._cache.read(key)
        credential = self._fresh(entry, asked_at, refused_sha256)
        if credential is not None:
            return credential
        deadline = self._deadline_with(self._alive(entry, refused_sha256), deadline)
        with self._cache.lock(key, deadline) as is_held:
            if is_held:
                entry = self._cache.read(key)
                credential = self._fresh(entry, asked_at, refused_sha256)
                if credential is not None:
                    return credential
                deadline = self._deadline_with(self._alive(entry, refused_sha256), deadline)
            else:
                # No cache, or its holder is stopped: alone, and nothing is kept.
                self._trace("cache", outcome="not locked")
            return self._ask(key, target, entry, deadline, refused_sha256, keeps=is_held)

    def find_fresh(self, target: Target, refused_sha256: str | None = None) -> Credential | None:
        """What the cache holds for `target` and may be handed out as it is. Asks nobody."""
        entry = self._cache.read(key_of(self._config, target))
        return self._fresh(entry, self._clock.now(), refused_sha256)

    def forget(self, target: Target, password: Secret | None) -> None:
        """Drop the tokens of `target`'s forge that equal `password`; the next get mints anew.

        Without a password, those of `target` itself: git's own rule for a missing field.
        """
        wanted = [key_of(self._config, target), key_of(self._config, target.for_use("api"))]
        if password is not None:
            # One token may be kept for several repositories; it is refused for all of them.
            wanted += [key for key in self._cache.list_keys() if key.has_same_forge(wanted[0])]
        deadline = Deadline(min(self._config.deadline, FORGET_SECONDS), self._clock)
        holding = [key for key in wanted if self._is_kept(key, password)]
        for key in {key.name(): key for key in holding}.values():
            with self._cache.lock(key, deadline) as is_held:
                kept = self._cache.read(key).credential
                if kept is None or (password is not None and kept.password != password):
                    continue
                self._trace("cache", outcome="erased", sha256=kept.token_sha256)
                if is_held:
                    self._keep(key, Entry(refused_sha256=kept.token_sha256))
                else:
                    # A stopped process holds it; a refused token must not be served again.
                    self._cache.discard(key)

    def _is_kept(self, key: Key, password: Secret | None) -> bool:
        kept = self._cache.read(key).credential
        return kept is not None and (password is None or kept.password == password)

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

    def _alive(self, entry: Entry, refused_sha256: str | None) -> Credential | None:
        """The kept token, if the forge would still take it; better than nothing."""
        kept = entry.credential
        if kept is None or kept.token_sha256 == refused_sha256:
            return None
        return kept if kept.is_alive(self._clock.now()) else None

    def _deadline_with(self, alive: Credential | None, deadline: Deadline) -> Deadline:
        if alive is None or not alive.is_alive(self._clock.now() + COMFORTABLE_LIFE):
            return deadline
        return deadline.impatient(PATIENCE_WITH_TOKEN)

    def _ask(
        self,
        key: Key,
        target: Target,
        entry: Entry,
        deadline: Deadline,
        refused_sha256: str | None,
        *,
        keeps: bool,
    ) -> Credential:
        """Ask the API, unless it failed for somebody a moment ago; `keeps` what comes of it."""
        mark = self._secret_mark()
        failure = entry.failure
        failure = failure if failure and failure.answers(mark, self._clock.now()) else None
        refused_sha256 = refused_sha256 or entry.refused_sha256
        try:
            if failure is not None:
                self._trace("cache", outcome="failed a moment ago", code=failure.code)
                raise failure.error(self._clock.now())
            if not deadline.remaining():
                raise DeadlineExceededError(
                    "another process has been asking for this all the time",
                    hint="end the git-credential-relay processes that do not end by themselves",
                )
            credential = self._fetch(target, deadline, refused_sha256)
        except (ConfigError, SourceError):
            raise  # ours to mend, and mended the moment it is: nothing to remember
        except RelayError as error:
            # An `erase` does not wait for us: what was refused meanwhile must not come back.
            kept = self._cache.read(key)
            refused_sha256 = _refused_last(entry, kept, refused_sha256)
            alive = self._alive(kept, refused_sha256)
            if isinstance(error, ApiError) and not error.retryable:
                alive = None  # it was taken away from us
            if keeps:
                failure = failure or Failure.of(error, mark, self._clock.now())
                self._keep(key, Entry(alive, refused_sha256, failure))
            if alive is None:
                raise
            self._trace("cache", outcome="served, the API is down", code=error.code)
            return alive
        refused_last = _refused_last(entry, self._cache.read(key), refused_sha256)
        if keeps:
            if credential.token_sha256 in (refused_sha256, refused_last):
                # An API that knows no better. It may work again (a forge's replicas lag), so it
                # is handed out, but the API stays asked for another one.
                self._keep(key, Entry(refused_sha256=credential.token_sha256))
            else:
                self._keep(key, Entry(credential))
        return credential

    def _secret_mark(self) -> str:
        """Tells one workspace secret from another: a corrected one is worth asking with at once."""
        from git_credential_relay.relay.workspace import workspace_secret
        from git_credential_relay.secret import token_sha256

        return token_sha256(workspace_secret(self._config))[:16]

    def _keep(self, key: Key, entry: Entry) -> None:
        try:
            self._cache.write(key, entry)
        except CacheError as error:
            self._trace("cache", outcome="not written", reason=error.message)


def _refused_last(before: Entry, now: Entry, refused_sha256: str | None) -> str | None:
    """The hash of the token that was refused while we asked, else the one we asked with."""
    if now.refused_sha256 != before.refused_sha256:
        return now.refused_sha256 or refused_sha256
    return refused_sha256
