"""A cache that lives as long as its process: for `cache=off`, and for what stays resident."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from git_credential_relay.errors import CacheError, ProtocolError
from git_credential_relay.relay.cache.entry import Entry, Key, dump, load, load_key
from git_credential_relay.relay.deadline import Deadline


class MemoryCache:
    """A Cache without a file. Its locks hold against the threads of this process only."""

    def __init__(self) -> None:
        self._entries: dict[str, bytes] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def read(self, key: Key) -> Entry:
        """What is kept for `key`, or an empty Entry."""
        return load(key, self._entries.get(key.name(), b""))

    def write(self, key: Key, entry: Entry) -> None:
        """Replace what is kept for `key`."""
        try:
            self._entries[key.name()] = dump(key, entry)
        except ProtocolError as error:
            raise CacheError(f"the entry cannot be kept: {error}") from error

    def discard(self, key: Key) -> None:
        """Drop what is kept for `key`."""
        self._entries.pop(key.name(), None)

    def list_keys(self) -> list[Key]:
        """The keys of all entries."""
        return [key for data in self._entries.values() if (key := load_key(data))]

    @contextmanager
    def lock(self, key: Key, deadline: Deadline) -> Iterator[bool]:
        """The lock of `key`; False when it cannot be had in time."""
        with self._guard:
            lock = self._locks.setdefault(key.name(), threading.Lock())
        held = lock.acquire(timeout=deadline.remaining())
        try:
            yield held
        finally:
            if held:
                lock.release()
