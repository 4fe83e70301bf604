"""Bodies of any size and shape, both ways."""

import gzip
import re
import socket
from pathlib import Path

import pytest

from tests.fakes.api_proxy import read_all, receive_until
from tests.fakes.raw_server import answering, http_answer, raw_server
from tests.fakes.upstream import Reply

PIECE = b"x" * 65536
PIECES = 1600  # 100 MB
MOST_GROWTH = 24 * 1024 * 1024


def peak_memory():
    """The most memory this process had since the last reset."""
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+)", status)
    return int(found[1]) * 1024 if found else 0


def reset_peak():
    """Forget the peak."""
    Path("/proc/self/clear_refs").write_text("5")


def head(host, *headers, method="POST", path="/api/v3/x"):
    """The bytes of a head."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *headers, "", ""]
    return "\r\n".join(lines).encode()


def test_a_long_download_passes_in_constant_memory(scene, proxy):
    """100 MB never are in memory at once."""
    length = len(PIECE) * PIECES
    pieces = (PIECE for _ in range(PIECES))
    scene.upstream.script = lambda seen: Reply(200, pieces, {"Content-Length": str(length)})
    reset_peak()
    before = peak_memory()
    with proxy.connect() as connection:
        connection.sendall(head(scene.host, "Connection: close", method="GET"))
        received = len(receive_until(connection, b"\r\n\r\n").partition(b"\r\n\r\n")[2])
        while chunk := connection.recv(65536):
            received += len(chunk)

    assert received == length
    assert peak_memory() - before < MOST_GROWTH


def test_a_long_upload_passes_in_constant_memory(scene, proxy):
    """100 MB never are in memory at once; the forge gets them all."""
    reset_peak()
    before = peak_memory()
    with proxy.connect() as connection:
        length = len(PIECE) * PIECES
        connection.sendall(head(scene.host, f"Content-Length: {length}", "Connection: close"))
        for _ in range(PIECES):
            connection.sendall(PIECE)
        assert read_all(connection).startswith(b"HTTP/1.1 200 ")

    assert scene.upstream.requests[0].headers["content-length"] == str(length)
    assert scene.upstream.received == length
    assert peak_memory() - before < MOST_GROWTH


def test_chunks_both_ways(scene, proxy):
    """A body of unknown length stays one, and is whole."""
    scene.upstream.script = lambda seen: Reply(200, [b"one", b"two"])
    request = head(scene.host, "Transfer-Encoding: chunked", "Connection: close")
    answer = proxy.ask(request + b"3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: 1\r\n\r\n")

    assert scene.upstream.requests[0].body == b"abcde"
    assert "trailer" not in scene.upstream.requests[0].headers
    assert answer.endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")


def test_a_client_that_waits_to_be_told_to_go_on(scene, proxy):
    """It hears 100 when there is a token, and only then sends its body."""
    with proxy.connect() as connection:
        connection.sendall(head(scene.host, "Content-Length: 4", "Expect: 100-continue"))
        assert receive_until(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"body")
        assert receive_until(connection, b"}").startswith(b"HTTP/1.1 200 ")

    assert scene.upstream.requests[0].body == b"body"
    assert "expect" not in scene.upstream.requests[0].headers


def test_an_answer_without_a_body(scene, proxy):
    """HEAD, 204 and 304 end with their head; the connection goes on."""
    with proxy.connect() as connection:
        for method, status in (("HEAD", 200), ("GET", 204), ("GET", 304)):
            scene.upstream.script = lambda seen, status=status: Reply(status, b"12345")
            connection.sendall(head(scene.host, method=method))
            answer = receive_until(connection, b"\r\n\r\n")
            assert answer.startswith(f"HTTP/1.1 {status} ".encode())
            assert answer.endswith(b"\r\n\r\n")
            assert (b"Content-Length: 5" in answer) == (status != 204)


def test_an_encoded_answer_stays_encoded(scene, proxy):
    """What the client accepts is asked for, and comes through as it is."""
    packed = gzip.compress(b"hello")
    scene.upstream.script = lambda seen: Reply(200, packed, {"Content-Encoding": "gzip"})
    answer = proxy.get(scene.host, "/api/v3/x", "Accept-Encoding: gzip")

    assert scene.upstream.requests[0].headers["accept-encoding"] == "gzip"
    assert b"Content-Encoding: gzip" in answer
    assert answer.endswith(b"\r\n\r\n" + packed)


def test_nothing_is_added_but_the_token(scene, proxy):
    """The forge sees the client's own headers."""
    proxy.get(scene.host, "/api/v3/x", "User-Agent: GitHub CLI 2", "X-GitHub-Api-Version: 1")

    assert scene.upstream.requests[0].headers == {
        "host": scene.host,
        "user-agent": "GitHub CLI 2",
        "x-github-api-version": "1",
        "authorization": "token token-1",
    }


