"""A tiny HTTP proxy: CONNECT tunnels and absolute-form requests, each to one fixed place."""

import contextlib
import selectors
import socket
from collections.abc import Iterator

from tests.fakes.raw_server import RawServer, raw_server, read_head


class Proxy:
    """What was asked of a running proxy: its address and the request heads, in order."""

    def __init__(self, server: RawServer, heads: list[bytes]) -> None:
        self.url = f"http://127.0.0.1:{server.port}"
        self.heads = heads

    @property
    def request_lines(self) -> list[str]:
        """The first line of each request."""
        return [head.split(b"\r\n")[0].decode() for head in self.heads]


@contextlib.contextmanager
def running_proxy(upstream_port: int, refuse: bytes = b"") -> Iterator[Proxy]:
    """A proxy that sends everything to `upstream_port` on loopback, or answers `refuse`.

    So a test may ask for any host name without resolving it.
    """
    heads: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        head = read_head(connection)
        heads.append(head)
        if refuse:
            connection.sendall(refuse)
            return
        with socket.create_connection(("127.0.0.1", upstream_port), 5) as upstream:
            if head.startswith(b"CONNECT "):
                connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                upstream.sendall(head)
            _relay(connection, upstream)

    with raw_server(serve) as server:
        yield Proxy(server, heads)


def _relay(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes both ways until either side ends."""
    peers = {one: other, other: one}
    with selectors.DefaultSelector() as selector:
        for end in peers:
            selector.register(end, selectors.EVENT_READ)
        while True:
            for ready, _ in selector.select(5):
                source = one if ready.fileobj is one else other
                data = source.recv(65536)
                if not data:
                    return
                peers[source].sendall(data)
