"""One request and its answer with the client, in HTTP/1.1. The owner of h11's server side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import h11

from git_credential_relay.errors import RelayError
from git_credential_relay.relay.sidecar.api_proxy.bounds import MAX_HEAD, Bounds
from git_credential_relay.relay.sidecar.api_proxy.client import Client, ClientGoneError
from git_credential_relay.relay.sidecar.api_proxy.head import Headers, RequestHead
from git_credential_relay.relay.sidecar.api_proxy.refusal import (
    BadRequestError,
    error_body,
    error_headers,
    reason_of,
    status_of,
)


class Dialogue:
    """Begins with the bytes of a head and what came after them.

    `is_answered` tells that the answer has begun. Raises BadRequestError.
    """

    def __init__(
        self,
        client: Client,
        bounds: Bounds,
        head: bytes,
        rest: bytes,
        is_ending: Callable[[], bool],
    ) -> None:
        self._client = client
        self._bounds = bounds
        self._is_ending = is_ending
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self._http.receive_data(head + rest)
        self.is_answered = False
        request = self._event()
        if not isinstance(request, h11.Request):
            raise BadRequestError("this is not a request")
        self.head = RequestHead(request)

    @property
    def goes_on(self) -> bool:
        """Whether all has been read and said, and another request may follow."""
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    async def body(self) -> AsyncIterator[bytes]:
        """The body, piece by piece as it is wanted; from its end on the client is watched.

        Raises BadRequestError and ClientGoneError.
        """
        if self._http.they_are_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")
            await self._client.send(self._http.send(go_on))
        while True:
            event = self._event()
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif event is h11.NEED_DATA:
                data = await self._client.receive(self._bounds.body_seconds)
                if not data:
                    raise ClientGoneError
                self._http.receive_data(data)
            else:
                self._watch()
                return

    async def start(self, status: int, reason: bytes, headers: Headers) -> None:
        """Send the answer's head."""
        if self._is_ending():
            headers = [*headers, (b"Connection", b"close")]
        answer = h11.Response(status_code=status, reason=reason, headers=headers)
        data = self._http.send(answer)
        self.is_answered = True
        await self._client.send(data)

    async def send(self, piece: bytes) -> None:
        """Send a piece of the answer's body."""
        if piece:
            await self._client.send(self._http.send(h11.Data(data=piece)))

    async def end(self) -> None:
        """Say that the answer is complete, and keep what the client has sent since."""
        await self._client.send(self._http.send(h11.EndOfMessage()))
        if self.goes_on:
            self._client.keep(self._http.trailing_data[0])

    async def fail(self, error: RelayError) -> None:
        """Answer with `error`; the connection ends with it."""
        self.is_answered = True
        await send_error(self._client, error, is_head=self.head.method == "HEAD")

    def _event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        try:
            return self._http.next_event()
        except h11.RemoteProtocolError as error:
            # Not its words: they quote what they object to.
            raise BadRequestError("this is not HTTP/1.1") from error

    def _watch(self) -> None:
        task = asyncio.current_task()
        if task is not None:
            # Nobody wants the answer any more: neither the forge nor our limits should wait.
            self._client.watch(task.cancel)


async def send_error(client: Client, error: RelayError, *, is_head: bool = False) -> None:
    """Answer with `error`, whatever state the request is in."""
    body = error_body(error)
    status = status_of(error)
    lines = [b"HTTP/1.1 %d %s" % (status, reason_of(status))]
    lines += [b"%s: %s" % field for field in error_headers(error, body)]
    await client.send(b"\r\n".join(lines) + b"\r\n\r\n" + (b"" if is_head else body))
