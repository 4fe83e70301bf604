"""The way out: one request to a forge, or to where it redirected, streamed both ways.

httpx2's transport and not its client: the client would keep cookies, follow what it is sent, and
add headers of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2

from git_credential_relay.config import Config
from git_credential_relay.relay.client.http import find_proxy, trouble_of
from git_credential_relay.relay.client.outcome import Trouble
from git_credential_relay.relay.sidecar.api_proxy.addresses import (
    Resolve,
    check_name,
    public_addresses,
    split_port,
)
from git_credential_relay.relay.sidecar.api_proxy.bounds import Bounds
from git_credential_relay.relay.sidecar.api_proxy.head import Headers
from git_credential_relay.relay.sidecar.api_proxy.pools import Pools
from git_credential_relay.relay.sidecar.api_proxy.refusal import UpstreamError

_WORDS = {
    Trouble.DNS: "its name cannot be resolved",
    Trouble.CONNECT: "no connection",
    Trouble.TLS: "its certificate is not accepted",
    Trouble.PROXY: "the proxy refused or is away",
    Trouble.TIMEOUT: "no answer in time",
}


class Call:
    """One request to send: `host` is whose it is, `target` goes out byte for byte."""

    __slots__ = ("body", "headers", "host", "method", "scheme", "target")

    def __init__(
        self,
        method: str,
        scheme: str,
        host: str,
        target: str,
        headers: Headers,
        body: AsyncIterator[bytes],
    ) -> None:
        self.method = method
        self.scheme = scheme
        self.host = host
        self.target = target
        self.headers = headers
        self.body = body


class Answer:
    """An answer whose body has not been read yet; its bytes are the forge's own, encoded or not."""

    def __init__(self, response: httpx2.Response, host: str) -> None:
        self.status = response.status_code
        self.reason: bytes = response.extensions.get("reason_phrase", b"")
        self.headers: Headers = list(response.headers.raw)
        self._stream = response.stream
        self._host = host

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises UpstreamError when it breaks."""
        assert isinstance(self._stream, httpx2.AsyncByteStream)  # noqa: S101 - an async transport's
        try:
            async for piece in self._stream:
                yield piece
        except (httpx2.HTTPError, OSError) as error:
            raise _failure(self._host, error) from None


class _Body(httpx2.AsyncByteStream):
    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._pieces:
            yield piece


class Upstreams:
    """Sends calls, over connections that those of one configuration share."""

    def __init__(self, bounds: Bounds, resolve: Resolve) -> None:
        self._bounds = bounds
        self._resolve = resolve
        self._pools = Pools()

    @asynccontextmanager
    async def send(self, config: Config, call: Call) -> AsyncIterator[Answer]:
        """The answer to `call` from a forge. Raises UpstreamError, or ConfigError."""
        url = f"{call.scheme}://{call.host}/"
        async with (
            self._pools.use(config, url) as transport,
            _held(await self._open(transport, call, url), call.host) as answer,
        ):
            yield answer

    @asynccontextmanager
    async def send_to_stranger(self, config: Config, call: Call) -> AsyncIterator[Answer]:
        """The answer to `call`, without a body, from where a redirect led.

        Over a connection of its own: shared ones go by address, and two strangers may have one.
        Raises ForeignUrlError as well.
        """
        url = f"https://{call.host}/"
        proxy = find_proxy(config, url)
        async with self._pools.build(config, url, proxy, httpx2.Limits()) as transport:
            if proxy is not None:
                check_name(call.host)
                response = await self._open(transport, call, url)
            else:
                response = await self._open_public(transport, call)
            async with _held(response, call.host) as answer:
                yield answer

    async def close(self) -> None:
        """Give all connections back."""
        await self._pools.close()

    async def _open_public(
        self, transport: httpx2.AsyncHTTPTransport, call: Call
    ) -> httpx2.Response:
        name, port = split_port(call.host)
        addresses = await public_addresses(call.host, self._resolve, self._bounds.connect_seconds)
        for address in addresses[:-1]:
            try:
                return await self._open(transport, call, _url(address, port), name)
            except UpstreamError as error:
                if not isinstance(error.__cause__, (httpx2.ConnectError, httpx2.ConnectTimeout)):
                    raise
        return await self._open(transport, call, _url(addresses[-1], port), name)

    async def _open(
        self,
        transport: httpx2.AsyncHTTPTransport,
        call: Call,
        url: str,
        name: str | None = None,
    ) -> httpx2.Response:
        """The answer's head; `name` is whom the certificate must be for where `url` has none."""
        bounds = self._bounds
        extensions: dict[str, object] = {
            "target": call.target.encode("ascii"),
            "timeout": {
                "connect": bounds.connect_seconds,
                "pool": bounds.connect_seconds,
                "read": bounds.upstream_seconds,
                "write": bounds.write_seconds,
            },
        }
        if name is not None:
            extensions["sni_hostname"] = name
        body = _Body(call.body)
        try:
            request = httpx2.Request(
                call.method, url, headers=call.headers, stream=body, extensions=extensions
            )
            response = await transport.handle_async_request(request)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise _failure(call.host, error) from error
        if response.status_code < 200:
            await response.aclose()
            raise UpstreamError(f"{call.host} changes the protocol", retryable=False)
        return response


@asynccontextmanager
async def _held(response: httpx2.Response, host: str) -> AsyncIterator[Answer]:
    try:
        yield Answer(response, host)
    finally:
        await response.aclose()


async def pieces_of(body: bytes) -> AsyncIterator[bytes]:
    """A body that is at hand, as one that arrives."""
    if body:
        yield body


def _failure(host: str, error: Exception) -> UpstreamError:
    # Not the library's words: they may quote a header, and one of them is the token.
    words = _WORDS.get(trouble_of(error), "the connection broke")
    return UpstreamError(f"{host} cannot be asked: {words}")


def _url(address: str, port: int) -> str:
    return f"https://[{address}]:{port}/" if ":" in address else f"https://{address}:{port}/"
