"""Connections to forges that are kept for the next request, one pool per way of reaching them."""

from __future__ import annotations

import os
import ssl
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2

from git_credential_relay.config import Config
from git_credential_relay.relay.client.http import find_proxy, tls_context

MAX_POOLS = 8
MAX_KEPT = 20
# A forge closes idle connections after about a minute; ours are gone before.
KEPT_SECONDS = 20.0

_Key = tuple[object, ...]


class _Pool:
    __slots__ = ("transport", "users")

    def __init__(self, transport: httpx2.AsyncHTTPTransport) -> None:
        self.transport = transport
        self.users = 0


class Pools:
    """A pool for each set of authorities and proxy; those of former configurations end."""

    def __init__(self) -> None:
        self._pools: OrderedDict[_Key, _Pool] = OrderedDict()
        self._contexts: OrderedDict[_Key, ssl.SSLContext] = OrderedDict()

    @asynccontextmanager
    async def use(self, config: Config, url: str) -> AsyncIterator[httpx2.AsyncHTTPTransport]:
        """The transport for `url`, kept open for that long. Raises ConfigError."""
        proxy = find_proxy(config, url)
        via = (str(proxy.url), proxy.raw_auth) if proxy is not None else None
        key = (*_authorities(config, url), via)
        if key not in self._pools:
            limits = httpx2.Limits(
                # Clients are counted already; to wait for a connection would only hide that.
                max_connections=None,
                max_keepalive_connections=MAX_KEPT,
                keepalive_expiry=KEPT_SECONDS,
            )
            self._pools[key] = _Pool(self.build(config, url, proxy, limits))
        self._pools.move_to_end(key)
        pool = self._pools[key]
        pool.users += 1
        try:
            await self._trim()
            yield pool.transport
        finally:
            pool.users -= 1

    def build(
        self, config: Config, url: str, proxy: httpx2.Proxy | None, limits: httpx2.Limits
    ) -> httpx2.AsyncHTTPTransport:
        """A transport for `url` by `config`. Raises ConfigError."""
        return httpx2.AsyncHTTPTransport(
            verify=self._context(config, url), proxy=proxy, limits=limits, trust_env=False
        )

    async def close(self) -> None:
        """Give all connections back."""
        while self._pools:
            _, pool = self._pools.popitem()
            await pool.transport.aclose()

    def _context(self, config: Config, url: str) -> ssl.SSLContext:
        # To load the system's authorities takes some 50 ms, in which nobody is served.
        key = _authorities(config, url)
        if key not in self._contexts:
            self._contexts[key] = tls_context(config, url)
            while len(self._contexts) > MAX_POOLS:
                self._contexts.popitem(last=False)
        return self._contexts[key]

    async def _trim(self) -> None:
        idle = [key for key, pool in self._pools.items() if not pool.users]
        for key in idle[: max(0, len(self._pools) - MAX_POOLS)]:
            await self._pools.pop(key).transport.aclose()


def _authorities(config: Config, url: str) -> _Key:
    """Changes when the file does, so that new authorities count at once."""
    try:
        stamp = os.stat(config.ca_file).st_mtime_ns if config.ca_file else None
    except OSError:
        stamp = None
    return (url.startswith("http://"), config.ca_file, stamp)
