"""The proxy for gh's socket mode in a thread of its own, with a workspace that a test scripts."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from git_credential_relay.config import Config
from git_credential_relay.credential.credential import Credential
from git_credential_relay.credential.forge import Target
from git_credential_relay.errors import RelayError
from git_credential_relay.relay.sidecar.api_proxy.server import ApiProxy
from git_credential_relay.secret import Secret, token_sha256

Give = Callable[[Target, str | None], str]


class ScriptedWorkspace:
    """Hands out what `give` returns or raises; `asked` are target and refused hash, in order."""

    def __init__(self, config: Config, give: Give) -> None:
        self.config = config
        self.give = give
        self.asked: list[tuple[str | None, str | None]] = []

    async def acquire(self, target: Target, refused_sha256: str | None = None) -> Credential:
        """A credential with the token that the script has for it."""
        self.asked.append((target.repository, refused_sha256))
        token = Secret(self.give(target, refused_sha256))
        return Credential(
            "x-access-token", token, token_sha256=token_sha256(token), fetched_at=time.time()
        )


def minting(*tokens: str) -> Give:
    """Each of `tokens` until it is refused."""
    by_hash = {token_sha256(Secret(token)): place for place, token in enumerate(tokens)}

    def give(target: Target, refused: str | None) -> str:
        return tokens[0 if refused is None else (by_hash[refused] + 1) % len(tokens)]

    return give


def failing(error: RelayError) -> Give:
    """Never a token."""

    def give(target: Target, refused: str | None) -> str:
        raise error

    return give


class RunningApiProxy:
    """`path` is the socket; `trace` are the lines that the proxy has traced."""

    def __init__(self, path: str, proxy: ApiProxy, loop: asyncio.AbstractEventLoop) -> None:
        self.path = path
        self.proxy = proxy
        self._loop = loop

    def count_tasks(self) -> int:
        """How many tasks the proxy's loop has."""

        async def count() -> int:
            return len(asyncio.all_tasks()) - 1

        return asyncio.run_coroutine_threadsafe(count(), self._loop).result(10)

    def close(self, seconds: float) -> None:
        """End it as the sidecar does."""
        asyncio.run_coroutine_threadsafe(self.proxy.close(seconds), self._loop).result(30)

    def connect(self) -> socket.socket:
        """A connection, as gh has one."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(self.path)  # waits while the queue is full, as it would not with a limit
        connection.settimeout(20)
        return connection

    def ask(self, request: bytes) -> bytes:
        """All that comes back for these bytes until the end."""
        with self.connect() as connection:
            connection.sendall(request)
            return read_all(connection)

    def get(self, host: str, target: str, *headers: str, method: str = "GET") -> bytes:
        """What gh would get."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close", *headers]
        return self.ask("\r\n".join([*lines, "", ""]).encode())


def read_all(connection: socket.socket) -> bytes:
    """Everything up to the end; a reset is one."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := connection.recv(65536):
            data += chunk
    return data


def receive_until(connection: socket.socket, end: bytes) -> bytes:
    """Everything up to and with `end`, and what came along with it."""
    data = b""
    while end not in data:
        chunk = connection.recv(65536)
        assert chunk, data
        data += chunk
    return data


@contextlib.contextmanager
def running_api_proxy(
    find_workspace: Callable[[socket.socket], Any], **options: Any
) -> Iterator[RunningApiProxy]:
    """A proxy at a socket of its own; its directory's name is short, as such a path must be."""
    directory = tempfile.mkdtemp(prefix="gh-")
    path = str(Path(directory, "gh.sock"))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
            listening.bind(path)

            async def make() -> ApiProxy:
                proxy = ApiProxy(find_workspace, **options)
                await proxy.serve(listening)
                return proxy

            proxy = asyncio.run_coroutine_threadsafe(make(), loop).result(10)
            running = RunningApiProxy(path, proxy, loop)
            try:
                yield running
            finally:
                running.close(0)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
        shutil.rmtree(directory, ignore_errors=True)
