"""GitHub, a GitHub Enterprise server and a stranger, over TLS, for real gh and real git.

One server for all of their names, reached through a proxy that leads every CONNECT to it; so no
name is resolved and nothing needs root. Repositories are served by git itself.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import re
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import trustme

from git_credential_relay.demo.forge import PlaygroundForge
from tests.fakes.proxy import running_proxy

GITHUB = "github.com"
ENTERPRISE = "ghe.example.test"
STRANGER = "evil.example.test"
# gh takes GH_TOKEN, which we set for github.com, for such a host too.
TENANT = "tenant.ghe.com"
NAMES = (GITHUB, "api.github.com", ENTERPRISE, STRANGER, TENANT, "api.tenant.ghe.com")
REPOSITORY = "octo/demo"
PULL_REQUEST = {
    "id": "PR_1",
    "number": 7,
    "title": "a pull request",
    "state": "OPEN",
    "url": f"https://{GITHUB}/{REPOSITORY}/pull/7",
    "headRefName": "feature",
    "headRepositoryOwner": {"id": "U_1", "login": "octo", "name": "Octo"},
    "isCrossRepository": False,
    "isDraft": False,
    "createdAt": "2026-01-02T03:04:05Z",
}
REPOSITORY_FIELDS = {
    "id": "R_1",
    "databaseId": 1,
    "name": "demo",
    "nameWithOwner": REPOSITORY,
    "owner": {"login": "octo"},
    "defaultBranchRef": {"name": "main"},
    "hasIssuesEnabled": True,
    "hasWikiEnabled": False,
    "viewerPermission": "WRITE",
    "isPrivate": True,
    "mergeCommitAllowed": True,
    "rebaseMergeAllowed": True,
    "squashMergeAllowed": True,
    "parent": None,
}


@dataclass(frozen=True)
class GitHubRequest:
    """One request as it arrived: `token` is whatever the Authorization header held."""

    host: str
    method: str
    path: str
    token: str | None
    body: bytes


class FakeGitHub:
    """The hosts and what they saw. `tokens` says which token each host takes.

    While `gate` is not set, answers to paths that hold `slow` are held back.
    """

    def __init__(self, forge: PlaygroundForge) -> None:
        self.tokens: dict[str, str] = {}
        self.requests: list[GitHubRequest] = []
        self.gate = threading.Event()
        self.forge = forge
        self.proxy_url = ""
        self.ca_file = ""

    def issue(self, host: str) -> str:
        """A new token, from now on the only one that the API of `host` takes; git takes it too."""
        issued = self.forge.tokens.issue([REPOSITORY], push=True, lifetime_seconds=3600)
        self.tokens[host] = issued.token
        return issued.token

    @property
    def environ(self) -> dict[str, str]:
        """The variables that lead gh and git here, and keep gh from asking and telling."""
        return {
            "HTTPS_PROXY": self.proxy_url,
            "https_proxy": self.proxy_url,
            "SSL_CERT_FILE": self.ca_file,
            "GIT_SSL_CAINFO": self.ca_file,
            "GH_PROMPT_DISABLED": "1",
            "GH_NO_UPDATE_NOTIFIER": "1",
            "GH_TELEMETRY": "0",
            "NO_COLOR": "1",
        }

    def seen(self, host: str) -> list[GitHubRequest]:
        """The requests to `host`; its API's name counts as the host."""
        names = (host, f"api.{host}")
        return [request for request in self.requests if request.host in names]

    def wait_for(self, path: str, seconds: float = 20) -> None:
        """Until a request for `path` has arrived."""
        deadline = time.monotonic() + seconds
        while not any(path in request.path for request in list(self.requests)):
            assert time.monotonic() < deadline, f"nobody asked for {path}"
            time.sleep(0.01)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    github: FakeGitHub

    def log_message(self, format: str, *arguments: object) -> None:
        """Keep quiet."""

    def do_GET(self) -> None:
        """Any request at all."""
        length = int(self.headers.get("Content-Length") or 0)
        body = self._chunks() if self.headers.get("Transfer-Encoding") else self.rfile.read(length)
        host = (self.headers.get("Host") or "").partition(":")[0]
        token = self.headers.get("Authorization")
        self.github.requests.append(GitHubRequest(host, self.command, self.path, token, body))
        if "/info/refs" in self.path or "/git-" in self.path:
            self._git(body)
        elif "slow" in self.path:
            self.github.gate.wait(30)
            self._json(200, {})
        elif "redirect" in self.path:
            self.send_response(302)
            self.send_header("Location", f"https://{STRANGER}/api/v3/user")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif token != f"token {self.github.tokens.get(host.removeprefix('api.'))}":
            self._json(401, {"message": "Bad credentials"})
        elif self.path.endswith("/graphql"):
            self._json(200, {"data": _graphql(json.loads(body))})
        else:
            self._json(200, {"login": "octo", "name": self.path})

    do_POST = do_PUT = do_PATCH = do_HEAD = do_GET

    def _json(self, status: int, document: object) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-OAuth-Scopes", "repo, read:org, gist")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _git(self, body: bytes) -> None:
        """Pass on to the forge, which is git's own HTTP backend behind a check of the token."""
        wanted = ("Authorization", "Content-Type", "Content-Encoding", "Accept", "Git-Protocol")
        headers = {name: self.headers[name] for name in wanted if self.headers.get(name)}
        connection = http.client.HTTPConnection(self.github.forge.host, timeout=20)
        try:
            connection.request(self.command, self.path, body or None, headers)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        self.send_response(answer.status)
        for name in ("Content-Type", "WWW-Authenticate", "Cache-Control"):
            if answer.headers.get(name):
                self.send_header(name, answer.headers[name])
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _chunks(self) -> bytes:
        data = b""
        while size := int(self.rfile.readline(), 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data


def _graphql(request: dict[str, Any]) -> dict[str, object]:
    """What gh's queries want to hear, by their names."""
    query = request["query"]
    name = (re.findall(r"(?:query|mutation)\s+(\w+)", query) or [""])[0]
    if "__type" in query:  # which fields there are
        return {key: {"fields": []} for key in re.findall(r"(\w+)\s*:\s*__type", query)}
    if name == "PullRequestCreate":
        return {"createPullRequest": {"pullRequest": PULL_REQUEST}}
    if name == "UserCurrent":
        return {"viewer": {"login": "octo"}}
    pull_requests = [PULL_REQUEST] if name in ("PullRequestList", "PullRequestByNumber") else []
    repository = {
        **REPOSITORY_FIELDS,
        "pullRequest": PULL_REQUEST,
        "pullRequests": {
            "totalCount": len(pull_requests),
            "nodes": pull_requests,
            "pageInfo": {"hasNextPage": False, "endCursor": ""},
        },
    }
    return {"repository": repository, "viewer": {"login": "octo"}}


@functools.cache
def _authority() -> tuple[trustme.CA, ssl.SSLContext]:
    """A certificate authority, and what a server with a certificate of it needs."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*NAMES).configure_cert(context)
    return authority, context


@contextlib.contextmanager
def serve_github(directory: Path) -> Iterator[FakeGitHub]:
    """A FakeGitHub on loopback; its certificate authority goes into `directory`."""
    authority, context = _authority()
    with PlaygroundForge() as forge:
        forge.create_repository(REPOSITORY)
        github = FakeGitHub(forge)
        handler = type("Handler", (_Handler,), {"github": github})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        # The handshake then happens in the connection's own thread.
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        github.ca_file = str(directory / "ca.pem")
        authority.cert_pem.write_to_path(github.ca_file)
        try:
            with running_proxy(server.server_port) as proxy:
                github.proxy_url = proxy.url
                yield github
                github.gate.set()
        finally:
            github.gate.set()
            server.shutdown()
            server.server_close()
            thread.join()
