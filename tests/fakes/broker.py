"""The real broker in a process of its own, on a free port of loopback."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fakes.program import EXECUTABLE
from tests.fakes.resident import ResidentProcess

READY = re.compile(r"git-credential-relay broker: listening on (https?)://127\.0\.0\.1:(\d+)")


@dataclass(frozen=True)
class Reply:
    """One answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class BrokerProcess(ResidentProcess):
    """`git-credential-relay broker serve` with the broker.toml of a directory."""

    def __init__(self, directory: Path, *arguments: str, **environ: str) -> None:
        super().__init__()
        self.directory = directory
        self.scheme = "http"
        self.port = 0
        self._arguments = arguments
        self._environ = environ

    def start(self) -> None:
        """Start it (again), and wait until it is ready or has ended."""
        self.port = 0
        serve = [str(EXECUTABLE), "broker", "serve", "--config", f"{self.directory}/broker.toml"]
        command = [*serve, "--listen", "127.0.0.1:0", *self._arguments]
        self._launch(command, os.environ | self._environ)

    @property
    def url(self) -> str:
        """The address for CLOUD_API_URL."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def logs(self) -> list[dict[str, Any]]:
        """The lines of its log."""
        return [json.loads(line) for line in self.lines if not READY.match(line)]

    def request(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        context: ssl.SSLContext | None = None,
    ) -> Reply:
        """The answer to one request on a connection of its own."""
        connection = self.connect(context)
        with contextlib.closing(connection):
            connection.request(method, target, body=body, headers=dict(headers or {}))
            return reply_of(connection)

    def ask(self, workspace: str, secret: str, **fields: str) -> Reply:
        """The answer to one request for a token."""
        query = "&".join(f"{name}={value}" for name, value in fields.items())
        return self.request(
            "GET",
            f"/api/git/token?workspaceId={workspace}&{query}",
            headers={"Authorization": f"Bearer {secret}"},
        )

    def connect(self, context: ssl.SSLContext | None = None) -> http.client.HTTPConnection:
        """A connection to it, to be closed by the caller."""
        if context is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=20, context=context)

    def _says_ready(self, line: str) -> bool:
        match = READY.match(line)
        if match is not None:
            self.scheme, self.port = match[1], int(match[2])
        return match is not None


def reply_of(connection: http.client.HTTPConnection) -> Reply:
    """The answer that comes on a connection."""
    response = connection.getresponse()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Reply(response.status, headers, response.read())
