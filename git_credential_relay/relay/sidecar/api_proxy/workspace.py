"""What this proxy needs of a workspace."""

from __future__ import annotations

from typing import Protocol

from git_credential_relay.config import Config
from git_credential_relay.credential.credential import Credential
from git_credential_relay.credential.forge import Target


class Workspace(Protocol):
    """A workspace whose requests are answered. Hashable, and the same for the same workspace."""

    @property
    def config(self) -> Config:
        """Its forges, and how they are reached."""

    async def acquire(self, target: Target, refused_sha256: str | None = None) -> Credential:
        """A credential for `target`, not the one with that hash. Raises RelayError."""
