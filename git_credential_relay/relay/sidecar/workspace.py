"""One workspace as the sidecar serves it: its secret's use, its tokens, its history."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from git_credential_relay.config import Config
from git_credential_relay.credential.credential import Credential
from git_credential_relay.credential.forge import Target
from git_credential_relay.errors import RelayError, unforeseen
from git_credential_relay.relay.acquire import Acquirer
from git_credential_relay.relay.cache.memory import MemoryCache
from git_credential_relay.relay.client.api import RelayClient
from git_credential_relay.relay.deadline import Clock, Deadline
from git_credential_relay.relay.sidecar.record import Record, answered, failed
from git_credential_relay.relay.workspace import workspace_secret
from git_credential_relay.secret import Secret
from git_credential_relay.trace import Trace

# Threads that are with the API at a time, for different targets; and how many may wait for one.
THREADS = 16
MAX_FLIGHTS = 256

_Flight = tuple[str, str | None, str, str | None, str | None]


class ServedWorkspace:
    """Acquires for one workspace: what the cache has at once, the rest in threads.

    One asker at a time is with the API for the same thing; the others get what it got.
    """

    def __init__(
        self,
        name: str,
        config: Config,
        clock: Clock,
        trace: Trace,
        predecessor: ServedWorkspace | None = None,
    ) -> None:
        self.name = name
        self.config = config
        # An edit of the configuration costs neither tokens nor history.
        self.record: Record = predecessor.record if predecessor else Record()
        self._cache: MemoryCache = predecessor._cache if predecessor else MemoryCache()
        self._clock = clock
        self._client = RelayClient(config, lambda: workspace_secret(config), clock, trace)
        self._acquirer = Acquirer(config, self._cache, self._fetch, clock, trace)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix=f"acquire-{name}")
        self._flights: dict[_Flight, asyncio.Future[Credential]] = {}

    def find_fresh(self, target: Target, refused_sha256: str | None = None) -> Credential | None:
        """What may be handed out for `target` at once. Never waits."""
        credential = self._acquirer.find_fresh(target, refused_sha256)
        if credential is not None:
            now = self._clock.now()
            answered(self.record.asked(target, now), credential, now, is_hit=True)
        return credential

    async def acquire(
        self, target: Target, refused_sha256: str | None = None, username: str | None = None
    ) -> Credential:
        """A credential for `target`. Raises RelayError."""
        credential = self.find_fresh(target, refused_sha256)
        if credential is not None:
            return credential
        use = self.record.asked(target, self._clock.now())
        try:
            credential = await asyncio.shield(self._flight(target, refused_sha256, username))
        except RelayError as error:
            failed(use, error, self._clock.now())
            raise
        except Exception as error:
            failure = unforeseen(error)
            failed(use, failure, self._clock.now())
            raise failure from error
        answered(use, credential, self._clock.now())
        return credential

    async def forget(self, target: Target, password: Secret | None) -> None:
        """Drop the tokens of `target`'s forge that equal `password`: the forge refused it."""
        # Not among those who wait for the API: git waits for this, too.
        await asyncio.to_thread(self._acquirer.forget, target, password)

    async def close(self) -> None:
        """Let those who are with the API end, then give the connections back."""
        if self._flights:
            await asyncio.wait(list(self._flights.values()))
        self._threads.shutdown(wait=False)
        self._client.close()

    def _flight(
        self, target: Target, refused_sha256: str | None, username: str | None
    ) -> asyncio.Future[Credential]:
        name = (target.forge.url, target.repository, target.use, refused_sha256, username)
        flight = self._flights.get(name)
        if flight is None:
            if len(self._flights) >= MAX_FLIGHTS:
                raise RelayError(
                    "the sidecar is asking the relay API for too many things already",
                    code="sidecar-busy",
                    retryable=True,
                    retry_after=self.config.deadline,
                )
            # From now on, so that waiting for a thread counts.
            deadline = Deadline(self.config.deadline, self._clock)
            ask = partial(self._acquirer.acquire, target, refused_sha256, username, deadline)
            flight = asyncio.get_running_loop().run_in_executor(self._threads, ask)
            self._flights[name] = flight
            flight.add_done_callback(lambda done: self._landed(name, done))
        return flight

    def _landed(self, name: _Flight, flight: asyncio.Future[Credential]) -> None:
        self._flights.pop(name, None)
        if not flight.cancelled():
            flight.exception()  # whoever asked may have gone: that is no reason to complain

    def _fetch(self, target: Target, deadline: Deadline, refused_sha256: str | None) -> Credential:
        try:
            credential = self._client.fetch(target, deadline, refused_sha256)
        except RelayError as error:
            self.record.api_failed(error, self._clock.now())
            raise
        self.record.api_answered(self._clock.now())
        return credential
