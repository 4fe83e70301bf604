"""An issuer's keys, kept for a while, so that a token costs no fetch and nobody can cause many."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import jwt

from git_credential_relay.broker.errors import IssuerUnavailableError
from git_credential_relay.broker.identity.fetch import FetchError, IssuerClient
from git_credential_relay.broker.identity.issuers import Issuer
from git_credential_relay.broker.identity.jwks import KeySet, parse_jwks
from git_credential_relay.env_file import read_text
from git_credential_relay.errors import ConfigError

FRESH_SECONDS = 600
# While the issuer is down. Longer, and a key it has withdrawn would go on for too long.
STALE_SECONDS = 3600
# Between two fetches from one issuer: anybody can send a token with a key id nobody has.
THROTTLE_SECONDS = 30


class IssuerKeys:
    """The keys of one issuer. `monotonic` is a clock that only goes forward, in seconds.

    Raises ConfigError where the issuer's files cannot be read.
    """

    def __init__(self, issuer: Issuer, monotonic: Callable[[], float]) -> None:
        self.issuer = issuer
        self._monotonic = monotonic
        self._client = IssuerClient(issuer) if issuer.jwks_file is None else None
        self._keys: KeySet | None = None
        self._read_at = 0.0
        self._tried_at: float | None = None
        self._trouble = "not fetched yet"
        self._refresh: asyncio.Task[None] | None = None
        if issuer.jwks_file is not None:
            self._take(self._read_file())

    async def find(self, key_id: str | None, algorithm: str) -> jwt.PyJWK | None:
        """The key of this name for this algorithm, fetched if need be and allowed.

        Raises IssuerUnavailableError where no keys are to be had, old ones neither.
        """
        keys = self._keys
        # The hot path: a key that is there and fresh, without waiting for anything.
        if keys is None or self._age() > FRESH_SECONDS or not self._knows(keys, key_id):
            keys = await self._refreshed()
        if key_id is None:
            return keys.find_only(algorithm) if self.issuer.jwks_file else None
        return keys.find(key_id, algorithm)

    async def probe(self) -> str | None:
        """What is wrong with fetching the keys now; None if nothing is."""
        await self._fetch()
        if self._trouble:
            return self._trouble
        return None if self._keys and self._keys.keys else "it has no key we could use"

    async def aclose(self) -> None:
        """Close the connections."""
        if self._refresh is not None:
            self._refresh.cancel()
            await asyncio.gather(self._refresh, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    def _knows(self, keys: KeySet, key_id: str | None) -> bool:
        return key_id is None or key_id in keys.key_ids

    def _age(self) -> float:
        return self._monotonic() - self._read_at

    async def _refreshed(self) -> KeySet:
        wait = self._seconds_to_wait()
        if self._refresh is not None or wait <= 0:
            if self._refresh is None:
                self._refresh = asyncio.create_task(self._fetch())
                self._refresh.add_done_callback(self._forget_refresh)
            # Whoever asked first may go away; the others still want the answer.
            await asyncio.shield(self._refresh)
            wait = self._seconds_to_wait()
        if self._keys is None or self._age() > STALE_SECONDS:
            raise IssuerUnavailableError(
                f"{self.issuer.url}: {self._trouble}", retry_after=max(1.0, wait)
            )
        return self._keys

    def _seconds_to_wait(self) -> float:
        if self._tried_at is None:
            return 0.0
        return self._tried_at + THROTTLE_SECONDS - self._monotonic()

    def _forget_refresh(self, task: asyncio.Task[None]) -> None:
        self._refresh = None

    async def _fetch(self) -> None:
        """Take new keys, or note the trouble and keep the old ones. Raises nothing of its own."""
        self._tried_at = self._monotonic()
        try:
            raw = await self._client.fetch_jwks() if self._client else self._read_file()
            self._take(raw)
        except FetchError as error:
            self._trouble = str(error)
        except ConfigError as error:
            self._trouble = error.message

    def _take(self, raw: bytes | str) -> None:
        try:
            self._keys = parse_jwks(raw, self.issuer.algorithms)
        except ValueError as error:
            raise ConfigError(f"issuer {self.issuer.url}: not a key set: {error}") from error
        self._read_at = self._monotonic()
        self._trouble = ""

    def _read_file(self) -> str:
        path = str(self.issuer.jwks_file)
        return read_text(path, f"issuer {self.issuer.url}")
