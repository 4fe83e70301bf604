"""One token fetched anew before it runs short, and when that is."""

from __future__ import annotations

from typing import Protocol

from git_credential_relay.config import Config
from git_credential_relay.credential.credential import LONGEST_TRUST, Credential
from git_credential_relay.credential.forge import Target
from git_credential_relay.errors import CacheError, RelayError, unforeseen
from git_credential_relay.relay.cache.entry import Entry, Key
from git_credential_relay.relay.cache.interface import Cache
from git_credential_relay.relay.cached import COMFORTABLE_LIFE, PATIENCE_WITH_TOKEN, key_of
from git_credential_relay.relay.deadline import Clock, Deadline
from git_credential_relay.trace import Trace

# Before a token has less than the minimum lifetime: time for some attempts.
AHEAD = 180.0


class FetchAhead(Protocol):
    """Asks the relay API for a token with `min_lifetime` seconds left."""

    def __call__(
        self,
        target: Target,
        deadline: Deadline,
        refused_sha256: str | None,
        min_lifetime: float | None,
    ) -> Credential: ...


def fresh_until(fetched_at: float, expires_at: float, min_lifetime: float) -> float:
    """The moment (Unix time) from which Credential.is_fresh says no to a later asker."""
    return min(expires_at - min_lifetime, fetched_at + LONGEST_TRUST)


def is_renewable(fetched_at: float, expires_at: float, min_lifetime: float) -> bool:
    """Whether it lives long enough: shorter ones would be fetched all the time."""
    return expires_at - fetched_at >= shortest_renewable(min_lifetime)


def shortest_renewable(min_lifetime: float) -> float:
    """The seconds of life from which on a token is renewed ahead."""
    return min_lifetime + 2 * AHEAD


class Renewal:
    """Renews tokens in the cache, in a worker thread, through the locks that a `get` takes."""

    def __init__(
        self, config: Config, cache: Cache, fetch: FetchAhead, clock: Clock, trace: Trace
    ) -> None:
        self._config = config
        self._cache = cache
        self._fetch = fetch
        self._clock = clock
        self._trace = trace

    def find_stand_in(self, target: Target, refused_sha256: str | None) -> Credential | None:
        """The kept token with a minute left or more, for want of a better one. Never waits."""
        kept = self._cache.read(key_of(self._config, target)).credential
        if kept is None or kept.token_sha256 == refused_sha256:
            return None
        return kept if kept.is_alive(self._clock.now() + COMFORTABLE_LIFE) else None

    def renew(self, target: Target) -> Credential | RelayError | None:
        """The better token that is kept from now on; None where there is none, or no need.

        Whatever goes wrong is given back, and the token that is kept stays.
        """
        try:
            return self._renew(target)
        except RelayError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - nobody waits for it, so nobody else would say
            failure = unforeseen(error)
        self._trace("refresh", target=target, code=failure.code, message=failure.message)
        return failure

    def _renew(self, target: Target) -> Credential | None:
        key = key_of(self._config, target)
        with self._cache.lock(key, Deadline(0, self._clock)) as is_held:
            if not is_held:
                return None  # somebody is with the API for it
            kept = self._cache.read(key).credential
            if kept is None or not self._is_due(kept):
                return None
            deadline = Deadline(PATIENCE_WITH_TOKEN, self._clock, is_patient=False)
            # Of less an API may have one, and give it: too short to be renewed in its turn.
            enough = shortest_renewable(self._config.min_lifetime)
            issued = self._fetch(target, deadline, None, enough)
            is_better = self._keep(key, issued)
        self._trace("refresh", target=target, sha256=issued.token_sha256, kept=is_better)
        return issued if is_better else None

    def _is_due(self, kept: Credential) -> bool:
        return self._clock.now() >= self._end(kept) - AHEAD

    def _keep(self, key: Key, issued: Credential) -> bool:
        now = self._cache.read(key)
        if now.refused_sha256 is not None and now.refused_sha256 == issued.token_sha256:
            return False  # an `erase` came meanwhile; the next get says so to the API
        if now.credential is not None and not self._is_better(issued, now.credential):
            return False
        try:
            self._cache.write(key, Entry(issued))
        except CacheError as error:
            self._trace("cache", outcome="not written", reason=error.message)
            return False
        return True

    def _is_better(self, issued: Credential, kept: Credential) -> bool:
        if issued.token_sha256 != kept.token_sha256 and self._end(issued) > self._clock.now():
            return True  # to make one may have ended the other (GitLab's OAuth)
        return self._end(issued) > self._end(kept)

    def _end(self, credential: Credential) -> float:
        if credential.expires_at is None:
            return credential.fetched_at  # of an unknown life, so each `get` asks anew
        return fresh_until(credential.fetched_at, credential.expires_at, self._config.min_lifetime)
