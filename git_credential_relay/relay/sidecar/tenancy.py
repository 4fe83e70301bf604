"""Who is served where: the workspaces and the sockets of the configuration that is in force."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any

from git_credential_relay.errors import ConfigError, RelayError
from git_credential_relay.relay.deadline import Clock
from git_credential_relay.relay.sidecar.exchange import Exchange
from git_credential_relay.relay.sidecar.listener import Listener, directory_warning
from git_credential_relay.relay.sidecar.peer import Peer, is_own
from git_credential_relay.relay.sidecar.places import GhPlace, GitPlace, Place
from git_credential_relay.relay.sidecar.room import Room, Turns
from git_credential_relay.relay.sidecar.workspace import ServedWorkspace
from git_credential_relay.relay.sidecar.workspaces import Tenant, choose
from git_credential_relay.trace import Trace

# Who is being answered when a socket goes gets the answer, if it comes in this time: container
# engines kill ten seconds after they have asked for an end.
DRAIN_SECONDS = 8.0

Say = Callable[[str], object]


class Tenancy:
    """Serves the tenants it was last told of. `say` gets the lines of the log."""

    def __init__(self, say: Say, clock: Clock, trace: Trace, room: Room) -> None:
        self._say = say
        self._clock = clock
        self._trace = trace
        self._room = room
        self._turns = Turns()
        self._tenants: dict[str, Tenant] = {}
        self._workspaces: dict[str, ServedWorkspace] = {}
        self._places: dict[str, Place] = {}
        self._at: dict[str, list[Tenant]] = {}
        self._lost: set[str] = set()
        self._drains: set[asyncio.Task[None]] = set()
        self._endings: set[asyncio.Task[None]] = set()

    @property
    def names(self) -> list[str]:
        """The names of the workspaces."""
        return list(self._workspaces)

    @property
    def sockets(self) -> list[str]:
        """The paths of the sockets."""
        return list(self._places)

    @property
    def workspaces(self) -> list[ServedWorkspace]:
        """The workspaces that are served now."""
        return list(self._workspaces.values())

    async def apply(self, tenants: list[Tenant]) -> None:
        """Serve `tenants` from now on. Raises RelayError, and then nothing has changed."""
        sockets = _sockets(tenants)
        at = {path: _at(tenants, path) for path in sockets}
        opened = self._open({p: k for p, k in sockets.items() if not self._has(p, k)}, at)
        workspaces = {tenant.name: self._workspace(tenant) for tenant in tenants}
        replaced = [w for name, w in self._workspaces.items() if workspaces.get(name) is not w]
        self._tenants = {tenant.name: tenant for tenant in tenants}
        self._workspaces, self._at = workspaces, at
        self._places |= opened
        for path in [path for path in self._places if path not in sockets]:
            self._retire(self._places.pop(path))
        for workspace in replaced:
            _keep(self._endings, workspace.close())
        for path, place in self._places.items():
            place.listener.set_open(for_others=_are_others(at[path]))
        for place in opened.values():
            await place.serve()

    async def mend(self) -> None:
        """Make sockets anew that have been taken away, by whatever cleans a directory."""
        for path, place in list(self._places.items()):
            if not place.listener.is_in_place:
                await self._replace(path, place)

    def withdraw(self) -> None:
        """Take all sockets away: whoever comes now finds none, rather than no answer."""
        for place in self._places.values():
            place.listener.withdraw()

    async def close(self, seconds: float) -> None:
        """Let those who are being answered have their answer, for so long, and close the sockets.

        What is asked of the API for nobody any more is not waited for: it ends with the process.
        """
        places = self._places.values()
        await asyncio.gather(*(_end(place, seconds) for place in places), *self._drains)

    def find(self, path: str, peer: Peer) -> ServedWorkspace | None:
        """Whose workspace `peer` asks for at the socket `path`."""
        name = choose(self._at.get(path, []), peer)
        return self._workspaces.get(name) if name else None

    def see(self, path: str, peer: Peer) -> list[ServedWorkspace]:
        """What `peer` may know of: its own workspace, and all of them whose secrets it can read.

        A process in a pid namespace that we do not see (no pid) is in another container: there
        the same uid is somebody else.
        """
        if is_own(peer) and peer.pid:
            return self.workspaces
        own = self.find(path, peer)
        return [own] if own else []

    def _workspace(self, tenant: Tenant) -> ServedWorkspace:
        """The workspace of `tenant`: the one there is, unless its settings have changed."""
        before = self._tenants.get(tenant.name)
        known = self._workspaces.get(tenant.name)
        if before is not None and known is not None:
            if before.fingerprint == tenant.fingerprint:
                return known
            if before.identity != tenant.identity:
                known = None  # the same name for another one, who must not see its history
        return ServedWorkspace(tenant.name, tenant.config, self._clock, self._trace, known)

    def _has(self, path: str, is_for_gh: bool) -> bool:
        place = self._places.get(path)
        if place is not None and place.is_for_gh != is_for_gh:
            raise ConfigError(
                f"{path} cannot become {'gh' if is_for_gh else 'git'}'s socket while it is served",
                hint="start the sidecar anew, or choose another path",
            )
        return place is not None

    def _open(self, sockets: dict[str, bool], at: dict[str, list[Tenant]]) -> dict[str, Place]:
        opened: dict[str, Place] = {}
        try:
            for path, is_for_gh in sockets.items():
                opened[path] = self._listen(path, at[path], is_for_gh=is_for_gh)
        except BaseException:
            for place in opened.values():
                place.listener.close()
            raise
        return opened

    def _listen(self, path: str, tenants: list[Tenant], *, is_for_gh: bool) -> Place:
        listener = Listener(path, for_others=_are_others(tenants))
        try:
            warning = directory_warning(path)
            if warning is not None:
                self._say(f"warning: {warning}")
            find, see = partial(self.find, path), partial(self.see, path)
            if is_for_gh:
                return GhPlace(listener, find, self._trace)
            exchange = Exchange(find, see, self._clock.now, self._turns, self._trace)
            return GitPlace(listener, exchange, self._room, self._trace)
        except BaseException:
            listener.close()
            raise

    async def _replace(self, path: str, lost: Place) -> None:
        lost.listener.withdraw()  # its lock, too
        try:
            place = self._listen(path, self._at[path], is_for_gh=lost.is_for_gh)
        except (RelayError, OSError) as error:
            if path not in self._lost:
                self._lost.add(path)
                self._say(f"the socket {path} has gone, and cannot be made anew: {error}")
            return
        self._lost.discard(path)
        self._places[path] = place
        self._retire(lost)
        await place.serve()
        self._say(f"the socket {path} had gone, and was made anew")

    def _retire(self, place: Place) -> None:
        place.listener.withdraw()
        _keep(self._drains, _end(place, DRAIN_SECONDS))


async def _end(place: Place, seconds: float) -> None:
    await place.drain(seconds)
    place.listener.close()


def _keep(tasks: set[asyncio.Task[None]], ending: Coroutine[Any, Any, None]) -> None:
    """Have `ending` happen; a task that nobody holds may vanish."""
    task = asyncio.create_task(ending)
    tasks.add(task)
    task.add_done_callback(tasks.discard)


def _sockets(tenants: Iterable[Tenant]) -> dict[str, bool]:
    """The path of each socket, and whether it is one for gh."""
    every = list(tenants)
    paths = {tenant.socket: False for tenant in every}
    for tenant in every:
        if tenant.gh_socket and paths.setdefault(tenant.gh_socket, True) is False:
            raise ConfigError(
                f"{tenant.gh_socket} is both git's socket and gh's",
                hint="give gh a socket of its own by --gh-socket",
            )
    return paths


def _at(tenants: Iterable[Tenant], path: str) -> list[Tenant]:
    return [tenant for tenant in tenants if path in (tenant.socket, tenant.gh_socket)]


def _are_others(tenants: Iterable[Tenant]) -> bool:
    return any(tenant.callers.are_others for tenant in tenants)
