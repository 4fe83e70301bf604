"""A cache that lives as long as its process: for `cache=off`, and for what stays resident."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from git_credential_relay.credential.credential import UNKNOWN_LIFETIME
from git_credential_relay.errors import CacheError, ProtocolError
from git_credential_relay.relay.cache.entry import Entry, Key, dump
from git_credential_relay.relay.deadline import Deadline
from git_credential_relay.secret import Secret

# Whoever asks for ever new repositories must not fill the memory.
MAX_ENTRIES = 16384

_Name = tuple[str, ...]
_NOTHING = Entry()


class MemoryCache:
    """A Cache without a file. Its locks hold against the threads of this process only.

    With more than `limit` entries those go first that hold no token, then tokens that have
    expired by `now`, then the ones written longest ago.
    """

    def __init__(self, limit: int = MAX_ENTRIES, now: Callable[[], float] = time.time) -> None:
        self._limit = limit
        self._now = now
        self._entries: dict[_Name, Entry] = {}
        # In the order of writing: tokens, and what is only remembered of failures and refusals.
        self._tokens: OrderedDict[_Name, Key] = OrderedDict()
        self._notes: OrderedDict[_Name, Key] = OrderedDict()
        self._holders: dict[Secret, dict[_Name, None]] = {}
        self._next_expiry = math.inf
        self._locks: dict[_Name, _Lock] = {}
        self._guard = threading.Lock()

    def read(self, key: Key) -> Entry:
        """What is kept for `key`, or an empty Entry. Takes no lock: entries never change."""
        return self._entries.get(_name(key), _NOTHING)

    def write(self, key: Key, entry: Entry) -> None:
        """Replace what is kept for `key`."""
        try:
            dump(key, entry)  # what a file would not keep could not be told to git either
        except ProtocolError as error:
            raise CacheError(f"the entry cannot be kept: {error}") from error
        with self._guard:
            self._put(_name(key), key, entry)
            while len(self._entries) > self._limit:
                self._evict()

    def discard(self, key: Key) -> None:
        """Drop what is kept for `key`."""
        with self._guard:
            self._drop(_name(key))

    def refuse(self, key: Key) -> str | None:
        """Put a note of its refusal in place of the token of `key`; the token's hash, if any.

        At once, whoever holds the lock: nobody may be served a refused token meanwhile.
        """
        with self._guard:
            credential = self._entries.get(_name(key), _NOTHING).credential
            if credential is None:
                return None
            self._put(_name(key), key, Entry(refused_sha256=credential.token_sha256))
            return credential.token_sha256

    def refuse_all(self, like: Key, password: Secret) -> str | None:
        """The same for all tokens that equal `password`, of API, workspace and forge of `like`."""
        with self._guard:
            held = [(name, self._tokens[name]) for name in self._holders.get(password, ())]
            found = [(name, key) for name, key in held if key.has_same_forge(like)]
            credential = self._entries[found[0][0]].credential if found else None
            if credential is None:
                return None
            note = Entry(refused_sha256=credential.token_sha256)
            for name, key in found:
                self._put(name, key, note)
            return credential.token_sha256

    def list_keys(self) -> list[Key]:
        """The keys of all entries."""
        with self._guard:
            return [*self._tokens.values(), *self._notes.values()]

    @contextmanager
    def lock(self, key: Key, deadline: Deadline) -> Iterator[bool]:
        """The lock of `key`; False when it cannot be had in time."""
        name = _name(key)
        with self._guard:
            lock = self._locks.setdefault(name, _Lock())
            lock.users += 1
        is_held = False
        try:
            is_held = lock.lock.acquire(timeout=deadline.remaining())
            yield is_held
        finally:
            if is_held:
                lock.lock.release()
            with self._guard:
                lock.users -= 1
                if not lock.users:
                    del self._locks[name]

    def _put(self, name: _Name, key: Key, entry: Entry) -> None:
        self._drop(name)
        self._entries[name] = entry
        if entry.credential is None:
            self._notes[name] = key
            return
        self._tokens[name] = key
        self._holders.setdefault(entry.credential.password, {})[name] = None
        self._next_expiry = min(self._next_expiry, _end(entry))

    def _drop(self, name: _Name) -> None:
        entry = self._entries.pop(name, None)
        if entry is None:
            return
        if entry.credential is None:
            del self._notes[name]
            return
        del self._tokens[name]
        holders = self._holders[entry.credential.password]
        del holders[name]
        if not holders:
            del self._holders[entry.credential.password]

    def _evict(self) -> None:
        if self._notes:
            self._drop(next(iter(self._notes)))
        elif not self._drop_expired():
            self._drop(next(iter(self._tokens)))

    def _drop_expired(self) -> int:
        """Drop what has expired; how many entries that were."""
        now = self._now()
        if now < self._next_expiry:
            return 0  # or each write into a full cache would look at all of it
        ends = {name: _end(self._entries[name]) for name in self._tokens}
        over = [name for name, end in ends.items() if end <= now]
        for name in over:
            self._drop(name)
        self._next_expiry = min((end for end in ends.values() if end > now), default=math.inf)
        return len(over)


class _Lock:
    """A lock and how many hold it or wait for it: without any it is not kept."""

    __slots__ = ("lock", "users")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0


def _name(key: Key) -> _Name:
    return tuple([value for _, value in key.fields])


def _end(entry: Entry) -> float:
    """When its token is of no use any more, in Unix seconds."""
    credential = entry.credential
    if credential is None:
        return -math.inf
    return credential.expires_at or credential.fetched_at + UNKNOWN_LIFETIME
