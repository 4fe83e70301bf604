"""A small OIDC issuer on loopback: discovery, keys, and tokens of any content."""

from __future__ import annotations

import contextlib
import functools
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

AUDIENCE = "https://broker.example"
Answer = tuple[int, Mapping[str, str], bytes]


@functools.cache
def private_key(name: str) -> Any:
    """The key of this name; what comes before the dash is its kind. Made once per process."""
    match name.partition("-")[0]:
        case "weak":
            return rsa.generate_private_key(65537, 1024)  # noqa: S505 - to be refused
        case "ec":
            return ec.generate_private_key(ec.SECP256R1())
        case "ed":
            return ed25519.Ed25519PrivateKey.generate()
        case _:
            return rsa.generate_private_key(65537, 2048)


def jwk(name: str, **changes: object) -> dict[str, object]:
    """The public half of a key as an entry of a key set; None as a value leaves a member out."""
    public = private_key(name).public_key()
    match name.partition("-")[0]:
        case "ec":
            entry = jwt.algorithms.ECAlgorithm.to_jwk(public, as_dict=True) | {"alg": "ES256"}
        case "ed":
            entry = jwt.algorithms.OKPAlgorithm.to_jwk(public, as_dict=True) | {"alg": "EdDSA"}
        case _:
            entry = jwt.algorithms.RSAAlgorithm.to_jwk(public, as_dict=True) | {"alg": "RS256"}
    entry.pop("key_ops", None)
    entry |= {"kid": name, "use": "sig"} | changes
    return {member: value for member, value in entry.items() if value is not None}


class FakeIssuer:
    """Answers with `keys`; `answers` replaces the answer at a path, `requests` lists the paths.

    `asked` is set by the first request; while `gate` is not set, answers wait.
    """

    def __init__(self, path: str = "", context: ssl.SSLContext | None = None) -> None:
        self.keys: list[dict[str, object]] = [jwk("rsa-1")]
        self.answers: dict[str, Callable[[], Answer]] = {}
        self.requests: list[str] = []
        self.discovery: dict[str, object] = {}
        self.gate = threading.Event()
        self.gate.set()
        self.asked = threading.Event()
        self._path = path
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self._server.server_port}{path}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more; connections are refused from here on."""
        self.gate.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(5)
            self._server.server_close()

    def token(
        self,
        *,
        key: str = "rsa-1",
        algorithm: str = "RS256",
        headers: Mapping[str, object] | None = None,
        **claims: object,
    ) -> str:
        """A token for a workload, good for five minutes; None leaves one out."""
        now = int(time.time())
        default = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "repo:acme/app:ref:refs/heads/main",
            "iat": now,
            "exp": now + 300,
        }
        payload = {n: v for n, v in (default | claims).items() if v is not None}
        head = {"kid": key} | dict(headers or {})
        return jwt.encode(
            payload,
            private_key(key) if algorithm[:2] != "HS" else "x" * 64,
            algorithm,
            headers={n: v for n, v in head.items() if v is not None} or None,
        )

    def answer(self, path: str) -> Answer:
        """What a request for this path gets."""
        self.requests.append(path)
        self.asked.set()
        self.gate.wait(10)
        path = path.removeprefix(self._path)
        if path in self.answers:
            return self.answers[path]()
        if path == "/.well-known/openid-configuration":
            document = {"issuer": self.url, "jwks_uri": f"{self.url}/jwks"} | self.discovery
            return 200, {}, json.dumps(document).encode()
        if path == "/jwks":
            return 200, {}, json.dumps({"keys": self.keys}).encode()
        return 404, {}, b""


@contextlib.contextmanager
def running_issuer(path: str = "", context: ssl.SSLContext | None = None) -> Iterator[FakeIssuer]:
    """An issuer that answers until the end of the block, by TLS if there is a context."""
    issuer = FakeIssuer(path, context)
    issuer.start()
    try:
        yield issuer
    finally:
        issuer.stop()


def _handler(issuer: FakeIssuer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = issuer.answer(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
