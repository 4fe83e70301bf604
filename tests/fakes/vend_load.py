"""Many requests for a token at once, over raw connections to one broker or several."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """The answer to one request; `token` is None for a refusal or a broken connection."""

    status: int
    token: str | None
    code: str | None = None


async def ask(port: int, query: str, secret: str, headers: str = "") -> Outcome:
    """The answer to one request on a connection of its own."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return Outcome(0, None)
    writer.write(
        f"GET /api/git/token?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        f"Authorization: Bearer {secret}\r\n{headers}\r\n".encode()
    )
    try:
        answer = await reader.read()
    except OSError:
        return Outcome(0, None)
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    try:
        data = json.loads(body)
    except ValueError:  # cut off by the broker's end
        return Outcome(0, None)
    return Outcome(int(head.split()[1]), data.get("token"), data.get("code"))


def ask_at_once(
    ports: Sequence[int], count: int, query: str, secret: str, headers: str = ""
) -> list[Outcome]:
    """`count` answers to the same question, asked of the ports in turn at the same time."""

    async def everybody() -> list[Outcome]:
        return await asyncio.gather(
            *(ask(ports[n % len(ports)], query, secret, headers) for n in range(count))
        )

    return asyncio.run(everybody())
