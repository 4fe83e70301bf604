"""The sockets that are served: git's, and gh's if there is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from git_credential_relay.relay.sidecar.accept import Acceptor
from git_credential_relay.relay.sidecar.connection import Connections
from git_credential_relay.relay.sidecar.exchange import Exchange
from git_credential_relay.relay.sidecar.listener import Listener
from git_credential_relay.relay.sidecar.peer import Peer, peer_of
from git_credential_relay.relay.sidecar.room import Room
from git_credential_relay.relay.sidecar.workspace import ServedWorkspace
from git_credential_relay.trace import Trace


class Place(Protocol):
    """A socket that is being served."""

    listener: Listener
    is_for_gh: bool

    async def serve(self) -> None:
        """Begin to accept."""

    async def drain(self, seconds: float) -> None:
        """Take no new clients; let those who wait for an answer have it, for so long."""


class GitPlace:
    """A socket for git's own cache client."""

    is_for_gh = False

    def __init__(self, listener: Listener, exchange: Exchange, room: Room, trace: Trace) -> None:
        self.listener = listener
        self._exchange = exchange
        self._connections = Connections(room, trace)
        self._acceptor: Acceptor | None = None

    async def serve(self) -> None:
        """Begin to accept."""
        listening = self.listener.socket
        self._acceptor = Acceptor(listening, self._connections, self._exchange.answer)
        self._acceptor.start()

    async def drain(self, seconds: float) -> None:
        """Take no new clients; let those who wait for an answer have it, for so long."""
        if self._acceptor is not None:
            self._acceptor.stop()
            await self._acceptor.settle()
        await self._connections.end(seconds)


class GhPlace:
    """A socket for gh's `http_unix_socket`."""

    is_for_gh = True

    def __init__(
        self, listener: Listener, find: Callable[[Peer], ServedWorkspace | None], trace: Trace
    ) -> None:
        # Its HTTP libraries take some time to load, which nobody without a gh socket should wait.
        from git_credential_relay.relay.sidecar.api_proxy.server import ApiProxy

        self.listener = listener
        self._proxy = ApiProxy(lambda connection: find(peer_of(connection)), trace=trace)

    async def serve(self) -> None:
        """Begin to accept."""
        await self._proxy.serve(self.listener.socket)

    async def drain(self, seconds: float) -> None:
        """Take no new clients; let those who wait for an answer have it, for so long."""
        await self._proxy.close(seconds)
