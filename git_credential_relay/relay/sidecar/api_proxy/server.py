"""The server for gh's `http_unix_socket`.

gh sends plain HTTP/1.1 with a placeholder for a token and no word of the scheme; what goes out
is https, with a token that is fetched for that request, to the APIs of the configured forges.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Callable
from weakref import WeakKeyDictionary

from git_credential_relay.errors import EXIT_AUTH, RelayError, SidecarError, unforeseen
from git_credential_relay.relay.deadline import Clock
from git_credential_relay.relay.sidecar.api_proxy.addresses import Resolve, resolve
from git_credential_relay.relay.sidecar.api_proxy.bounds import Bounds
from git_credential_relay.relay.sidecar.api_proxy.client import Client, ClientGoneError
from git_credential_relay.relay.sidecar.api_proxy.dialogue import Dialogue, send_error
from git_credential_relay.relay.sidecar.api_proxy.exchange import Exchange
from git_credential_relay.relay.sidecar.api_proxy.memory import Memory
from git_credential_relay.relay.sidecar.api_proxy.refusal import BusyError
from git_credential_relay.relay.sidecar.api_proxy.upstream import Upstreams
from git_credential_relay.relay.sidecar.api_proxy.workspace import Workspace
from git_credential_relay.relay.sidecar.listener import BACKLOG
from git_credential_relay.relay.sidecar.peer import peer_of
from git_credential_relay.trace import Trace

# When the files are used up, until the next try.
PAUSE_SECONDS = 0.2

FindWorkspace = Callable[[socket.socket], Workspace | None]


class ApiProxy:
    """Answers gh. `find_workspace` tells whose a connection is, None when it may not ask."""

    def __init__(
        self,
        find_workspace: FindWorkspace,
        *,
        trace: Trace | None = None,
        bounds: Bounds | None = None,
        clock: Clock | None = None,
        resolve: Resolve = resolve,
    ) -> None:
        self._find_workspace = find_workspace
        self._trace = trace or Trace()
        self._bounds = bounds or Bounds()
        self._now = (clock or Clock()).monotonic
        self._upstreams = Upstreams(self._bounds, resolve)
        self._memories: WeakKeyDictionary[Workspace, Memory] = WeakKeyDictionary()
        self._clients: dict[asyncio.Task[None], Client] = {}
        self._by_uid: Counter[int] = Counter()
        self._listening: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._is_ending = False

    async def serve(self, listening: socket.socket) -> None:
        """Begin to serve at `listening`, a unix socket, which stays its owner's to close."""
        listening.setblocking(False)
        listening.listen(BACKLOG)
        self._listening = listening
        self._accepting = asyncio.create_task(self._accept(listening))

    async def close(self, seconds: float) -> None:
        """Take no more connections, let running exchanges end within `seconds`, cut the rest.

        Who has connected and asked by now is answered too.
        """
        self._is_ending = True
        if self._accepting is not None and self._listening is not None:
            self._accepting.cancel()
            await asyncio.wait([self._accepting])
            await self._take_waiting(self._listening)
        for task, client in self._clients.items():
            if client.is_idle:
                task.cancel()
        if self._clients:
            _, late = await asyncio.wait(list(self._clients), timeout=seconds)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        await self._upstreams.close()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listening)
            except OSError as error:
                self._trace("not accepted", reason=error.strerror)
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            self._take(connection)

    async def _take_waiting(self, listening: socket.socket) -> None:
        for _ in range(BACKLOG):
            try:
                connection, _address = listening.accept()
            except OSError:
                break  # there is none any more
            self._take(connection)
        await asyncio.sleep(0)  # in which each of them reads what it has been sent

    def _take(self, connection: socket.socket) -> None:
        try:
            uid = peer_of(connection).uid
        except OSError:
            connection.close()  # gone already
            return
        client = Client(connection, uid, self._bounds)
        is_busy = self._by_uid[uid] >= self._bounds.per_uid
        if len(self._clients) >= self._bounds.in_all:
            # Not even a word: that would take a task, which is what there are too many of.
            self._trace("too many connections", uid=uid)
            client.close()
            return
        self._by_uid[uid] += 1
        task = asyncio.create_task(self._refuse(client) if is_busy else self._serve(client))
        self._clients[task] = client
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        client = self._clients.pop(task)
        client.close()
        self._by_uid[client.uid] -= 1
        if not self._by_uid[client.uid]:
            del self._by_uid[client.uid]

    async def _refuse(self, client: Client) -> None:
        self._trace("too many connections", uid=client.uid)
        try:
            await send_error(client, BusyError("there are too many connections to the sidecar"))
            await client.linger()
        except ClientGoneError:
            pass

    async def _serve(self, client: Client) -> None:
        """All requests of one connection, one after the other."""
        try:
            goes_on = await self._serve_one(client, is_first=True)
            while goes_on and not self._is_ending:
                goes_on = await self._serve_one(client, is_first=False)
        except ClientGoneError:
            pass
        except RelayError as error:
            # Before there was a request that could be answered.
            await self._tell_last(client, error)
        except Exception as error:  # noqa: BLE001 - one client's trouble is nobody else's
            await self._tell_last(client, unforeseen(error))

    async def _serve_one(self, client: Client, *, is_first: bool) -> bool:
        """Answer the next request; whether another may follow."""
        read = await client.read_head(is_first=is_first)
        if read is None:
            return False
        dialogue = Dialogue(client, self._bounds, *read, lambda: self._is_ending)
        try:
            await self._exchange(client).answer(dialogue)
        except RelayError as error:
            await self._fail(client, dialogue, error)
        except ClientGoneError:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            await self._fail(client, dialogue, unforeseen(error))
        return dialogue.goes_on

    def _exchange(self, client: Client) -> Exchange:
        """Looked up for each request: what a peer may do can change while it is connected."""
        workspace = self._find_workspace(client.connection)
        if workspace is None:
            refusal = SidecarError(
                f"the sidecar does not serve uid {client.uid}",
                code="sidecar-refused",
                hint="have its GIT_CREDENTIAL_RELAY_ALLOW_UIDS name this uid",
                retryable=False,
            )
            refusal.exit_code = EXIT_AUTH
            raise refusal
        memory = self._memories.get(workspace)
        if memory is None:
            memory = self._memories[workspace] = Memory(self._now)
        return Exchange(workspace, memory, self._upstreams, self._trace)

    async def _fail(self, client: Client, dialogue: Dialogue, error: RelayError) -> None:
        self._trace("not answered", code=error.code, reason=error.message, hint=error.hint)
        if dialogue.is_answered:
            return  # half an answer: that it is cut is all that can still be said
        await dialogue.fail(error)
        await client.linger()

    async def _tell_last(self, client: Client, error: RelayError) -> None:
        self._trace("refused", code=error.code, reason=error.message, hint=error.hint)
        try:
            await send_error(client, error)
            await client.linger()
        except ClientGoneError:
            pass
