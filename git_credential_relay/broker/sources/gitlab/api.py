"""Calls of GitLab's API with one token, tried again as its contract allows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from git_credential_relay.broker.config.load import BrokerConfig, ForgeEntry
from git_credential_relay.broker.sources.gitlab.causes import error_of, rate_limit_seconds
from git_credential_relay.broker.sources.hooks import SourceHooks
from git_credential_relay.broker.sources.http import ForgeAnswer, ForgeClient, backoff
from git_credential_relay.secret import Secret

PAGE = 100
MAX_PAGES = 100
# The gateway may have given up on a request that GitLab acted on.
AMBIGUOUS = frozenset({502, 503, 504})
_READ_AGAIN = AMBIGUOUS | {500}


class GitLabApi:
    """`token` is asked for each call, so that a token in a file may be rotated."""

    def __init__(self, client: ForgeClient, token: Callable[[], Secret]) -> None:
        self._client = client
        self._token = token
        self.now = client.now

    async def get(
        self,
        path: str,
        deadline: float,
        *,
        params: Mapping[str, str] | None = None,
        token: Secret | None = None,
    ) -> ForgeAnswer:
        """The answer to a GET, with another token than ours where one is given."""
        return await self._client.send(
            "GET",
            path,
            deadline=deadline,
            headers=self._headers(token),
            params=params,
            retries_after_send=True,
            wait=self._wait_to_repeat,
        )

    async def post(
        self, path: str, body: Mapping[str, Any], deadline: float
    ) -> tuple[ForgeAnswer, bool]:
        """The answer to a POST, and whether an attempt before it may have worked as well.

        Not tried again once sent, unless a gateway says that GitLab did not answer.
        """
        ambiguous = []

        def wait(answer: ForgeAnswer) -> float | None:
            if answer.status in AMBIGUOUS:
                ambiguous.append(answer.status)
                return backoff(1)
            return self._rate_limit(answer)

        answer = await self._client.send(
            "POST",
            path,
            deadline=deadline,
            headers=self._headers(None),
            json_body=body,
            wait=wait,
        )
        return answer, bool(ambiguous)

    async def delete(self, path: str, deadline: float) -> None:
        """Delete what is there; what is gone already is no error. Raises ForgeError."""
        answer = await self._client.send(
            "DELETE",
            path,
            deadline=deadline,
            headers=self._headers(None),
            retries_after_send=True,
            wait=self._wait_to_repeat,
        )
        if answer.status not in (204, 404):
            raise error_of(answer, self.now())

    async def pages(
        self, path: str, deadline: float, params: Mapping[str, str]
    ) -> AsyncIterator[Mapping[str, Any]]:
        """Every entry of a list. A list that is not there has none. Raises ForgeError."""
        page = "1"
        for _ in range(MAX_PAGES):
            answer = await self.get(
                path, deadline, params={**params, "per_page": str(PAGE), "page": page}
            )
            if answer.status == 404:
                return
            entries = answer.json()
            if answer.status != 200 or not isinstance(entries, list):
                raise error_of(answer, self.now())
            for entry in entries:
                if isinstance(entry, dict):
                    yield entry
            page = answer.headers.get("x-next-page", "")
            if not page.isascii() or not page.isdigit():
                return

    def _headers(self, token: Secret | None) -> dict[str, str]:
        return {"Authorization": f"Bearer {(token or self._token()).reveal()}"}

    def _wait_to_repeat(self, answer: ForgeAnswer) -> float | None:
        return backoff(1) if answer.status in _READ_AGAIN else self._rate_limit(answer)

    def _rate_limit(self, answer: ForgeAnswer) -> float | None:
        return rate_limit_seconds(answer, self.now()) if answer.status == 429 else None


def client_of(entry: ForgeEntry, config: BrokerConfig, hooks: SourceHooks) -> ForgeClient:
    """The forge's one client, which tells the hooks of rate limits and retries."""

    def observe(answer: ForgeAnswer) -> None:
        remaining = answer.headers.get("ratelimit-remaining", "")
        if remaining.isascii() and remaining.isdigit():
            hooks.on_rate_limit(entry.name, int(remaining[:9]))

    ca_file = entry.model.ca_file
    return ForgeClient(
        entry.api_url,
        ca_file=str(config.resolve(ca_file)) if ca_file else None,
        now=hooks.now,
        sleep=hooks.sleep,
        observe=observe,
        on_retry=lambda: hooks.on_retry(entry.name),
    )
