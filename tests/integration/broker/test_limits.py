"""Connections on real sockets: nobody holds one for nothing, and everybody is told in JSON."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import threading
import time

import pytest
import uvicorn

from git_credential_relay.broker.server.app import build_app
from git_credential_relay.broker.server.connection import MAX_HEADER_BYTES, connection_class
from tests.fakes.broker import reply_of
from tests.fakes.vending import FakeVending

HEADER_SECONDS = 0.3
MAX_CONNECTIONS = 5
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@contextlib.contextmanager
def serving(config=""):
    """The application behind connections of ours; gives the port."""
    vending = FakeVending(config)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(
            build_app(vending),
            http=connection_class(MAX_CONNECTIONS, HEADER_SECONDS),
            ws="none",
            lifespan="off",
            log_config=None,
            h11_max_incomplete_event_size=MAX_HEADER_BYTES,
            timeout_graceful_shutdown=1,
        )
    )
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def port():
    """One server for the tests that leave nothing behind."""
    with serving() as port:
        yield port


@contextlib.contextmanager
def connected(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        yield connection


def read_all(connection) -> bytes:
    """What comes until the server closes the connection."""
    chunks = []
    with contextlib.suppress(ConnectionResetError):
        while chunk := connection.recv(65536):
            chunks.append(chunk)
    return b"".join(chunks)


@pytest.mark.parametrize(
    "beginning",
    [b"", b"GET /healthz HTTP/1.1\r\nHost:", HEALTH + b"GET /hea"],
    ids=["says nothing", "stops in the headers", "stops in the next request"],
)
def test_who_does_not_finish_the_headers_is_cut_off(port, beginning):
    """A connection without a whole request is closed after the time for headers."""
    with connected(port) as connection:
        started = time.monotonic()
        if beginning:
            connection.sendall(beginning)
        read_all(connection)

    assert HEADER_SECONDS * 0.5 < time.monotonic() - started < HEADER_SECONDS + 3


def test_who_sends_a_byte_now_and_then_is_cut_off(port):
    """Each byte does not begin the time anew."""
    with connected(port) as connection:
        connection.settimeout(0.05)
        for byte in b"GET /healthz HTTP/1.1\r\nX: " + b"y" * 60:
            try:
                connection.sendall(bytes([byte]))
                assert connection.recv(1) == b""
                return
            except TimeoutError:
                continue
            except ConnectionError:
                return
        raise AssertionError("it may go on for ever")


def test_an_idle_connection_may_be_used_again(port):
    """The time for headers begins with a request, not while a client thinks."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        for _ in range(2):
            connection.request("GET", "/healthz")
            assert reply_of(connection).status == 200
            time.sleep(HEADER_SECONDS * 1.5)


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"y" * (MAX_HEADER_BYTES + 70_000),
        b"GET /healthz HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET /healthz\r\n\r\n",
        b"POST /api/git/token HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
        b"Content-Length: 2\r\n\r\nab",
    ],
    ids=["TLS", "too large headers", "a space", "no version", "two lengths"],
)
def test_what_is_no_request_is_told_so_in_json(port, raw):
    """400 with the broker's own error body, and the connection is closed."""
    with connected(port) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(raw)
        head, _, body = read_all(connection).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["code"] == "INVALID_REQUEST"


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_large_body_is_refused_before_it_is_sent(port, is_chunked):
    """413 comes while the client still sends, and then the connection is closed."""
    with connected(port) as connection:
        length = b"Transfer-Encoding: chunked" if is_chunked else b"Content-Length: 1000000000"
        connection.sendall(b"POST /api/git/token HTTP/1.1\r\nHost: x\r\n" + length + b"\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(20):
                connection.sendall(b"2000\r\n" + b"x" * 0x2000 + b"\r\n" if is_chunked else b"x")
        head, _, body = read_all(connection).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 413 ")
    assert json.loads(body)["code"] == "BODY_TOO_LARGE"


def test_no_more_connections_than_can_be_served():
    """One connection too many is closed at once, and its place is free when another ends."""
    with serving() as port, contextlib.ExitStack() as stack:
        held = [stack.enter_context(connected(port)) for _ in range(MAX_CONNECTIONS)]
        for connection in held:
            connection.sendall(HEALTH)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        with connected(port) as one_more:
            with contextlib.suppress(ConnectionError):
                one_more.sendall(HEALTH)
            assert read_all(one_more) == b""
        held[0].close()
        give_up_at = time.monotonic() + 5
        while time.monotonic() < give_up_at:
            with connected(port) as another:
                another.sendall(HEALTH)
                with contextlib.suppress(ConnectionError):
                    if another.recv(65536).startswith(b"HTTP/1.1 200 "):
                        return
        raise AssertionError("the place stays taken")
