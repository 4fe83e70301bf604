"""Fetching an issuer's keys: bounded in time and size, and from nowhere it does not vouch for."""

from __future__ import annotations

import asyncio
import json

import httpx2

from git_credential_relay import __version__
from git_credential_relay.broker.authorities import client_context
from git_credential_relay.broker.identity.issuers import Issuer, check_url
from git_credential_relay.errors import ProtocolError

MAX_BODY = 100 * 1024
FETCH_SECONDS = 5.0


class FetchError(Exception):
    """The keys could not be had; the text says why, for the audit and the log."""


class IssuerClient:
    """Asks one issuer for its keys. Raises ConfigError where its `ca_file` cannot be read."""

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer
        self._client = httpx2.AsyncClient(
            verify=client_context(issuer.jwks_uri or issuer.url, issuer.ca_file),
            timeout=FETCH_SECONDS,
            # A redirect could lead to keys of somebody else's, or into our own network.
            follow_redirects=False,
            headers={"User-Agent": f"git-credential-relay/{__version__}"},
        )

    async def fetch_jwks(self) -> bytes:
        """The issuer's key set, as it was sent. Raises FetchError."""
        try:
            # One limit over all: a server that drips a byte now and then heeds no other.
            async with asyncio.timeout(FETCH_SECONDS):
                return await self._fetch(self._issuer.jwks_uri or await self._discover())
        except TimeoutError as error:
            raise FetchError("no answer in time") from error
        except ProtocolError as error:
            raise FetchError(f"its jwks_uri is refused: {error.message}") from error
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise FetchError(f"no answer: {type(error).__name__}") from error

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _discover(self) -> str:
        raw = await self._fetch(self._issuer.discovery_url)
        try:
            document = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise FetchError("its discovery document is not JSON") from error
        if not isinstance(document, dict) or document.get("issuer") != self._issuer.url:
            raise FetchError("its discovery document is another issuer's")
        jwks_uri = document.get("jwks_uri")
        if not isinstance(jwks_uri, str) or check_url(jwks_uri) != self._issuer.host:
            raise FetchError("its keys are at another host; set jwks_uri if that is meant")
        return jwks_uri

    async def _fetch(self, url: str) -> bytes:
        async with self._client.stream("GET", url) as response:
            if response.status_code != 200:
                raise FetchError(f"it answered HTTP {response.status_code}")
            body = b""
            async for chunk in response.aiter_bytes(MAX_BODY):
                body += chunk
                if len(body) > MAX_BODY:
                    raise FetchError(f"it sent more than {MAX_BODY} bytes")
            return body
