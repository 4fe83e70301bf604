"""Refresh-ahead: tokens in use are renewed before a `get` would have to wait for the API."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from git_credential_relay.credential.credential import Credential
from git_credential_relay.credential.forge import Target
from git_credential_relay.errors import RateLimitedError, RelayError, unforeseen
from git_credential_relay.relay.deadline import Clock
from git_credential_relay.relay.sidecar.outage import (
    is_everywhere,
    is_final,
    quiet_seconds,
)
from git_credential_relay.relay.sidecar.record import Name, Record, Use, name_of
from git_credential_relay.relay.sidecar.renewal import AHEAD, fresh_until, is_renewable

LOOK_SECONDS, TICK_SECONDS = 10.0, 1.0
USED_WITHIN = 30 * 60.0
AT_ONCE = 4
# More than can be renewed until the next look: thousands at once would keep the loop busy.
MOST_WANTED = 1000
# How much earlier than AHEAD nobody begins, so that the sidecars of one fleet spread out. Not
# quite AHEAD in any case: an API whose clock is a little slow would give the token that it has.
EARLIEST, LATEST = 5.0, 35.0
# Until an API that gave nothing better is asked for the same again; doubled each time.
NO_BETTER_SECONDS = 60.0
# Until it is asked again for what it failed at, and for anything after it was not reached.
FAILED_SECONDS, UNREACHED_SECONDS = 30.0, 15.0
RATE_LIMITED_SECONDS = 60.0
# Trouble with so many different things in a row is trouble with everything.
MOST_FAILURES = 8

Renewed = Credential | RelayError | None


class Refreshed(Protocol):
    """What is looked at: ServedWorkspace is one."""

    def refresh(self) -> None:
        """Begin to renew what is due."""


async def refresh_ahead(
    workspaces: Callable[[], Iterable[Refreshed]],
    complain: Callable[[RelayError], object],
    clock: Clock,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> None:
    """Look at the workspaces there are, for ever. `complain` is told what nobody foresaw."""
    next_look = clock.monotonic()
    while True:
        await sleep(TICK_SECONDS)
        if clock.monotonic() < next_look:
            continue
        spread = random.uniform(0.8, 1.0)  # noqa: S311 - no secret
        next_look = clock.monotonic() + LOOK_SECONDS * spread
        for workspace in list(workspaces()):
            try:
                workspace.refresh()
            except Exception as error:  # noqa: BLE001 - the others' tokens run out all the same
                complain(unforeseen(error))


@dataclass(slots=True)
class _Wait:
    """Not before `until` (monotonic seconds); `is_failing`: the API could not, last time."""

    until: float
    seconds: float = 0.0
    is_failing: bool = False


class RefreshAhead:
    """Decides, on the event loop, what of one workspace is renewed when.

    `renew` does it in a thread; its future gives the better token, or None, or what failed.
    `is_served` tells what an edited configuration still has.
    """

    def __init__(
        self,
        record: Record,
        renew: Callable[[Target], asyncio.Future[Renewed]],
        is_served: Callable[[Target], bool],
        min_lifetime: float,
        clock: Clock,
        rng: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._record = record
        self._renew = renew
        self._is_served = is_served
        self._min_lifetime = min_lifetime
        self._clock = clock
        self._rng = rng
        self._ahead = AHEAD - rng(EARLIEST, LATEST)
        self._wanted: dict[Name, Target] = {}
        self._active: set[Name] = set()
        self._waits: dict[Name, _Wait] = {}
        self._quiet_until = 0.0
        self._failures = 0
        self._is_stopped = False

    def look(self) -> None:
        """Begin to renew what was used since it was fetched, and will run short soon."""
        now = self._clock.now()
        due: set[Name] = set()
        for use in self._record.used_since(now - USED_WITHIN):
            if len(self._wanted) >= MOST_WANTED:
                break
            if self._is_due(use, now):
                name = name_of(use.target)
                due.add(name)
                self._want(name, use.target)
        self._waits = {
            name: wait
            for name, wait in self._waits.items()
            if name in due or wait.until > self._clock.monotonic()
        }
        self._begin()

    def hurry(self, target: Target) -> None:
        """Renew `target` as soon as the API may be asked: it runs short, and is in use."""
        name = name_of(target)
        self._waits.setdefault(name, _Wait(0.0, is_failing=True)).is_failing = True
        self._want(name, target)
        self._begin()

    def quieten(self, error: RelayError) -> None:
        """Leave an API alone that wants it so, or is not to be reached, whoever asked it."""
        quiet = quiet_seconds(error)
        if isinstance(error, RateLimitedError):
            quiet = quiet or RATE_LIMITED_SECONDS
        elif is_everywhere(error):
            quiet = quiet or UNREACHED_SECONDS
        if quiet:
            self._quiet_until = max(self._quiet_until, self._in(quiet))

    def stop(self) -> None:
        """Begin nothing any more."""
        self._is_stopped = True
        self._wanted.clear()

    def _is_due(self, use: Use, now: float) -> bool:
        fetched_at, expires_at, used_at = use.fetched_at, use.expires_at, use.used_at
        if fetched_at is None or expires_at is None or used_at is None or used_at <= fetched_at:
            return False
        end = fresh_until(fetched_at, expires_at, self._min_lifetime)
        if now < end - self._ahead or now >= expires_at:
            return False
        if not is_renewable(fetched_at, expires_at, self._min_lifetime):
            return False
        if now <= end:
            return True
        # Too late: from here on each `get` asks, except while the API fails.
        wait = self._waits.get(name_of(use.target))
        return wait is not None and wait.is_failing

    def _want(self, name: Name, target: Target) -> None:
        if not self._is_served(target):
            return
        wait = self._waits.get(name)
        if name not in self._active and (wait is None or self._clock.monotonic() >= wait.until):
            self._wanted[name] = target

    def _begin(self) -> None:
        while self._wanted and len(self._active) < AT_ONCE and not self._is_stopped:
            if self._clock.monotonic() < self._quiet_until:
                self._wanted.clear()  # the next look finds what is due then
                return
            name = next(iter(self._wanted))
            try:
                future = self._renew(self._wanted.pop(name))
            except RelayError as error:
                self._failed(name, error)
                return
            self._active.add(name)
            future.add_done_callback(partial(self._ended, name))

    def _ended(self, name: Name, future: asyncio.Future[Renewed]) -> None:
        self._active.discard(name)
        if future.cancelled():
            return
        renewed = future.result()
        if isinstance(renewed, RelayError):
            self._failed(name, renewed)
            self._begin()
            return
        self._failures = 0
        if renewed is None:
            known = self._waits.get(name)
            seconds = max(NO_BETTER_SECONDS, 2 * known.seconds if known else 0.0)
            self._waits[name] = _Wait(self._in(seconds), seconds)
        else:
            self._waits.pop(name, None)
            self._record.renewed(name, renewed)
        self._begin()

    def _failed(self, name: Name, error: RelayError) -> None:
        if is_final(error):
            # The token in hand is good for some minutes; then the asker is to hear the refusal.
            self._waits[name] = _Wait(self._in(AHEAD))
            return
        # One that was not reached is asked for this first when it is asked again.
        until = 0.0 if is_everywhere(error) else self._in(FAILED_SECONDS)
        self._waits[name] = _Wait(until, is_failing=True)
        self.quieten(error)
        self._failures += 1
        if self._failures >= MOST_FAILURES:
            self._quiet_until = max(self._quiet_until, self._in(UNREACHED_SECONDS))

    def _in(self, seconds: float) -> float:
        # Not less than that: a server that wants to be left alone means it.
        return self._clock.monotonic() + seconds * self._rng(1.0, 1.1)
