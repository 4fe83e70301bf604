"""Forges and where they redirect to, for the proxy of gh's socket mode: one server, many names."""

from __future__ import annotations

import contextlib
import functools
import json
import ssl
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import trustme

from tests.fakes.proxy import running_proxy

STORAGE = "objects.example.test"
NAMES = ("api.github.com", "uploads.github.com", "ghe.example.test", STORAGE, "evil.example.test")
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Seen:
    """One request as it arrived; header names in lower case."""

    method: str
    host: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def token(self) -> str | None:
        """Whatever the Authorization header held."""
        return self.headers.get("authorization")


@dataclass(frozen=True)
class Reply:
    """What to answer: pieces are sent in chunks, unless there is a Content-Length."""

    status: int = 200
    body: bytes | Iterable[bytes] = b""
    headers: dict[str, str] = field(default_factory=dict)


def says(document: object, status: int = 200, **headers: str) -> Reply:
    """A JSON answer."""
    return Reply(status, json.dumps(document).encode(), {**JSON, **headers})


class FakeUpstream:
    """What it saw, and where it is: `host` is its address, `proxy_url` leads any name to it.

    `received` counts the bytes of bodies that had a length.
    """

    def __init__(self, script: Callable[[Seen], Reply], host: str) -> None:
        self.script = script
        self.host = host
        self.proxy_url = ""
        self.ca_file = ""
        self.requests: list[Seen] = []
        self.received = 0

    @property
    def tokens(self) -> list[str | None]:
        """What each request had for a token."""
        return [request.token for request in self.requests]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    upstream: FakeUpstream

    def log_message(self, format: str, *arguments: object) -> None:
        """Keep quiet."""

    def do_GET(self) -> None:
        """Any request at all."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = b"".join(self._body())
        host = headers.get("host", "")
        seen = Seen(self.command, host, self.path, headers, body)
        self.upstream.requests.append(seen)
        reply = self.upstream.script(seen)
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        is_bare = self.command == "HEAD" or reply.status in (204, 304)
        if isinstance(reply.body, bytes):
            if "Content-Length" not in reply.headers and reply.status != 204:
                self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            if not is_bare:
                self.wfile.write(reply.body)
            return
        is_chunked = "Content-Length" not in reply.headers
        if is_chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in reply.body:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
        if is_chunked:
            self.wfile.write(b"0\r\n\r\n")

    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_GET

    def _body(self) -> Iterator[bytes]:
        """The body's pieces; of a long one only its length counts."""
        if self.headers.get("Transfer-Encoding"):
            while size := int(self._line(), 16):
                yield self.rfile.read(size)
                self._line()
            self._line()
            return
        left = int(self.headers.get("Content-Length") or 0)
        is_long = left > 1024 * 1024
        while left:
            piece = self.rfile.read(min(left, 65536))
            left -= len(piece)
            self.upstream.received += len(piece)
            if not piece:
                raise ConnectionError("the body is cut")
            if not is_long:
                yield piece

    def _line(self) -> bytes:
        line = self.rfile.readline()
        if not line:
            raise ConnectionError("the body is cut")
        return line


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is what some tests are about."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


@functools.cache
def _authority() -> tuple[trustme.CA, ssl.SSLContext]:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*NAMES, "127.0.0.1").configure_cert(context)
    return authority, context


@contextlib.contextmanager
def running_upstream(
    script: Callable[[Seen], Reply], tls_directory: Path | None = None, address: str = "127.0.0.1"
) -> Iterator[FakeUpstream]:
    """An upstream in plain http; with a directory in TLS, its authority's file in there."""
    server = _Server((address, 0), _Handler)
    upstream = FakeUpstream(script, f"{address}:{server.server_port}")
    server.RequestHandlerClass = type("Handler", (_Handler,), {"upstream": upstream})
    if tls_directory is not None:
        authority, context = _authority()
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        upstream.ca_file = str(tls_directory / "upstream-ca.pem")
        authority.cert_pem.write_to_path(upstream.ca_file)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        with running_proxy(server.server_port) as proxy:
            upstream.proxy_url = proxy.url
            yield upstream
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
