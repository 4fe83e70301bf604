"""A real git forge on loopback: smart HTTP behind a token check, for the demo and the tests."""

import base64
import binascii
import json
import re
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from git_credential_relay.demo.backend import CgiRequest, CgiResponse, GitBackend, find_git
from git_credential_relay.demo.loopback import (
    LoopbackHandler,
    LoopbackServer,
    MalformedBodyError,
    spooled_body,
)
from git_credential_relay.demo.tokens import TokenTable, token_sha256

_SERVICES = frozenset({"git-upload-pack", "git-receive-pack"})
_REPOSITORY = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)+", re.ASCII)
_ROUTE = re.compile(r"/(?P<repository>.+?)(?:\.git)?/(?P<action>info/refs|git-[a-z]+-pack)")


@dataclass(frozen=True, slots=True)
class ForgeRequest:
    """One request as the forge saw it; a token appears only as its base64 SHA-256."""

    at: float
    method: str
    repository: str | None
    service: str | None
    status: int
    has_authorization: bool
    username: str | None
    token_sha256: str | None


class ConnectionDroppedError(Exception):
    """The connection is to be broken without an answer."""


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """One call of a forge's API: `path` below the forge's root, still escaped."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON; an empty one is an empty object.

        Raises:
            ValueError: It is not JSON.
        """
        return json.loads(self.body or b"{}")


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """What the forge's API says; `body` is JSON, or the text itself."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json; charset=utf-8"

    @property
    def content(self) -> bytes:
        """The bytes of the body."""
        return self.body.encode() if isinstance(self.body, str) else json.dumps(self.body).encode()


@dataclass(frozen=True, slots=True)
class _Target:
    repository: str | None
    service: str | None


class PlaygroundForge:
    """A forge that serves real git over HTTP to whoever shows a usable token.

    Answers 401 without a usable token, 404 for a repository that the token does not list or that
    does not exist, 403 for a push with a read-only token. `observe` is called with each request
    before its answer leaves, so a test can act between two requests of one git command.

    It may live below a path, `root`. What is no request of git's goes to `api`, the kind of
    forge this one plays; None from there is a 404. An api that raises ConnectionDroppedError
    has the connection broken instead of answered.

    Raises:
        GitMissingError: No git on PATH.
        OSError: Somebody else listens at the port.
    """

    def __init__(
        self,
        now: Callable[[], float] = time.time,
        observe: Callable[[ForgeRequest], None] | None = None,
        *,
        root: str = "",
        port: int = 0,
        api: Callable[[ApiRequest], ApiAnswer | None] | None = None,
    ) -> None:
        self.tokens = TokenTable(now)
        self.root = root
        self.api = api
        self._now = now
        self._observe = observe
        self._lock = threading.Lock()
        self._requests: list[ForgeRequest] = []
        self._repositories: set[str] = set()
        git = find_git()
        # First what may fail, when somebody else listens there.
        self._server = LoopbackServer(partial(_ForgeHandler, self), port)
        self._directory = tempfile.TemporaryDirectory(prefix="playground-forge-")
        self._backend = GitBackend(Path(self._directory.name), git)
        self._server.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop serving, end every child process and delete the repositories."""
        self._server.stop(before_close=self._backend.close)
        self._directory.cleanup()

    @property
    def host(self) -> str:
        """The `host:port` that git sees."""
        return f"127.0.0.1:{self._server.port}"

    @property
    def url(self) -> str:
        """The address below which the repositories live."""
        return f"http://{self.host}" + (f"/{self.root}" if self.root else "")

    @property
    def repositories(self) -> frozenset[str]:
        """Every repository there is."""
        with self._lock:
            return frozenset(self._repositories)

    @property
    def requests(self) -> tuple[ForgeRequest, ...]:
        """Every request so far, oldest first."""
        with self._lock:
            return tuple(self._requests)

    def url_of(self, repository: str) -> str:
        """Return the clone URL of a repository; it carries no credential."""
        return f"{self.url}/{repository}.git"

    def create_repository(self, repository: str) -> str:
        """Make `owner/name` with one commit on main and return its clone URL.

        Raises:
            ValueError: Not an owner and a name, or the repository exists.
        """
        if not _REPOSITORY.fullmatch(repository) or repository.endswith(".git"):
            raise ValueError(f"not a repository name: {repository!r}")
        with self._lock:
            if repository in self._repositories:
                raise ValueError(f"the repository exists already: {repository}")
            self._backend.create(repository)
            self._repositories.add(repository)
        return self.url_of(repository)

    def commit_of(self, repository: str, branch: str = "main") -> str:
        """Return the commit that a branch of a repository points to.

        Raises:
            subprocess.CalledProcessError: There is no such branch.
        """
        return self._backend.commit_of(repository, branch)

    def _decide(self, target: _Target, username: str | None, token: str | None) -> int:
        """Return the status that the request deserves; 200 lets git answer it."""
        issued = None if token is None else self.tokens.find_usable(token)
        if issued is not None and issued.username not in (None, username):
            issued = None
        # First the token: who shows none must not learn which repositories exist.
        if issued is None:
            return 401
        with self._lock:
            exists = target.repository in self._repositories
        if not exists or target.repository not in issued.repositories or target.service is None:
            return 404
        if not (issued.push if target.service == "git-receive-pack" else issued.read):
            return 403
        return 200

    def _record(
        self,
        method: str,
        target: _Target,
        status: int,
        authorization: str | None,
    ) -> None:
        username, token = _parse_basic(authorization)
        request = ForgeRequest(
            at=self._now(),
            method=method,
            repository=target.repository,
            service=target.service,
            status=status,
            has_authorization=authorization is not None,
            username=username,
            token_sha256=None if token is None else token_sha256(token),
        )
        with self._lock:
            self._requests.append(request)
        if self._observe is not None:
            self._observe(request)


