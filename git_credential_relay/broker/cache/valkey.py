"""Tokens shared by several brokers through Valkey or Redis.

What the server, and whoever reads it, sees: names that are HMACs and values under the broker's
encryption key, which die by themselves. What it can do by lying or by being away: make brokers
mint more than needed.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from valkey.asyncio import BlockingConnectionPool, Valkey
from valkey.asyncio.connection import SSLConnection, parse_url
from valkey.exceptions import AuthenticationError
from valkey.exceptions import ConnectionError as ServerConnectionError
from valkey.exceptions import TimeoutError as ServerTimeoutError

from git_credential_relay.broker.cache.breaker import Breaker
from git_credential_relay.broker.cache.interface import Lead
from git_credential_relay.broker.cache.memory import MemoryCache, OwnLead
from git_credential_relay.broker.cache.patience import within
from git_credential_relay.broker.errors import StoreError
from git_credential_relay.broker.store.batched import Batched
from git_credential_relay.broker.store.cipher import Cipher
from git_credential_relay.errors import ConfigError

ANSWER_SECONDS = 0.5  # a sick server costs those who ask just then as much, and nobody else
PAUSE_SECONDS = 2.0
CONNECTIONS = 16
_KEPT_SECONDS = 3600.0  # how long a dropped value is remembered: longer than a token is kept
_DIGEST_BYTES = 32
_DELETE_IF_SAME = """
if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end
return 0
"""


class ValkeyCache:
    """A TokenCache on a server. While it is in trouble, this process's own values serve."""

    def __init__(
        self, client: Valkey, cipher: Cipher, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._cipher = cipher
        self._breaker = Breaker("the shared cache", PAUSE_SECONDS, now)
        self._own = MemoryCache(now=now)
        self._dropped = MemoryCache(now=now)
        self._values = Batched(self._fetch)

    @property
    def last_trouble(self) -> str | None:
        """Why the server cannot be used at the moment; None when it can."""
        return self._breaker.trouble

    async def get(self, key: str) -> bytes | None:
        """The value that was put last by any broker; by this one, while there is trouble."""
        if self._breaker.is_pausing:
            return await self._own.get(key)
        try:
            raw = await self._values.find(self._name("token", key))
        except _UnreachableError:
            return await self._own.get(key)
        value = None if raw is None else self._open(key, raw)
        # A drop may not have reached the server.
        return None if value is not None and value == await self._dropped.get(key) else value

    async def put(self, key: str, value: bytes, seconds: float) -> None:
        """Keep `value` for so long, in place of another one."""
        await self._own.put(key, value, seconds)
        await self._dropped.drop(key, value)
        name, milliseconds = self._name("token", key), int(seconds * 1000)
        if milliseconds <= 0:
            await self._try("DEL", name)
            return
        sealed = self._cipher.encrypt(self._digest(key) + value)
        await self._try("SET", name, sealed, "PX", milliseconds)

    async def drop(self, key: str, value: bytes) -> None:
        """Forget `value`, unless it has been replaced in the meantime."""
        await self._own.drop(key, value)
        await self._dropped.put(key, value, _KEPT_SECONDS)
        name = self._name("token", key)
        raw = await self._try("GET", name)
        if isinstance(raw, bytes) and self._open(key, raw) == value:
            await self._delete_if_same(name, raw)

    async def lead(self, key: str, seconds: float) -> Lead | None:
        """The right to mint, for `seconds` at most. In trouble everybody has it."""
        name, mark = self._name("lead", key), secrets.token_bytes(16)
        milliseconds = max(1, int(seconds * 1000))
        try:
            is_first = await self._ask("SET", name, mark, "NX", "PX", milliseconds)
        except _UnreachableError:
            return OwnLead()
        return _SharedLead(self, name, mark) if is_first else None

    def size(self) -> None:
        """Not known: the server may hold other people's values too."""

    async def ping(self) -> None:
        """Try the server, so that `last_trouble` is of now."""
        await self._try("PING")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._own.aclose()
        try:
            await within(ANSWER_SECONDS, self._client.aclose(close_connection_pool=True))
        except Exception:  # noqa: BLE001 - nobody needs it any more
            return

    async def _delete_if_same(self, name: str, raw: bytes) -> None:
        await self._try("EVAL", _DELETE_IF_SAME, 1, name, raw)

    async def _fetch(self, names: Sequence[str]) -> Mapping[str, bytes]:
        values = await self._ask("MGET", *names)
        found = zip(names, values, strict=True)
        return {name: value for name, value in found if isinstance(value, bytes)}

    async def _try(self, *command: str | bytes | int) -> Any:
        try:
            return await self._ask(*command)
        except _UnreachableError:
            return None

    async def _ask(self, *command: str | bytes | int) -> Any:
        if not self._breaker.allows():
            raise _UnreachableError
        try:
            execute: Callable[..., Coroutine[Any, Any, Any]] = self._client.execute_command
            answer = await within(ANSWER_SECONDS, execute(*command))
        except Exception as error:  # noqa: BLE001 - a cache must not fail a vend, whatever it is
            self._breaker.failed(_trouble(error))
            raise _UnreachableError from None
        self._breaker.succeeded()
        return answer

    def _open(self, key: str, raw: bytes) -> bytes | None:
        """The value, None for what was not put for this very key by a broker with our key.

        A server that mixes up answers or entries must not hand out another workspace's token.
        """
        try:
            sealed = self._cipher.decrypt(raw)
        except StoreError:
            return None
        digest, value = sealed[:_DIGEST_BYTES], sealed[_DIGEST_BYTES:]
        return value if hmac.compare_digest(digest, self._digest(key)) else None

    def _digest(self, key: str) -> bytes:
        return self._cipher.digest(b"cache\0" + key.encode())

    def _name(self, kind: str, key: str) -> str:
        return f"git-credential-relay:{kind}:{self._digest(key).hex()}"


class _SharedLead:
    def __init__(self, cache: ValkeyCache, name: str, mark: bytes) -> None:
        self._cache = cache
        self._name = name
        self._mark = mark

    async def release(self) -> None:
        """Only if it is ours still: its time may be over, and another one's may have begun."""
        await self._cache._delete_if_same(self._name, self._mark)


class _UnreachableError(Exception):
    """The server is in trouble, or is being left alone because it was."""


def open_valkey(url: str, cipher: Cipher, now: Callable[[], float] = time.monotonic) -> ValkeyCache:
    """A cache on the server at `url`, not connected yet.

    Raises ConfigError for a URL that names none, in words without the URL: it may hold a password.
    """
    try:
        options: dict[str, Any] = {"max_connections": CONNECTIONS, **parse_url(url)}
        if options.get("connection_class") is SSLConnection:
            options.setdefault("ssl_check_hostname", True)  # the library's default is not to
        pool = BlockingConnectionPool(**options)
        make: Callable[[], object] = pool.make_connection
        make()  # for its look at the options
    except (TypeError, ValueError):
        raise ConfigError(
            "the cache's URL is not one of Valkey or Redis",
            hint="valkey://host:6379/0, rediss://:password@host:6380/0 or unix:///path",
        ) from None
    return ValkeyCache(Valkey.from_pool(pool), cipher, now)


def _trouble(error: Exception) -> str:
    """What is wrong, in our own words: the library's may name hosts, and more."""
    match error:
        case TimeoutError() | ServerTimeoutError():
            return "no answer in time"
        case AuthenticationError():
            return "the password is not accepted"
        case ServerConnectionError() | OSError():
            is_tls = "certificate verify failed" in str(error)
            return "its certificate is not accepted" if is_tls else "no connection"
        case _:
            return f"it refuses: {type(error).__name__}"
