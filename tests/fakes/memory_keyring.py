"""A keyring kept in one file, so that several processes can share it."""

import json
from pathlib import Path

import keyring.backend
from keyring.errors import KeyringLocked, PasswordDeleteError


class FileKeyring(keyring.backend.KeyringBackend):
    """A keyring in the plain file `path`; a locked one refuses everything."""

    priority = 1.0

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.is_locked = False

    def get_password(self, service: str, username: str) -> str | None:
        """What is kept, or None."""
        self._check()
        return self._load().get(f"{service}\0{username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep `password`."""
        self._check()
        self._save(self._load() | {f"{service}\0{username}": password})

    def delete_password(self, service: str, username: str) -> None:
        """Forget it; PasswordDeleteError when there is none."""
        self._check()
        kept = self._load()
        if kept.pop(f"{service}\0{username}", None) is None:
            raise PasswordDeleteError("no such password")
        self._save(kept)

    def _check(self) -> None:
        if self.is_locked:
            raise KeyringLocked("the keyring is locked")

    def _load(self) -> dict[str, str]:
        kept: dict[str, str] = json.loads(self.path.read_text() if self.path.exists() else "{}")
        return kept

    def _save(self, kept: dict[str, str]) -> None:
        self.path.write_text(json.dumps(kept))