class _ForgeHandler(LoopbackHandler):
    server_version = "playground-forge"

    def __init__(self, forge: PlaygroundForge, *connection: Any) -> None:
        self._forge = forge
        super().__init__(*connection)

    def do_GET(self) -> None:
        """Answer the advertisement of references."""
        self._answer()

    def do_POST(self) -> None:
        """Answer a fetch, a push or a call of the API."""
        self._answer()

    do_DELETE = do_PATCH = do_PUT = do_POST

    def _answer(self) -> None:
        target = _parse_target(self.command, self.path, self._forge.root)
        if self._forge.api is not None and target.repository is None:
            self._answer_with_api(self._forge.api)
            return
        status = self._forge._decide(target, *_parse_basic(self._authorization()))
        if status == 200:
            self._answer_with_git(target)
        else:
            self._refuse(target, status)

    def _answer_with_api(self, api: Callable[[ApiRequest], ApiAnswer | None]) -> None:
        url = urlsplit(self.path)
        root = f"/{self._forge.root}" if self._forge.root else ""
        try:
            with spooled_body(self.headers, self.rfile) as body:
                request = ApiRequest(
                    self.command,
                    url.path.removeprefix(root) if url.path.startswith(f"{root}/") else "",
                    url.query,
                    {name.lower(): value for name, value in self.headers.items()},
                    body.read(),
                )
            answer = api(request) or ApiAnswer(404, {"message": "Not Found"})
        except ConnectionDroppedError:
            self.close_connection = True
            return
        except MalformedBodyError:
            answer = ApiAnswer(400, {"message": "malformed body"})
        content = answer.content
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if answer.status != 204:
            self.wfile.write(content)

    def _answer_with_git(self, target: _Target) -> None:
        self._forge._backend.make(str(target.repository))
        try:
            with (
                spooled_body(self.headers, self.rfile) as body,
                self._forge._backend.serve(self._cgi_request(target), body) as answer,
            ):
                self._record(target, answer.status)
                self._relay(answer)
        except MalformedBodyError:
            self._refuse(target, 400)

    def _cgi_request(self, target: _Target) -> CgiRequest:
        url = urlsplit(self.path)
        action = "info/refs" if self.command == "GET" else target.service
        return CgiRequest(
            method=self.command,
            # Built from the checked name, so that git is asked for nothing else.
            path_info=f"/{target.repository}.git/{action}",
            query=url.query,
            content_type=self.headers.get("Content-Type", ""),
            content_encoding=self.headers.get("Content-Encoding", ""),
            git_protocol=self.headers.get("Git-Protocol", ""),
            remote_user=_parse_basic(self._authorization())[0] or "",
        )

    def _relay(self, answer: CgiResponse) -> None:
        is_chunked = self.request_version == "HTTP/1.1"
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if is_chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        while block := answer.stream.read1(65536):  # type: ignore[attr-defined]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(block), block) if is_chunked else block)
        if is_chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _refuse(self, target: _Target, status: int) -> None:
        self._record(target, status)
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="playground forge"')
        self.send_header("Content-Length", "0")
        if self.has_body():
            self.send_header("Connection", "close")
        self.end_headers()
        if self.has_body():
            self.linger()

    def _record(self, target: _Target, status: int) -> None:
        self._forge._record(self.command, target, status, self._authorization())

    def _authorization(self) -> str | None:
        return self.headers.get("Authorization")


def _parse_target(method: str, path: str, root: str) -> _Target:
    url = urlsplit(path)
    prefix = f"/{root}" if root else ""
    is_ours = url.path.startswith(f"{prefix}/")
    route = _ROUTE.fullmatch(unquote(url.path.removeprefix(prefix))) if is_ours else None
    if route is None:
        return _Target(None, None)
    if route["action"] == "info/refs":
        services = parse_qs(url.query).get("service", []) if method == "GET" else []
    else:
        services = [route["action"]] if method == "POST" else []
    is_known = len(services) == 1 and services[0] in _SERVICES
    return _Target(route["repository"], services[0] if is_known else None)


def _parse_basic(authorization: str | None) -> tuple[str | None, str | None]:
    """Return username and password of a Basic header, or nothing at all."""
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None, None
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None, None
    username, colon, password = text.partition(":")
    return (username, password) if colon else (None, None)
