"""Encryption of what is kept: a copy of the database or of the cache is no copy of the tokens."""

from __future__ import annotations

import base64
import hmac
import os
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from git_credential_relay.broker.config.load import BrokerConfig
from git_credential_relay.broker.errors import StoreError
from git_credential_relay.broker.store.engine import find_sqlite_file, resolve_database_url
from git_credential_relay.errors import ConfigError

KEY_FILE = "broker.key"
_NEW_KEY = "git-credential-relay broker key new"


class Cipher:
    """Fernet (AES-128-CBC and HMAC-SHA256) with one key that encrypts, and older ones.

    Raises ConfigError for what is not a key.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys:
            raise ConfigError("there is no encryption key", hint=_NEW_KEY)
        try:
            fernets = [Fernet(key) for key in keys]
        except ValueError:
            # Not the text of the error, nor a chain to it: either may show the key.
            raise ConfigError(
                "an encryption key is not 32 bytes in URL-safe base64", hint=_NEW_KEY
            ) from None
        self._fernet = MultiFernet(fernets)
        self._digest_key = HKDF(SHA256(), 32, None, b"git-credential-relay digest").derive(
            base64.urlsafe_b64decode(keys[0])
        )

    def encrypt(self, value: bytes) -> bytes:
        """`value` under the first key."""
        return self._fernet.encrypt(value)

    def decrypt(self, value: bytes) -> bytes:
        """What was encrypted under any of the keys. Raises StoreError, STORE_KEY_MISMATCH."""
        try:
            return self._fernet.decrypt(value)
        except InvalidToken:
            raise StoreError(
                "a stored value cannot be decrypted with the encryption keys given",
                code="STORE_KEY_MISMATCH",
                hint="put the key it was encrypted with back into encryption_key_file",
                retryable=False,
            ) from None

    def digest(self, value: bytes) -> bytes:
        """32 bytes that stand for `value`, which nobody without the first key can tell."""
        return hmac.digest(self._digest_key, value, "sha256")


def new_key() -> str:
    """A new random key."""
    return Fernet.generate_key().decode()


def load_cipher(config: BrokerConfig) -> Cipher:
    """The cipher with the keys of `encryption_key_file`: one per line, the newest first.

    Without one, SQLite gets a key of its own in a file beside the database, made when there is
    no database yet. Raises ConfigError, for a file that everybody may read too.
    """
    reference = config.model.encryption_key_file
    if reference is None:
        database = find_sqlite_file(resolve_database_url(config))
        if database is None:
            raise ConfigError(
                "encryption_key_file is not set, and all brokers of one database need the same key",
                code="encryption-key-missing",
                hint=f"{_NEW_KEY} > broker.key; chmod 600 broker.key",
            )
        reference = str(_own_key(database))
    if not reference.startswith("env:"):
        _refuse_if_public(config.resolve(reference))
    lines = config.read_secret(reference).reveal().split("\n")
    return Cipher([line.strip() for line in lines if line.strip() and line[0] != "#"])


def _own_key(database: Path) -> Path:
    path = database.parent / KEY_FILE
    if path.exists():
        return path
    if database.exists() and database.stat().st_size > 0:
        # A new key would only hide that the one everything is encrypted with is lost.
        raise ConfigError(
            f"{database} is there, but not its key {path}",
            code="encryption-key-missing",
            hint="restore the key, or name the right one as encryption_key_file",
        )
    try:
        _create_once(path, new_key())
    except OSError as error:
        raise ConfigError(
            f"cannot make {path}: {error.strerror}", hint="check who may write there"
        ) from error
    return path


def _create_once(path: Path, text: str) -> None:
    """Make the file, whole from its first moment, unless another process was first."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(fd)
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        os.unlink(draft)
    # Values under a key whose directory entry was lost with the power would be lost as well.
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _refuse_if_public(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # whoever reads it says why it cannot be read
    if mode & stat.S_IROTH:
        raise ConfigError(
            f"{path} is readable by everybody, and it decrypts every token",
            code="encryption-key-public",
            hint=f"chmod o-r {path}",
        )
