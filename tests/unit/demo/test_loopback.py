"""Request bodies and the life of a loopback server."""

import http.client
import io
import socket
import threading
from email.message import Message

import pytest

from git_credential_relay.demo.loopback import (
    LoopbackHandler,
    LoopbackServer,
    MalformedBodyError,
    spooled_body,
)


def headers(**values: str) -> Message:
    """Return request headers; underscores stand for hyphens."""
    message = Message()
    for name, value in values.items():
        message[name.replace("_", "-")] = value
    return message


CHUNKED = headers(Transfer_Encoding="chunked")


@pytest.mark.parametrize(
    ("message", "stream", "expected"),
    [
        (headers(), b"rest", b""),
        (headers(Content_Length="3"), b"abcrest", b"abc"),
        (CHUNKED, b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\nrest", b"abc0123456789"),
        (CHUNKED, b"0\r\nTrailer: x\r\n\r\nrest", b""),
    ],
    ids=["none", "length", "chunks with extension", "trailer"],
)
def test_body_is_read_to_its_end_and_not_further(message, stream, expected):
    """Exactly the body is taken from the stream; what follows stays there."""
    source = io.BytesIO(stream)
    with spooled_body(message, source) as body:
        content = body.read()

    assert (content, source.read()) == (expected, b"rest")


@pytest.mark.parametrize(
    ("message", "stream"),
    [
        (headers(Content_Length="5"), b"abc"),
        (headers(Content_Length="-1"), b"abc"),
        (headers(Content_Length="1_0"), b"0123456789"),
        (headers(Content_Length="many"), b"abc"),
        (CHUNKED, b"g\r\nabc\r\n0\r\n\r\n"),
        (CHUNKED, b"\r\nabc\r\n0\r\n\r\n"),
        (CHUNKED, b"2\r\nabc\r\n0\r\n\r\n"),
        (CHUNKED, b"3\r\nabc\r\n"),
        (CHUNKED, b"0" * 2000),
    ],
)
def test_broken_body_is_refused(message, stream):
    """Broken framing and bodies that end early raise the one documented error."""
    with pytest.raises(MalformedBodyError), spooled_body(message, io.BytesIO(stream)):
        pass


class _Hello(LoopbackHandler):
    def do_GET(self) -> None:
        """Answer with nothing and keep the connection."""
        self.send_response(204)
        self.end_headers()


def test_stop_breaks_open_connections_and_leaves_no_thread():
    """A stopped server has no thread, refuses connections and has closed the open one."""
    before = set(threading.enumerate())
    server = LoopbackServer(_Hello)
    server.start()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request("GET", "/")
    status = connection.getresponse().status
    server.stop()
    assert connection.sock is not None
    rest = connection.sock.recv(1)
    connection.close()

    assert (status, rest) == (204, b"")
    assert set(threading.enumerate()) == before
    with pytest.raises(ConnectionRefusedError):
        connection.request("GET", "/")


def test_stop_ends_what_a_thread_waits_for():
    """What `before_close` releases lets the threads end."""
    entered, released = threading.Event(), threading.Event()

    class Waiting(LoopbackHandler):
        def do_GET(self) -> None:
            """Wait for the test."""
            entered.set()
            released.wait(10)

    server = LoopbackServer(Waiting)
    server.start()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request("GET", "/")
    assert entered.wait(5)
    server.stop(before_close=released.set)
    connection.close()

    assert released.is_set()


class _Echo(LoopbackHandler):
    """Says in its answer whether the connection waits to fill its packets."""

    def do_GET(self) -> None:
        """Answer in two writes, as the forges' APIs do."""
        is_prompt = self.connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        self.send_response(200)
        self.send_header("Content-Length", "1")
        self.end_headers()
        self.wfile.write(b"1" if is_prompt else b"0")


def test_answer_does_not_wait_for_an_acknowledgement():
    """A body leaves right after its headers: no call costs the 40 ms of a delayed one."""
    server = LoopbackServer(_Echo)
    server.start()
    try:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.request("GET", "/")
        body = connection.getresponse().read()
        connection.close()
    finally:
        server.stop()

    assert body == b"1"
