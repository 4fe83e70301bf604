"""The sidecar's life: sockets, workspaces, signals, reloads, and a good end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any

from git_credential_relay.errors import ConfigError, RelayError, unforeseen
from git_credential_relay.messages import PROGRAM, error_lines
from git_credential_relay.relay.deadline import Clock
from git_credential_relay.relay.sidecar.exchange import Exchange
from git_credential_relay.relay.sidecar.listener import Listener, directory_warning
from git_credential_relay.relay.sidecar.notify import notify, notify_reloading
from git_credential_relay.relay.sidecar.peer import Peer
from git_credential_relay.relay.sidecar.places import GhPlace, GitPlace, Place
from git_credential_relay.relay.sidecar.workspace import ServedWorkspace
from git_credential_relay.relay.sidecar.workspaces import Tenant, choose
from git_credential_relay.trace import Trace

WATCH_SECONDS = 1.0
# Who is being answered when we are told to end gets the answer, if it comes in this time.
DRAIN_SECONDS = 10.0

Say = Callable[[str], object]


class Sidecar:
    """Serves the workspaces that `read` finds, until it is told to end.

    `signature` changes when `read` may find something else. `say` gets the lines of the log.
    """

    def __init__(
        self,
        read: Callable[[], list[Tenant]],
        signature: Callable[[], object],
        say: Say,
        clock: Clock | None = None,
        trace: Trace | None = None,
    ) -> None:
        self._read = read
        self._signature = signature
        self._say = say
        self._clock = clock or Clock()
        self._trace = trace or Trace()
        self._tenants: dict[str, Tenant] = {}
        self._workspaces: dict[str, ServedWorkspace] = {}
        self._places: dict[str, Place] = {}
        self._endings: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()
        self._hurried = asyncio.Event()
        self._reload = asyncio.Event()

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT. Raises RelayError where it cannot begin."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._unforeseen)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        seen = self._signature()
        await self._apply(self._read())
        self._say(f"ready on {', '.join(self._places)}")
        notify("READY=1")
        watch = asyncio.create_task(self._watch(seen))
        await self._ended.wait()
        watch.cancel()
        await self._drain()

    def _end(self) -> None:
        if self._ended.is_set():
            self._hurried.set()  # told twice: at once
        self._ended.set()

    async def _watch(self, seen: object) -> None:
        """Read the configuration again when it changes, or when SIGHUP says so."""
        while True:
            try:
                await asyncio.wait_for(self._reload.wait(), WATCH_SECONDS)
            except TimeoutError:
                if self._signature() == seen:
                    continue
            self._reload.clear()
            seen = self._signature()
            notify_reloading()
            try:
                await self._apply(self._read())
            except RelayError as error:
                self._say_error(error)
                self._say("the configuration before this edit stays in force")
            else:
                self._say(f"configuration read again: {', '.join(self._tenants)}")
            notify("READY=1")

    async def _apply(self, tenants: list[Tenant]) -> None:
        """Serve `tenants` from now on. What raises changes nothing."""
        found = {tenant.name: tenant for tenant in tenants}
        workspaces = {tenant.name: self._workspace(tenant) for tenant in tenants}
        opened = await self._open(found)
        for name, workspace in self._workspaces.items():
            if workspaces.get(name) is not workspace:
                self._later(workspace.close())
        self._tenants, self._workspaces = found, workspaces
        self._places |= opened
        for path in [path for path in self._places if path not in _sockets(tenants)]:
            self._later(self._close(self._places.pop(path), DRAIN_SECONDS))
        for path, place in self._places.items():
            place.listener.set_open(for_others=_are_others(tenants, path))

    def _workspace(self, tenant: Tenant) -> ServedWorkspace:
        """The workspace of `tenant`: the one there is, unless its settings have changed."""
        before = self._tenants.get(tenant.name)
        known = self._workspaces.get(tenant.name)
        if known is not None and before is not None and before.fingerprint == tenant.fingerprint:
            return known
        return ServedWorkspace(tenant.name, tenant.config, self._clock, self._trace, known)

    def _later(self, ending: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(ending)
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)

    async def _open(self, tenants: dict[str, Tenant]) -> dict[str, Place]:
        opened: dict[str, Place] = {}
        every = list(tenants.values())
        try:
            for path, is_for_gh in _sockets(every).items():
                if path not in self._places:
                    opened[path] = await self._listen(path, every, is_for_gh=is_for_gh)
        except BaseException:
            for place in opened.values():
                place.stop()
                place.listener.close()
            raise
        return opened

    async def _listen(self, path: str, tenants: list[Tenant], *, is_for_gh: bool) -> Place:
        listener = Listener(path, for_others=_are_others(tenants, path))
        warning = directory_warning(path)
        if warning is not None:
            self._say(f"warning: {warning}")
        find = partial(self._find, path)
        if is_for_gh:
            place: GitPlace | GhPlace = GhPlace(listener, find)
        else:
            exchange = Exchange(find, partial(self._see, path), self._clock.now, self._trace)
            place = GitPlace(listener, exchange, self._trace)
        await place.serve()
        return place

    async def _close(self, place: Place, seconds: float) -> None:
        """Take the socket away first: whoever comes now finds none, rather than no answer."""
        place.listener.withdraw()
        await asyncio.sleep(0)  # those who had come already are taken in
        place.stop()
        await place.drain(seconds)
        place.listener.close()

    async def _drain(self) -> None:
        notify("STOPPING=1")
        drained = asyncio.create_task(self._end_all())
        hurried = asyncio.create_task(self._hurried.wait())
        await asyncio.wait(
            [drained, hurried],
            timeout=DRAIN_SECONDS + 1,
            return_when=asyncio.FIRST_COMPLETED,
        )
        self._say("ended")

    async def _end_all(self) -> None:
        places = [self._close(place, DRAIN_SECONDS) for place in self._places.values()]
        workspaces = [workspace.close() for workspace in self._workspaces.values()]
        await asyncio.gather(*places, *workspaces, *self._endings)

    def _find(self, path: str, peer: Peer) -> ServedWorkspace | None:
        """Whose workspace `peer` asks for at the socket `path`."""
        name = choose(_at(self._tenants.values(), path), peer)
        return self._workspaces[name] if name else None

    def _see(self, path: str, peer: Peer) -> list[ServedWorkspace]:
        """What `peer` may know of: its own workspace, and all of them whose secrets it can read."""
        if peer.uid == os.geteuid():
            return list(self._workspaces.values())
        own = self._find(path, peer)
        return [own] if own else []

    def _unforeseen(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, Exception):
            self._say_error(unforeseen(error))
        else:
            self._say(f"trouble: {context.get('message')}")

    def _say_error(self, error: RelayError) -> None:
        for line in error_lines(error):
            self._say(line.removeprefix(f"{PROGRAM}: "))


def _sockets(tenants: Iterable[Tenant]) -> dict[str, bool]:
    """The path of each socket, and whether it is one for gh."""
    every = list(tenants)
    paths = {tenant.socket: False for tenant in every}
    for tenant in every:
        if tenant.gh_socket and paths.setdefault(tenant.gh_socket, True) is False:
            raise ConfigError(f"{tenant.gh_socket} is both git's socket and gh's")
    return paths


def _at(tenants: Iterable[Tenant], path: str) -> list[Tenant]:
    return [tenant for tenant in tenants if path in (tenant.socket, tenant.gh_socket)]


def _are_others(tenants: Iterable[Tenant], path: str) -> bool:
    return any(tenant.callers.are_others for tenant in _at(tenants, path))
