"""Reading a request's body; how much of it there may be, the layer around the routes says."""

from __future__ import annotations

from starlette.types import Receive

from git_credential_relay.broker.errors import BadRequestError


async def read_body(receive: Receive) -> bytes:
    """All of the body. Raises BadRequestError when the client hangs up within."""
    chunks = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequestError("the body ended early")
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(chunks)
