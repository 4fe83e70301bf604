"""The admin API on a real socket: real store, audit log and gate, with a source of the test's."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2
import uvicorn

from git_credential_relay.broker.audit.event import AuditEvent
from git_credential_relay.broker.audit.file import AuditLog
from git_credential_relay.broker.config.watch import ConfigWatch
from git_credential_relay.broker.errors import AuditError
from git_credential_relay.broker.identity.admin import AdminGate
from git_credential_relay.broker.identity.tokens import TokenVerifier
from git_credential_relay.broker.metrics import Metrics
from git_credential_relay.broker.server.app import build_app
from git_credential_relay.broker.server.routes.workspaces import workspace_routes
from git_credential_relay.broker.sources.interface import Repository, TokenSource, Verified
from git_credential_relay.broker.store.cipher import Cipher
from git_credential_relay.broker.store.store import Store
from git_credential_relay.broker.workspaces.directory import WorkspaceDirectory
from git_credential_relay.broker.workspaces.operations import Workspaces
from git_credential_relay.credential.forge import Forge
from tests.fakes.token_source import FakeSource

ADMIN_SECRET = "the-secret-of-the-admin"
CONFIG = """
[admin]
secret_file = "admin.secret"
[[issuer]]
url = "https://issuer.example"
audience = "relay"
[[forge]]
kind = "github"
app_id = "1"
private_key_file = "app.pem"
owners = ["acme", "other"]
[[forge]]
kind = "gitlab"
url = "https://gitlab.example:8443/gitlab"
token_file = "gitlab.token"
[[workspace]]
id = "declared"
secret_file = "declared.secret"
[[workspace.grant]]
host = "github.com"
repositories = ["acme/declared"]
"""


class VerifyingSource(FakeSource):
    """Answers `verify` from a table of repositories: id, and what cannot be had there."""

    def __init__(self, name: str = "github:github.com") -> None:
        super().__init__(time.time, name=name)
        self.ids = {"acme/app": 7, "acme/lib": 8, "team/sub/app": 9}
        self.missing: dict[str, dict[str, str]] = {}
        self.fails_with: Exception | None = None
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def verify(self, repository: str, permissions: Mapping[str, str]) -> Verified:
        """What the table says."""
        self.asked.append((repository, dict(permissions)))
        await asyncio.sleep(0)
        if self.fails_with is not None:
            raise self.fails_with
        missing = self.missing.get(repository, {})
        works = {name: level for name, level in permissions.items() if name not in missing}
        return Verified(Repository(repository, self.ids.get(repository)), works, missing)


class FullDisk:
    """The audit log until `is_full`."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log
        self.is_full = False

    def write(self, event: AuditEvent) -> None:
        """Write it, or say that it cannot be written."""
        if self.is_full:
            raise AuditError("the audit log cannot be written")
        self._log.write(event)


class AdminApi:
    """Serves until `close`; `url`, and a client with the admin's secret in `call`."""

    def __init__(self, directory: Path, key: str, config: str = CONFIG) -> None:
        (directory / "admin.secret").write_text(ADMIN_SECRET)
        (directory / "declared.secret").write_text("secret-of-declared")
        self.config_path = directory / "broker.toml"
        self.config_path.write_text(config)
        self.audit_path = directory / "audit.ndjson"
        self.watch = ConfigWatch(self.config_path)
        self.config = self.watch.newest
        self.metrics = Metrics()
        self.audit = AuditLog(self.audit_path, max_bytes=10**8, keep=1)
        self.disk = FullDisk(self.audit)
        self.store = Store.open(f"sqlite:///{directory}/broker.db", Cipher([key]))
        self.source = VerifyingSource()
        self.revoked: list[str] = []
        self.known_while_revoking: list[bool] = []
        self.revocation = (2, 0)
        self.directory = WorkspaceDirectory(self.watch, self.store)
        workspaces = Workspaces(self.watch, self.directory, self.store, lambda: self, self._revoke)
        gate = AdminGate(self.config, TokenVerifier([]), time.time)
        app = build_app(self, workspace_routes(workspaces, gate, self.disk))
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._server = uvicorn.Server(
            uvicorn.Config(app, lifespan="off", log_config=None, access_log=False)
        )
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        self._client = httpx2.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {ADMIN_SECRET}"}
        )

    def call(self, method: str, path: str = "", **options):
        """One request below /api/workspaces."""
        return self._client.request(method, f"/api/workspaces{path}", **options)

    def events(self) -> list[dict[str, Any]]:
        """What the audit has so far; a verdict that is left out is written out."""
        return [
            {"verdict": "failed", **json.loads(line)}
            for line in self.audit_path.read_text().splitlines()
        ]

    def close(self) -> None:
        """Stop serving."""
        self._client.close()
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()
        self.store.close()
        self.audit.close()

    def for_grant(self, forge: Forge, owner: str, integration: str | None) -> TokenSource | None:
        """The one source, for the owners that the configuration names."""
        entries = [e for e in self.watch.newest.forges if e.forge.host == forge.host]
        serving = [e for e in entries if e.serves(owner) and integration in (None, e.name)]
        return self.source if serving else None

    async def vend(self, query: object):
        """Nobody asks an admin API for a token."""
        raise AssertionError("asked for a token")

    async def readiness(self) -> dict[str, str]:
        """Always ready."""
        return {}

    def _serve(self) -> None:
        asyncio.run(self._server.serve([self._socket]))

    async def _revoke(self, workspace_id: str) -> tuple[int, int]:
        self.revoked.append(workspace_id)
        self.known_while_revoking.append(await self.store.find_workspace(workspace_id) is not None)
        return self.revocation
