"""Requests to a forge: one pooled client each, bounded in time and size, with one retry rule.

The owner of httpx2 and tenacity on this side; their exceptions are translated here. What an
answer means, each source knows for its forge.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx2
from tenacity import AsyncRetrying, RetryCallState

from git_credential_relay import __version__
from git_credential_relay.broker.authorities import client_context
from git_credential_relay.broker.errors import ForgeRefusedError, ForgeUnavailableError
from git_credential_relay.secret import printable, redact

CONNECT_SECONDS = 3.0
ATTEMPT_SECONDS = 5.0
MAX_BODY = 1024 * 1024
MAX_CONNECTIONS = 100  # GitHub's own limit on concurrent requests
ATTEMPTS = 3
FIRST_WAIT = 0.5  # seconds; then 1

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ForgeAnswer:
    """What the forge said; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON, or None where it is none (a proxy's page, GitLab's plain 429)."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def text(self, limit: int = 300) -> str:
        """The body as one safe line, for the audit and the log."""
        return printable(redact(self.body[: 4 * limit].decode(errors="replace")), limit)

    def retry_after(self, now: float) -> float | None:
        """Seconds that Retry-After asks for, a number or a date; None without one."""
        text = self.headers.get("retry-after", "").strip()
        if text.isascii() and text.isdigit():
            return float(text[:9])
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - now) if text else None
        except (ValueError, OverflowError):
            return None


@dataclass(frozen=True, slots=True)
class _Broken:
    """No answer. `was_sent`: the forge may have acted on the request all the same."""

    was_sent: bool
    error: ForgeUnavailableError


Wait = Callable[[ForgeAnswer], float | None]
"""Seconds after which trying the same again may help; None where the answer is final."""


def never(answer: ForgeAnswer) -> float | None:
    """No answer is tried again."""
    return None


class ForgeClient:
    """Sends to one forge. Redirects are never followed: the secret would go along.

    `attempt_seconds` is how long one attempt waits for its answer. `observe` sees every answer
    (rate limits), `on_retry` every wait. `now` is Unix time.
    """

    def __init__(
        self,
        api_url: str,
        *,
        ca_file: str | None = None,
        attempt_seconds: float = ATTEMPT_SECONDS,
        now: Callable[[], float] = time.time,
        sleep: Sleep = asyncio.sleep,
        observe: Callable[[ForgeAnswer], None] = lambda answer: None,
        on_retry: Callable[[], None] = lambda: None,
    ) -> None:
        self.api_url = api_url.rstrip("/")
        self.now = now
        self._attempt_seconds = attempt_seconds
        self._sleep = sleep
        self._observe = observe
        self._on_retry = on_retry
        self._client = httpx2.AsyncClient(
            verify=client_context(api_url, ca_file),
            timeout=httpx2.Timeout(attempt_seconds, connect=CONNECT_SECONDS),
            limits=httpx2.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=20),
            follow_redirects=False,
            # A forge's session would vouch for a request whose own token is no good.
            cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
            headers={"User-Agent": f"git-credential-relay/{__version__}"},
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def send(
        self,
        method: str,
        path: str,
        *,
        deadline: float,
        headers: Mapping[str, str] | None = None,
        json_body: object = None,
        form: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        retries_after_send: bool = False,
        wait: Wait = never,
    ) -> ForgeAnswer:
        """The forge's answer, whatever its status.

        `path` counts from the API's address; a whole URL is taken as it is. Tried again, up to
        three attempts within `deadline` (time.monotonic()): what broke before anything was
        sent; what broke later only with `retries_after_send`; and answers for which `wait`
        gives a number of seconds that fits. Raises ForgeUnavailableError without an answer.
        """
        url = path if "://" in path else self.api_url + path

        async def attempt() -> ForgeAnswer | _Broken:
            request = self._client.build_request(
                method,
                url,
                headers=dict(headers or {}),
                json=json_body,
                data=dict(form) if form is not None else None,
                params=dict(params) if params is not None else None,
            )
            return await self._attempt(request, deadline)

        def seconds(state: RetryCallState) -> float | None:
            result = state.outcome.result() if state.outcome else None
            if isinstance(result, _Broken):
                may = not result.was_sent or retries_after_send
                return backoff(state.attempt_number) if may else None
            return wait(result) if isinstance(result, ForgeAnswer) else None

        def stop(state: RetryCallState) -> bool:
            room = deadline - time.monotonic()
            return state.attempt_number >= ATTEMPTS or state.upcoming_sleep > room - 0.2

        def last(state: RetryCallState) -> ForgeAnswer | _Broken:
            assert state.outcome is not None  # noqa: S101 - for the type checker
            result: ForgeAnswer | _Broken = state.outcome.result()
            return result

        retrying = AsyncRetrying(
            retry=lambda state: seconds(state) is not None,
            wait=lambda state: seconds(state) or 0.0,
            stop=stop,
            sleep=self._sleep,
            before_sleep=lambda state: self._on_retry(),
            retry_error_callback=last,
        )
        result: ForgeAnswer | _Broken = await retrying(attempt)
        if isinstance(result, _Broken):
            raise result.error
        return result

    async def _attempt(self, request: httpx2.Request, deadline: float) -> ForgeAnswer | _Broken:
        seconds = min(deadline - time.monotonic(), CONNECT_SECONDS + self._attempt_seconds)
        was_sent = True
        try:
            # A timeout over all: a forge that drips a byte now and then heeds no other.
            async with asyncio.timeout(max(seconds, 0.0)):
                response = await self._client.send(request, stream=True)
                try:
                    body = b""
                    async for chunk in response.aiter_bytes():
                        body += chunk
                        if len(body) > MAX_BODY:
                            return _Broken(True, _unavailable("its answer is too long"))
                finally:
                    await response.aclose()
        except TimeoutError:
            return _Broken(True, _unavailable("no answer in time"))
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            if _is_tls(error):
                # Somebody may be in between: never tried again.
                raise ForgeRefusedError(
                    "no trusted TLS connection to the forge",
                    code="FORGE_TLS",
                    hint="set ca_file where a company's own authority signs",
                    reason=str(error),
                ) from error
            was_sent = not isinstance(
                error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout
            )
            return _Broken(was_sent, _unavailable(type(error).__name__))
        answer = ForgeAnswer(
            response.status_code,
            {name.lower(): value for name, value in response.headers.items()},
            body,
        )
        self._observe(answer)
        return answer


def in_trouble(answer: ForgeAnswer, now: float) -> ForgeUnavailableError:
    """The error for a forge that answered 5xx or 429."""
    after = answer.retry_after(now)
    return ForgeUnavailableError(
        f"the forge is in trouble (HTTP {answer.status})"
        if answer.status >= 500
        else f"the forge has had too many requests (HTTP {answer.status})",
        retry_after=after,
        reason=answer.text(),
    )


def backoff(attempt: int) -> float:
    """Seconds to wait after the `attempt`-th failure; jitter keeps replicas apart."""
    return float(FIRST_WAIT * 2 ** (attempt - 1) * random.uniform(0.8, 1.2))  # noqa: S311


def _unavailable(cause: str) -> ForgeUnavailableError:
    return ForgeUnavailableError(
        f"the forge cannot be reached: {cause}", hint="check the broker's network and api_url"
    )


def _is_tls(error: BaseException) -> bool:
    link: BaseException | None = error
    seen: list[BaseException] = []
    while link is not None and link not in seen:
        if isinstance(link, ssl.SSLError) and not isinstance(
            link, ssl.SSLEOFError | ssl.SSLZeroReturnError
        ):
            return True
        seen.append(link)
        link = link.__cause__ or link.__context__
    return False
