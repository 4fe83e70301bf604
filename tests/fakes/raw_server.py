"""Servers on loopback that answer bytes, misbehave below HTTP, or speak TLS."""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator

Serve = Callable[[socket.socket], None]


class RawServer:
    """Hands each connection to `serve`; `requests` are the request heads it has read."""

    def __init__(self, serve: Serve, context: ssl.SSLContext | None = None) -> None:
        self._serve = serve
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self.port = int(self._listener.getsockname()[1])
        self.connections = 0
        self.ending = threading.Event()

    def start(self) -> None:
        """Begin to accept."""
        self._threads[0].start()

    def stop(self) -> None:
        """Close everything and wait for the threads."""
        self.ending.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._connections.append(connection)
            thread = threading.Thread(target=self._handle, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _handle(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(connection)
            if self._context is not None:
                connection = stack.enter_context(
                    self._context.wrap_socket(connection, server_side=True)
                )
            self._serve(connection)


@contextlib.contextmanager
def raw_server(serve: Serve, context: ssl.SSLContext | None = None) -> Iterator[RawServer]:
    """A running RawServer."""
    server = RawServer(serve, context)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def read_head(connection: socket.socket) -> bytes:
    """The bytes of a request up to and with its empty line."""
    head = b""
    while b"\r\n\r\n" not in head:
        chunk = connection.recv(65536)
        if not chunk:
            break
        head += chunk
    return head


def answering(*parts: bytes, heads: list[bytes] | None = None) -> Serve:
    """Read a request head, send `parts` and close; the heads are kept in `heads`."""

    def serve(connection: socket.socket) -> None:
        head = read_head(connection)
        if heads is not None:
            heads.append(head)
        for part in parts:
            connection.sendall(part)

    return serve


def resetting(after: bytes = b"") -> Serve:
    """Read a request head, send `after` and break the connection with a TCP reset."""

    def serve(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(after)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return serve


def http_answer(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """The bytes of a whole HTTP answer, which ends the connection."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def closed_port() -> int:
    """A port on loopback at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
