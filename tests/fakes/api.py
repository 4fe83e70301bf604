"""A relay API on loopback that answers by script and remembers every request."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

TOKEN_PATH = "/api/git/token"


@dataclass(frozen=True)
class Answer:
    """What the API says to one request, after `delay` seconds."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0


@dataclass(frozen=True)
class Seen:
    """One request as it arrived; `at` is in monotonic seconds."""

    at: float
    method: str
    path: str
    fields: dict[str, str]
    headers: dict[str, str]


def issues(
    token: str,
    *,
    lifetime: float | None = 3600,
    host: str | None = None,
    delay: float = 0.0,
    **more: object,
) -> Answer:
    """An answer with this token."""
    body: dict[str, object] = {"token": token, "username": "x-access-token", **more}
    if lifetime is not None:
        body["expiresAt"] = datetime.fromtimestamp(int(time.time() + lifetime), UTC).isoformat()
    if host is not None:
        body["host"] = host
    return Answer(200, json.dumps(body).encode(), {"Content-Type": "application/json"}, delay)


def refuses(
    status: int,
    body: dict[str, object] | None = None,
    *,
    headers: dict[str, str] | None = None,
    **more: object,
) -> Answer:
    """A "no" with this JSON body."""
    return Answer(
        status,
        json.dumps({**(body or {}), **more}).encode(),
        {"Content-Type": "application/json", **(headers or {})},
    )


class FakeApi:
    """Gives `answers` one after the other, the last one for ever.

    `answers` may be replaced at any time, `requests` is all that came in. While `gate` is not
    set, requests are held back.
    """

    def __init__(self, server: HTTPServer) -> None:
        self.requests: list[Seen] = []
        self.answers: Sequence[Answer | Callable[[Seen], Answer]] = [issues("tok-default")]
        self.gate = threading.Event()
        self.gate.set()
        self._server = server
        self._lock = threading.Lock()
        self._given = 0

    @property
    def url(self) -> str:
        """The address for CLOUD_API_URL."""
        return f"http://127.0.0.1:{self._server.port}"

    def script(self, *answers: Answer | Callable[[Seen], Answer]) -> None:
        """Begin a new script; the requests so far stay known."""
        with self._lock:
            self.answers, self._given = answers, 0

    def waits(self) -> list[float]:
        """Seconds between the requests."""
        return [b.at - a.at for a, b in zip(self.requests, self.requests[1:], strict=False)]

    def respond(self, request: Request) -> Response:
        """Answer one request of the server."""
        fields = dict(request.args)
        if request.is_json:
            fields |= request.get_json()
        seen = Seen(
            time.monotonic(), request.method, request.path, fields, dict(request.headers.items())
        )
        with self._lock:
            self.requests.append(seen)
            answer = self.answers[min(self._given, len(self.answers) - 1)]
            self._given += 1
        self.gate.wait(30)
        if callable(answer):
            answer = answer(seen)
        time.sleep(answer.delay)
        return Response(answer.body, answer.status, answer.headers)


class _QuickServer(HTTPServer):
    def thread_target(self) -> None:
        """Look for the request to stop often, so that stopping takes no half second."""
        assert self.server is not None
        self.server.serve_forever(poll_interval=0.02)


@contextmanager
def serve_api() -> Iterator[FakeApi]:
    """A FakeApi that listens on loopback."""
    with _QuickServer("127.0.0.1", 0, threaded=True) as server:
        api = FakeApi(server)
        server.expect_request(TOKEN_PATH).respond_with_handler(api.respond)
        yield api
        api.gate.set()


def closed_port() -> int:
    """A port on loopback that refuses connections."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def silent_port() -> Iterator[int]:
    """A port whose connections are made by the kernel and never answered by anybody."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield int(listener.getsockname()[1])


@contextmanager
def unroutable_port() -> Iterator[int]:
    """A port where even connecting hangs: its queue is full and nobody takes from it."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        port = int(listener.getsockname()[1])
        with socket.socket() as probe:
            probe.settimeout(0.3)
            try:
                probe.connect(("127.0.0.1", port))
            except TimeoutError:
                yield port
                return
        raise AssertionError("a full queue still takes connections")