def test_every_header_of_an_answer_arrives(scene, proxy):
    """Several of one name, and the reason; not those of the hop."""
    lines = ("Link: <a>", "Link: <b>", "ETag: W/x", "Keep-Alive: 5", "X-OAuth-Scopes: repo")
    with raw_server(answering(http_answer(b"{}", "203 Something Else", *lines))) as server:
        host = f"127.0.0.1:{server.port}"
        answer = scene.start(forge=f"github=http://{host}").get(host, "/api/v3/x")

    assert answer.startswith(b"HTTP/1.1 203 Something Else\r\n")
    for line in (*lines[:3], lines[4]):
        assert line.encode() in answer
    assert b"Keep-Alive" not in answer


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345"], id="length"),
        pytest.param(
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n"], id="chunks"
        ),
    ],
)
def test_an_answer_that_breaks_off_does_so_here_too(scene, parts):
    """Half an answer is not made to look whole."""
    with raw_server(answering(*parts)) as server:
        host = f"127.0.0.1:{server.port}"
        answer = scene.start(forge=f"github=http://{host}").get(host, "/api/v3/x")

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"12345" in answer
    assert not answer.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize(
    "answer",
    [b"", b"hello\r\n\r\n", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"],
    ids=["silence", "no-http", "upgrade"],
)
def test_an_answer_that_is_none(scene, answer):
    """It is told as the forge's trouble."""
    with raw_server(answering(answer)) as server:
        host = f"127.0.0.1:{server.port}"
        told = scene.start(forge=f"github=http://{host}").get(host, "/api/v3/x")

    assert told.startswith(b"HTTP/1.1 502 ")


def test_an_early_no_to_a_long_upload_is_heard(scene):
    """The forge's answer arrives, though it did not want the body."""

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(http_answer(b"too large", "413 Content Too Large"))
        connection.shutdown(socket.SHUT_WR)
        read_all(connection)

    with raw_server(serve) as server:
        host = f"127.0.0.1:{server.port}"
        proxy = scene.start(forge=f"github=http://{host}")
        body = PIECE * 64
        answer = proxy.ask(head(host, f"Content-Length: {len(body)}", "Connection: close") + body)

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.endswith(b"too large")


def test_two_requests_in_one_go(scene, proxy):
    """What came with the first one's bytes is the second one."""
    one = head(scene.host, "Content-Length: 3") + b"abc"
    two = head(scene.host, "Connection: close", method="GET", path="/api/v3/y")
    answer = proxy.ask(one + two)

    assert answer.count(b"HTTP/1.1 200 ") == 2
    assert [seen.target for seen in scene.upstream.requests] == ["/api/v3/x", "/api/v3/y"]


@pytest.mark.parametrize(
    "body",
    [
        b"5\nabcde\n0\n\n",
        b"x\r\n",
        b"3\r\nabcde\r\n0\r\n\r\n",
        b"-1\r\n\r\n",
        b"ffffffffffffffffffffff\r\n",
    ],
)
def test_malformed_chunks_go_nowhere(scene, proxy, body):
    """The client hears 400, and the forge sees no whole request."""
    request = head(scene.host, "Transfer-Encoding: chunked")

    with proxy.connect() as connection:
        connection.sendall(request + body)
        connection.shutdown(socket.SHUT_WR)
        answer = read_all(connection)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")
    assert scene.upstream.requests == []
