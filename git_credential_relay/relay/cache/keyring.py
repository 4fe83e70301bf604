"""The operating system's keyring: the cache, and the workspace's secret, on a person's machine.

The one owner of the `keyring` library. There is no keyring in a container, so it is an extra.
"""

from __future__ import annotations

from git_credential_relay.errors import CacheError, ConfigError, MissingExtraError, ProtocolError
from git_credential_relay.relay.cache.entry import Entry, Key, dump, load
from git_credential_relay.relay.cache.tmpfs import FileLock, TmpfsCache
from git_credential_relay.relay.deadline import Deadline
from git_credential_relay.secret import Secret

try:
    import keyring
    from keyring.errors import KeyringError, PasswordDeleteError
except ImportError as error:
    raise MissingExtraError(
        "the keyring is configured, and the keyring library is not installed",
        hint="pip install 'git-credential-relay[keyring]'",
    ) from error

SERVICE = "git-credential-relay"


class KeyringCache:
    """A Cache in the keyring; its locks are files of `locks`, keyrings have none."""

    def __init__(self, locks: TmpfsCache) -> None:
        self._locks = locks

    def read(self, key: Key) -> Entry:
        """What is kept for `key`, or an empty Entry."""
        try:
            text = keyring.get_password(SERVICE, f"cache:{key.name()}") or ""
            return load(key, text.encode("utf-8", "surrogateescape"))
        except (KeyringError, UnicodeError):
            return Entry()

    def write(self, key: Key, entry: Entry) -> None:
        """Replace what is kept for `key`."""
        try:
            text = dump(key, entry).decode("utf-8", "surrogateescape")
            keyring.set_password(SERVICE, f"cache:{key.name()}", text)
        except (KeyringError, ProtocolError, UnicodeError) as error:
            raise CacheError(f"the keyring cannot be written: {error}") from error

    def list_keys(self) -> list[Key]:
        """None: a keyring does not list what it holds."""
        return []

    def lock(self, key: Key, deadline: Deadline) -> FileLock:
        """The lock of `key`; False when it cannot be had in time."""
        return self._locks.lock(key, deadline)


def read_workspace_secret(api_url: str, workspace_id: str) -> Secret | None:
    """The workspace's secret that `login` kept, or None. Raises ConfigError without a keyring."""
    try:
        text = keyring.get_password(SERVICE, _entry(api_url, workspace_id))
    except KeyringError as error:
        raise _no_keyring(error) from error
    return Secret(text) if text else None


def write_workspace_secret(api_url: str, workspace_id: str, secret: Secret) -> None:
    """Keep the workspace's secret. Raises ConfigError without a keyring."""
    try:
        keyring.set_password(SERVICE, _entry(api_url, workspace_id), secret.reveal())
    except KeyringError as error:
        raise _no_keyring(error) from error


def delete_workspace_secret(api_url: str, workspace_id: str) -> bool:
    """Forget the workspace's secret; False when there was none."""
    try:
        keyring.delete_password(SERVICE, _entry(api_url, workspace_id))
    except PasswordDeleteError:
        return False
    except KeyringError as error:
        raise _no_keyring(error) from error
    return True


def _entry(api_url: str, workspace_id: str) -> str:
    return f"workspace:{workspace_id}@{api_url}"


def _no_keyring(error: KeyringError) -> ConfigError:
    return ConfigError(
        f"the keyring does not work here: {error}",
        hint="set WORKSPACE_TOKEN_FILE instead; a container has no keyring",
    )
