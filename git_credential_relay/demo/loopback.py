"""HTTP servers on 127.0.0.1 that start at once and leave nothing behind when stopped."""

import contextlib
import socket
import socketserver
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from typing import IO, Any

_BLOCK_BYTES = 65536
_CHUNK_LINE_BYTES = 1024
_LINGER_BYTES = 16 * 1024 * 1024
_LINGER_SECONDS = 1.0

HandlerFactory = Callable[[Any, Any, socketserver.BaseServer], BaseHTTPRequestHandler]


class MalformedBodyError(Exception):
    """A request body whose framing is broken or which ended early."""


class LoopbackServer(ThreadingHTTPServer):
    """A threaded HTTP server on loopback; `stop` ends its threads and open connections."""

    request_queue_size = 128
    # Joined by `server_close`, so that a stopped server has no thread left.
    daemon_threads = False

    def __init__(self, handler: HandlerFactory, port: int = 0) -> None:
        self._connections: set[socket.socket] = set()
        self._connections_lock = threading.Lock()
        self._is_stopping = False
        super().__init__(("127.0.0.1", port), handler)
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    @property
    def port(self) -> int:
        """The port that was bound."""
        return int(self.server_address[1])

    def start(self) -> None:
        """Begin to answer, in a thread of its own."""
        self._thread.start()

    def stop(self, before_close: Callable[[], None] | None = None) -> None:
        """Refuse new connections, break open ones and wait for their threads.

        `before_close` ends whatever those threads may be waiting for.
        """
        self._is_stopping = True
        self.shutdown()
        if before_close is not None:
            before_close()
        with self._connections_lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self.server_close()
        self._thread.join()

    def server_bind(self) -> None:
        """Bind without the reverse DNS look-up of the standard class, which can take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.port

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection until it is shut down."""
        with self._connections_lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection."""
        with self._connections_lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay quiet about clients that hang up; show anything else."""
        if self._is_stopping or isinstance(sys.exc_info()[1], OSError):
            return
        super().handle_error(request, client_address)


class LoopbackHandler(BaseHTTPRequestHandler):
    """What both playground servers share: keep-alive, no log lines, a safe early refusal."""

    protocol_version = "HTTP/1.1"
    sys_version = ""
    timeout = 60
    # Headers and body leave in two writes, and the second would wait for the client's delayed
    # acknowledgement of the first: 40 ms for each call of an API.
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing: the servers record their requests themselves."""

    def has_body(self) -> bool:
        """Tell whether the client announced a request body."""
        return "Transfer-Encoding" in self.headers or self.headers.get("Content-Length") not in (
            None,
            "0",
        )

    def linger(self) -> None:
        """Let a client that is still sending read our answer before the connection closes.

        Closing with unread input resets the connection, and the answer could be lost with it.
        """
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(_LINGER_SECONDS)
            remaining = _LINGER_BYTES
            while remaining > 0 and (block := self.rfile.read1(_BLOCK_BYTES)):
                remaining -= len(block)


@contextlib.contextmanager
def spooled_body(headers: Message, stream: BufferedIOBase) -> Iterator[IO[bytes]]:
    """Copy a request body, plain or chunked, to an unnamed file positioned at its start.

    A file instead of a pipe: a child that reads it can neither deadlock with our reading of
    its output nor be left waiting by a client that stalls.

    Raises:
        MalformedBodyError: The framing is broken or the body ended early.
    """
    with tempfile.TemporaryFile() as body:
        if headers.get("Transfer-Encoding", "").strip().lower() == "chunked":
            _copy_chunks(stream, body)
        else:
            _copy_exactly(stream, body, _parse_length(headers.get("Content-Length", "0"), 10))
        body.seek(0)
        yield body


def _copy_chunks(stream: BufferedIOBase, body: IO[bytes]) -> None:
    while size := _parse_length(_read_line(stream).split(b";")[0].decode("latin-1"), 16):
        _copy_exactly(stream, body, size)
        if _read_line(stream):
            raise MalformedBodyError("a chunk is longer than announced")
    while _read_line(stream):
        pass


def _read_line(stream: BufferedIOBase) -> bytes:
    line = stream.readline(_CHUNK_LINE_BYTES)
    if not line.endswith(b"\n"):
        raise MalformedBodyError("the body ended in the middle of a line")
    return line.rstrip(b"\r\n")


def _parse_length(text: str, base: int) -> int:
    digits = text.strip()
    if not digits.isalnum():
        raise MalformedBodyError("a length is not a number")
    try:
        return int(digits, base)
    except ValueError as exc:
        raise MalformedBodyError("a length is not a number") from exc


def _copy_exactly(stream: BufferedIOBase, body: IO[bytes], size: int) -> None:
    remaining = size
    while remaining > 0:
        block = stream.read(min(remaining, _BLOCK_BYTES))
        if not block:
            raise MalformedBodyError("the body ended early")
        body.write(block)
        remaining -= len(block)
