"""Requests to GitHub: as the App, with its JWT, and with an installation token."""

from __future__ import annotations

import time

from git_credential_relay.broker.sources.github_app import causes
from git_credential_relay.broker.sources.github_app.app_jwt import AppJwt
from git_credential_relay.broker.sources.github_app.rate_limits import (
    RateLimits,
    is_limited,
    limited,
)
from git_credential_relay.broker.sources.hooks import SourceHooks
from git_credential_relay.broker.sources.http import ForgeAnswer, ForgeClient, backoff, in_trouble
from git_credential_relay.secret import Secret

API_VERSION = "2022-11-28"
_HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": API_VERSION}
_IN_TROUBLE = frozenset({500, 502, 503, 504})
_SPARE_SECONDS = 0.5  # of the deadline, for the request after the wait


class GitHubRequests:
    """Answers of one GitHub API, tried again as its rules allow.

    A mint that was sent twice leaves a token that nobody knows and that expires by itself.
    """

    def __init__(
        self,
        api_url: str,
        app_jwt: AppJwt,
        hooks: SourceHooks,
        name: str,
        ca_file: str | None = None,
    ) -> None:
        self._jwt = app_jwt
        self._now = hooks.now
        self._sleep = hooks.sleep
        # By the forge's clock, in which it says when a limit ends.
        self._limits = RateLimits(app_jwt.forge_now, lambda left: hooks.on_rate_limit(name, left))
        self._client = ForgeClient(
            api_url,
            ca_file=ca_file,
            now=hooks.now,
            sleep=hooks.sleep,
            on_retry=lambda: hooks.on_retry(name),
        )

    @property
    def api_url(self) -> str:
        """The API's address."""
        return self._client.api_url

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def as_app(
        self, method: str, path: str, deadline: float, json_body: object = None
    ) -> ForgeAnswer:
        """The answer to a request of the App's own.

        Raises ForgeUnavailableError where the forge is in trouble or wants longer than until
        `deadline`, and ForgeRefusedError (FORGE_APP_REJECTED) for a key it does not accept.
        """
        await self._wait_out_pause(deadline)
        answer = await self._send(method, path, deadline, json_body)
        if causes.is_about_clock(answer) and self._jwt.set_clock(answer.headers.get("date", "")):
            # Once: what is refused by the forge's own clock will be refused again.
            answer = await self._send(method, path, deadline, json_body)
        if is_limited(answer):
            raise limited(self._limits.pause_seconds(), answer)
        if answer.status >= 500:
            raise in_trouble(answer, self._now())
        return answer

    async def with_token(
        self, method: str, path: str, token: Secret, deadline: float
    ) -> ForgeAnswer:
        """The answer to a request with an installation token, whatever its status.

        Its limits are those of the installation, which agents use up as well: they say nothing
        about the App's own.
        """
        return await self._client.send(
            method,
            path,
            deadline=deadline,
            headers=_headers(token.reveal()),
            retries_after_send=True,
            wait=self._wait_for_token,
        )

    async def _send(
        self, method: str, path: str, deadline: float, json_body: object
    ) -> ForgeAnswer:
        return await self._client.send(
            method,
            path,
            deadline=deadline,
            headers=_headers(self._jwt.get()),
            json_body=json_body,
            retries_after_send=True,
            wait=self._wait_for_app,
        )

    def _wait_for_app(self, answer: ForgeAnswer) -> float | None:
        self._limits.learn(answer)
        return self._limits.pause_seconds() if is_limited(answer) else self._trouble(answer)

    def _wait_for_token(self, answer: ForgeAnswer) -> float | None:
        return None if is_limited(answer) else self._trouble(answer)

    def _trouble(self, answer: ForgeAnswer) -> float | None:
        if answer.status not in _IN_TROUBLE:
            return None
        return max(backoff(1), answer.retry_after(self._now()) or 0.0)

    async def _wait_out_pause(self, deadline: float) -> None:
        seconds = self._limits.pause_seconds()
        if not seconds:
            return
        if seconds > deadline - time.monotonic() - _SPARE_SECONDS:
            raise limited(seconds)
        await self._sleep(seconds)


def _headers(bearer: str) -> dict[str, str]:
    return {**_HEADERS, "Authorization": f"Bearer {bearer}"}
