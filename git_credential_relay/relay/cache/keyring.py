"""The operating system's keyring: the cache, and the workspace's secret, on a person's machine.

The one owner of the `keyring` library. There is no keyring in a container, so it is an extra.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from typing import TypeVar

from git_credential_relay.errors import CacheError, ConfigError, MissingExtraError, ProtocolError
from git_credential_relay.relay.cache.entry import Entry, Key, dump, load
from git_credential_relay.relay.cache.tmpfs import FileLock, TmpfsCache
from git_credential_relay.relay.deadline import Deadline
from git_credential_relay.secret import Secret

try:
    import keyring
    from keyring.errors import PasswordDeleteError
except ImportError as error:
    raise MissingExtraError(
        "the keyring library is not installed",
        hint="install `keyring` into the environment of git-credential-relay",
    ) from error

SERVICE = "git-credential-relay"


# A keyring that asks a person to unlock it may never answer.
KEYRING_SECONDS = 5.0

T = TypeVar("T")


class KeyringCache:
    """A Cache in the keyring; its locks are files of `locks`, keyrings have none."""

    def __init__(self, locks: TmpfsCache) -> None:
        self._locks = locks

    def read(self, key: Key) -> Entry:
        """What is kept for `key`, or an empty Entry."""
        try:
            text = _call(keyring.get_password, SERVICE, f"cache:{key.name()}") or ""
            return load(key, text.encode("utf-8", "surrogateescape"))
        except (CacheError, UnicodeError):
            return Entry()

    def write(self, key: Key, entry: Entry) -> None:
        """Replace what is kept for `key`."""
        try:
            text = dump(key, entry).decode("utf-8", "surrogateescape")
        except ProtocolError as error:
            raise CacheError(f"the entry cannot be kept: {error}") from error
        _call(keyring.set_password, SERVICE, f"cache:{key.name()}", text)

    def discard(self, key: Key) -> None:
        """Drop what is kept for `key`."""
        with contextlib.suppress(CacheError):
            _call(keyring.delete_password, SERVICE, f"cache:{key.name()}")

    def list_keys(self) -> list[Key]:
        """None: a keyring does not list what it holds."""
        return []

    def lock(self, key: Key, deadline: Deadline) -> FileLock:
        """The lock of `key`; False when it cannot be had in time."""
        return self._locks.lock(key, deadline)


def read_workspace_secret(api_url: str, workspace_id: str) -> Secret | None:
    """The workspace's secret that `login` kept, or None. Raises ConfigError without a keyring."""
    try:
        text = _call(keyring.get_password, SERVICE, _entry(api_url, workspace_id))
    except CacheError as error:
        raise _no_keyring(error) from error
    return Secret(text) if text else None


def write_workspace_secret(api_url: str, workspace_id: str, secret: Secret) -> None:
    """Keep the workspace's secret. Raises ConfigError without a keyring."""
    try:
        _call(keyring.set_password, SERVICE, _entry(api_url, workspace_id), secret.reveal())
    except CacheError as error:
        raise _no_keyring(error) from error


def delete_workspace_secret(api_url: str, workspace_id: str) -> bool:
    """Forget the workspace's secret; False when there was none."""
    try:
        _call(keyring.delete_password, SERVICE, _entry(api_url, workspace_id))
    except CacheError as error:
        if isinstance(error.__cause__, PasswordDeleteError):
            return False
        raise _no_keyring(error) from error
    return True


def _call(function: Callable[..., T], *arguments: str) -> T:
    """What a keyring function gives. Raises CacheError when it fails or does not answer.

    In a thread, because a backend waits as long as it likes; and any exception, because
    backends are other people's and raise what they like.
    """
    results: queue.SimpleQueue[tuple[T, None] | tuple[None, Exception]] = queue.SimpleQueue()

    def work() -> None:
        try:
            results.put((function(*arguments), None))
        except Exception as error:  # noqa: BLE001 - see above
            results.put((None, error))

    threading.Thread(target=work, daemon=True).start()
    try:
        value, error = results.get(timeout=KEYRING_SECONDS)
    except queue.Empty:
        raise CacheError(f"the keyring did not answer within {KEYRING_SECONDS:.0f} s") from None
    if error is not None:
        raise CacheError(f"the keyring failed: {error}") from error
    return value  # type: ignore[return-value] # there is one when there is no error


def _entry(api_url: str, workspace_id: str) -> str:
    return f"workspace:{workspace_id}@{api_url}"


def _no_keyring(error: CacheError) -> ConfigError:
    return ConfigError(
        f"the keyring does not work here: {error.message}",
        hint="set WORKSPACE_TOKEN_FILE instead; a container has no keyring",
    )
