"""What a cache is. Imported for types alone; keep it off the warm path."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from git_credential_relay.relay.cache.entry import Entry, Key
from git_credential_relay.relay.deadline import Deadline


class Cache(Protocol):
    """Keeps one Entry per Key. Trouble of its own is a CacheError, which never fails a `get`."""

    def read(self, key: Key) -> Entry:
        """What is kept for exactly `key`; an empty Entry when nothing is. Never raises."""

    def write(self, key: Key, entry: Entry) -> None:
        """Keep `entry` for `key`, in place of what was there; call it holding the lock.

        Raises CacheError when it cannot be kept.
        """

    def lock(self, key: Key, deadline: Deadline) -> AbstractContextManager[bool]:
        """Hold `key` against every other process and thread, waiting until `deadline`.

        Gives False when it could not be had: the caller then works alone and writes nothing.
        """

    def discard(self, key: Key) -> None:
        """Drop what is kept for `key`, also without its lock. Never raises."""

    def list_keys(self) -> list[Key]:
        """The keys of all entries, where the cache can list them."""
