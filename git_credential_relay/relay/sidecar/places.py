"""The sockets that are served: git's, and gh's if there is one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Protocol

from git_credential_relay.relay.sidecar.connection import Connection, Connections
from git_credential_relay.relay.sidecar.exchange import Exchange
from git_credential_relay.relay.sidecar.listener import BACKLOG, Listener
from git_credential_relay.relay.sidecar.peer import Peer, peer_of
from git_credential_relay.relay.sidecar.workspace import ServedWorkspace
from git_credential_relay.trace import Trace


class Place(Protocol):
    """A socket that is being served."""

    listener: Listener

    def stop(self) -> None:
        """Take no new clients."""

    async def drain(self, seconds: float) -> None:
        """Let those who are being answered have their answer, for so long; then cut them off."""


class GitPlace:
    """A socket for git's own cache client."""

    def __init__(self, listener: Listener, exchange: Exchange, trace: Trace) -> None:
        self.listener = listener
        self._exchange = exchange
        self._connections = Connections(trace)

    async def serve(self) -> None:
        """Begin to accept."""
        self._server = await asyncio.get_running_loop().create_unix_server(
            lambda: Connection(self._connections, self._exchange.answer),
            sock=self.listener.socket,
            backlog=BACKLOG,
        )

    def stop(self) -> None:
        """Take no new clients."""
        self._server.close()

    async def drain(self, seconds: float) -> None:
        """Let those who are being answered have their answer, for so long; then cut them off."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._connections.none_left.wait(), seconds)
        for connection in list(self._connections.open):
            connection.close()


class GhPlace:
    """A socket for gh's `http_unix_socket`."""

    def __init__(self, listener: Listener, find: Callable[[Peer], ServedWorkspace | None]) -> None:
        # Its HTTP libraries take some time to load, which nobody without a gh socket should wait.
        from git_credential_relay.relay.sidecar.api_proxy.serve import ApiProxy

        self.listener = listener
        self._proxy = ApiProxy(lambda connection: find(peer_of(connection)))

    async def serve(self) -> None:
        """Begin to accept."""
        await self._proxy.serve(self.listener.socket)

    def stop(self) -> None:
        """Take no new clients: the proxy does so when it is drained."""

    async def drain(self, seconds: float) -> None:
        """Let those who are being answered have their answer, for so long; then cut them off."""
        await self._proxy.close(seconds)
