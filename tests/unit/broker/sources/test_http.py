"""What every request to a forge has in common."""

from __future__ import annotations

import asyncio
import time

from git_credential_relay.broker.sources.http import ForgeClient
from git_credential_relay.demo.forge import ApiAnswer, ApiRequest, PlaygroundForge


def test_no_session_of_the_forges_is_kept():
    """A cookie that answers one token never comes along with another one, and vouches for it."""
    seen: list[str | None] = []

    def api(request: ApiRequest) -> ApiAnswer:
        seen.append(request.headers.get("cookie"))
        return ApiAnswer(200, {}, {"Set-Cookie": "session=administrator; Path=/"})

    async def ask_twice(url: str) -> None:
        client = ForgeClient(url)
        for _ in range(2):
            await client.send("GET", "/user", deadline=time.monotonic() + 5)
        await client.aclose()

    with PlaygroundForge(api=api) as forge:
        asyncio.run(ask_twice(forge.url))

    assert seen == [None, None]
