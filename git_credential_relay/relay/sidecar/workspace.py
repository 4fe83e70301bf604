"""One workspace as the sidecar serves it: its secret's use, its tokens, its history."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from git_credential_relay.config import Config
from git_credential_relay.credential.credential import Credential
from git_credential_relay.credential.forge import Target
from git_credential_relay.errors import RelayError, SidecarError, unforeseen
from git_credential_relay.relay.acquire import Acquirer
from git_credential_relay.relay.cache.memory import MemoryCache
from git_credential_relay.relay.cached import key_of
from git_credential_relay.relay.client.api import RelayClient
from git_credential_relay.relay.deadline import Clock, Deadline
from git_credential_relay.relay.sidecar.outage import Outage
from git_credential_relay.relay.sidecar.record import Name, Record, Use, answered, failed, name_of
from git_credential_relay.relay.sidecar.refresh import RefreshAhead, Renewed
from git_credential_relay.relay.sidecar.renewal import Renewal
from git_credential_relay.relay.workspace import workspace_secret
from git_credential_relay.secret import Secret
from git_credential_relay.trace import Trace

# Threads that are with the API at a time, for different targets; and how many may wait for one.
THREADS = 16
MAX_FLIGHTS = 256

_T = TypeVar("_T")
_Ended = Credential | RelayError
_Flight = tuple[Name, str | None, str | None]


class ServedWorkspace:
    """Acquires for one workspace: what the cache has at once, the rest in threads.

    One asker at a time is with the API for the same thing; the others get what it got. All but
    the asking itself happens on the event loop: nothing here needs a lock.
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
        cache = predecessor._cache if predecessor else MemoryCache(now=clock.now)
        self._cache: MemoryCache = cache
        self._clock = clock
        self._trace = trace
        self._client = RelayClient(config, lambda: workspace_secret(config), clock, trace)
        self._acquirer = Acquirer(config, cache, self._fetch, clock, trace)
        self._renewal = Renewal(config, cache, self._fetch, clock, trace)
        self._outage = Outage()
        self._refresh = RefreshAhead(
            self.record, self._renew, self._is_served, config.min_lifetime, clock
        )
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix=f"acquire-{name}")
        self._flights: dict[_Flight, asyncio.Future[_Ended]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closing = False
        self._is_closed = False

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
        if self._outage.is_known(name_of(target), self._clock.monotonic()):
            stand_in = self._renewal.find_stand_in(target, refused_sha256)
            if stand_in is not None:
                answered(use, stand_in, self._clock.now(), is_hit=True)
                self._refresh.hurry(target)
                return stand_in
        try:
            flight = self._flight(use, target, refused_sha256, username)
        except RelayError as error:
            failed(use, error, self._clock.now())
            raise
        ended = await asyncio.shield(flight)
        if isinstance(ended, RelayError):
            # Of another asker too, whose frames would be in it.
            raise ended.with_traceback(None)
        return ended

    async def forget(self, target: Target, password: Secret | None) -> None:
        """Drop the tokens of `target`'s forge that equal `password`: the forge refused it.

        Without a password, those of `target` itself: git's own rule for a missing field.
        """
        cache = self._cache
        keys = [key_of(self.config, target.for_use(use)) for use in ("git", "api")]
        if password is None:
            refused = [cache.refuse(key) for key in keys]
        else:
            # Either may come from an API path of its own, so they need not be of one API.
            refused = [cache.refuse_all(key, password) for key in keys]
        for sha256 in {sha256 for sha256 in refused if sha256}:
            self._trace("cache", outcome="erased", sha256=sha256)

    def refresh(self) -> None:
        """Begin to renew what is in use and will run short soon. Never waits."""
        if not self._is_closing and self.config.missing_api_setting() is None:
            self._refresh.look()

    async def close(self) -> None:
        """Let those who are with the API end, then give the connections back.

        From now on what is kept is handed out, and nothing is asked any more.
        """
        self._is_closing = True
        self._refresh.stop()
        if self._flights:
            await asyncio.wait(list(self._flights.values()))
        self._is_closed = True
        self._threads.shutdown(wait=False)
        self._client.close()

    def _is_served(self, target: Target) -> bool:
        return any(
            (forge.url, forge.kind) == (target.forge.url, target.forge.kind)
            for forge in self.config.forges
        )

    def _flight(
        self, use: Use, target: Target, refused_sha256: str | None, username: str | None
    ) -> asyncio.Future[_Ended]:
        name = (name_of(target), refused_sha256, username)
        flight = self._flights.get(name)
        if flight is None:
            self._refuse_more()
            # From now on, so that waiting for a thread counts.
            deadline = Deadline(self.config.deadline, self._clock)
            flight = self._run(self._ask, target, refused_sha256, username, deadline)
            self._flights[name] = flight
            # Of the first callbacks, so that the record knows before those who wait do. And
            # whether or not they still wait: who has given up will ask why.
            flight.add_done_callback(lambda done: self._landed(name, use, done))
        return flight

    def _run(self, work: Callable[..., _T], *arguments: object) -> asyncio.Future[_T]:
        """Do `work` in a thread. Raises RelayError where there is none to be had."""
        self._loop = asyncio.get_running_loop()
        try:
            return self._loop.run_in_executor(self._threads, partial(work, *arguments))
        except RuntimeError as error:
            raise RelayError(
                f"the sidecar has no thread to ask the relay API with: {error}",
                code="sidecar-busy",
                retryable=True,
            ) from error

    def _refuse_more(self) -> None:
        if self._is_closing:
            raise SidecarError(
                "the sidecar is ending, or has read another configuration",
                hint="run the command again",
            )
        if len(self._flights) >= MAX_FLIGHTS:
            raise RelayError(
                "the sidecar is asking the relay API for too many things already",
                code="sidecar-busy",
                retryable=True,
                retry_after=self.config.deadline,
            )

    def _ask(
        self,
        target: Target,
        refused_sha256: str | None,
        username: str | None,
        deadline: Deadline,
    ) -> _Ended:
        try:
            return self._acquirer.acquire(target, refused_sha256, username, deadline)
        except RelayError as error:
            return error
        except Exception as error:  # noqa: BLE001 - one target's trouble is nobody else's
            return unforeseen(error)

    def _landed(self, name: _Flight, use: Use, flight: asyncio.Future[_Ended]) -> None:
        self._flights.pop(name, None)
        if flight.cancelled():
            return
        ended = flight.result()
        if isinstance(ended, RelayError):
            failed(use, ended, self._clock.now())
        else:
            answered(use, ended, self._clock.now())

    def _renew(self, target: Target) -> asyncio.Future[Renewed]:
        return self._run(self._renewal.renew, target)

    def _fetch(
        self,
        target: Target,
        deadline: Deadline,
        refused_sha256: str | None,
        min_lifetime: float | None = None,
    ) -> Credential:
        try:
            credential = self._client.fetch(target, deadline, refused_sha256, min_lifetime)
        except RelayError as error:
            self._tell(target, error)
            raise
        self._tell(target, None)
        return credential

    def _tell(self, target: Target, error: RelayError | None) -> None:
        """Have the loop note how the API was met; before the asker goes on, as it comes first."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and we are not told
                self._loop.call_soon_threadsafe(self._note, target, error)

    def _note(self, target: Target, error: RelayError | None) -> None:
        if self._is_closed:
            return  # it is we who have ended the connection
        if error is None:
            self.record.api_answered(self._clock.now())
            self._outage.answered(name_of(target))
        else:
            self.record.api_failed(error, self._clock.now())
            self._outage.failed(name_of(target), error, self._clock.monotonic())
            self._refresh.quieten(error)
