"""A small cloud API on loopback that speaks the relay API and mints at the playground forge."""

import json
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from git_credential_relay.demo.loopback import LoopbackHandler, LoopbackServer
from git_credential_relay.demo.tokens import TokenTable
from tests.fakes.cloud_answers import Grant, Refusal, TokenQuery, Vending

_PATH = "/api/git/token"
_BODY_LIMIT_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Vend:
    """One answer of the cloud API; `code` is None when a token was handed out.

    Tokens appear only as their base64 SHA-256.
    """

    at: float
    host: str | None
    path: str | None
    use: str | None
    code: str | None
    token_sha256: str | None = None
    expires_at: int | None = None
    rejected_sha256: str | None = None


class SmallCloud:
    """The relay API for one workspace, with every answer on record.

    `grants` names the repositories and whether the workspace may push to them. `stop` makes the
    API unreachable and `start` brings it back at the same address.
    """

    def __init__(
        self,
        tokens: TokenTable,
        host: str,
        grants: Mapping[str, bool],
        *,
        lifetime_seconds: float,
        now: Callable[[], float] = time.time,
        observe: Callable[[Vend], None] | None = None,
    ) -> None:
        self.workspace_id = "demo-workspace"
        self.workspace_secret = f"workspace_{secrets.token_hex(24)}"
        self.now = now
        self._vending = Vending(
            tokens,
            host,
            grants,
            workspace_id=self.workspace_id,
            workspace_secret=self.workspace_secret,
            lifetime_seconds=lifetime_seconds,
            now=now,
        )
        self._observe = observe
        self._lock = threading.Lock()
        self._answers: list[Vend] = []
        self._port = 0
        self._server: LoopbackServer | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The address for CLOUD_API_URL; known once started, and the same ever after."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def vends(self) -> tuple[Vend, ...]:
        """Every token handed out, oldest first."""
        return tuple(answer for answer in self.answers if answer.code is None)

    @property
    def refusals(self) -> tuple[Vend, ...]:
        """Every refusal, oldest first."""
        return tuple(answer for answer in self.answers if answer.code is not None)

    @property
    def answers(self) -> tuple[Vend, ...]:
        """Every vend and refusal, oldest first."""
        with self._lock:
            return tuple(self._answers)

    def start(self) -> None:
        """Begin to answer; nothing happens when it does already."""
        if self._server is None:
            self._server = LoopbackServer(partial(_CloudHandler, self), self._port)
            self._port = self._server.port
            self._server.start()

    def stop(self) -> None:
        """Become unreachable; nothing happens when it is already."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def answer(self, query: TokenQuery) -> Grant | Refusal:
        """Decide about a query and record the answer before it leaves."""
        answer = self._vending.answer(query)
        record = partial(Vend, self.now(), query.host, query.path, query.use)
        if isinstance(answer, Grant):
            vend = record(
                None, answer.issued.sha256, answer.issued.expires_at, query.rejected_sha256
            )
        else:
            vend = record(answer.code, rejected_sha256=query.rejected_sha256)
        with self._lock:
            self._answers.append(vend)
        if self._observe is not None:
            self._observe(vend)
        return answer


class _CloudHandler(LoopbackHandler):
    server_version = "small-cloud"

    def __init__(self, cloud: SmallCloud, *connection: Any) -> None:
        self._cloud = cloud
        super().__init__(*connection)

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Return the Date header's value, by the cloud's own clock."""
        return super().date_time_string(self._cloud.now() if timestamp is None else timestamp)

    def do_GET(self) -> None:
        """Answer a query given in the URL."""
        if self._is_served():
            self._answer(dict(parse_qsl(urlsplit(self.path).query)))

    def do_POST(self) -> None:
        """Answer a query given as JSON."""
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            length = -1
        if not 0 <= length <= _BODY_LIMIT_BYTES:
            self._send(Refusal(400, "INVALID_REQUEST", "Bad body length", "Send a small body"))
            self.linger()
            return
        body = self.rfile.read(length)
        if self._is_served():
            try:
                names = json.loads(body)
            except ValueError:
                names = None
            if isinstance(names, dict):
                self._answer({name: str(value) for name, value in names.items() if value})
            else:
                self._send(Refusal(400, "INVALID_REQUEST", "Not JSON", "Send a JSON object"))

    def _is_served(self) -> bool:
        is_served = urlsplit(self.path).path == _PATH
        if not is_served:
            self._send(Refusal(404, "NOT_FOUND", "There is nothing here", f"Ask {_PATH}"))
        return is_served

    def _answer(self, names: Mapping[str, str]) -> None:
        scheme, _, bearer = self.headers.get("Authorization", "").partition(" ")
        is_rejection = "no-cache" in self.headers.get("Cache-Control", "")
        rejected = self.headers.get("X-Rejected-Token-SHA256")
        query = TokenQuery(
            bearer=bearer.strip() if scheme.lower() == "bearer" else "",
            workspace_id=names.get("workspaceId"),
            host=names.get("host"),
            path=names.get("path"),
            use=names.get("use"),
            min_lifetime=names.get("minLifetime"),
            rejected_sha256=rejected if is_rejection else None,
        )
        self._send(self._cloud.answer(query))

    def _send(self, answer: Grant | Refusal) -> None:
        body = json.dumps(answer.body()).encode()
        self.send_response(answer.status if isinstance(answer, Refusal) else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)
