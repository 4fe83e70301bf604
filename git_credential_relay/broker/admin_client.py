"""A client of the admin API, for the command line. Needs none of the broker's own libraries."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx2

from git_credential_relay import __version__
from git_credential_relay.broker.authorities import client_context
from git_credential_relay.credential.url import is_loopback, split_url
from git_credential_relay.errors import (
    ApiError,
    ConfigError,
    DeniedError,
    MalformedResponseError,
    NotFoundError,
    ProtocolError,
    RateLimitedError,
    RelayError,
    TlsError,
    TransportError,
    UnauthenticatedError,
    UnavailableError,
)
from git_credential_relay.secret import Secret

PATH = "/api/workspaces"
# Verifying many repositories takes the broker as long as a request may take there.
SECONDS = 40.0
MAX_BODY = 16 * 1024 * 1024

_ERRORS: Mapping[int, type[ApiError]] = {
    401: UnauthenticatedError,
    403: DeniedError,
    404: NotFoundError,
    429: RateLimitedError,
}


class AdminClient:
    """Calls the admin API of one broker. Nothing is tried twice: a creation counts once.

    Raises ConfigError for an address that the secret must not be sent to.
    """

    def __init__(
        self, url: str, secret: Secret, *, allow_http: bool = False, ca_file: str | None = None
    ) -> None:
        try:
            scheme, host, path = split_url(url)
        except ProtocolError as error:
            raise ConfigError(f"--url: {error.message}", code="usage") from error
        if scheme == "http" and not (is_loopback(host) or allow_http):
            raise ConfigError(
                "plain http to another machine would show the admin's secret on the way",
                code="usage",
                hint="use https, or set GIT_CREDENTIAL_RELAY_ALLOW_HTTP=1",
            )
        self.url = f"{scheme}://{host}" + (f"/{path}" if path else "")
        self._client = httpx2.Client(
            verify=client_context(self.url, ca_file),
            timeout=SECONDS,
            follow_redirects=False,
            # A proxy would read along what is not encrypted.
            trust_env=scheme == "https",
            headers={
                "Authorization": f"Bearer {secret.reveal()}",
                "Accept": "application/json",
                "User-Agent": f"git-credential-relay/{__version__}",
            },
        )

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def create(self, body: Mapping[str, object]) -> dict[str, Any]:
        """Make a workspace; the answer holds its secret. Raises RelayError, as all of these."""
        return self._call("POST", "", body)

    def show(self, id: str) -> dict[str, Any]:
        """One workspace."""
        return self._call("GET", _path(id))

    def list(self) -> list[dict[str, Any]]:
        """All workspaces, page by page."""
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            page = self._call("GET", "", query={"limit": "200", "after": after} if after else None)
            found += page["workspaces"]
            if not page["next"] or page["next"] == after:
                return found
            after = page["next"]

    def rotate(self, id: str, overlap_seconds: int | None) -> dict[str, Any]:
        """A new secret for a workspace."""
        body = {} if overlap_seconds is None else {"overlapSeconds": overlap_seconds}
        return self._call("POST", _path(id) + "/rotate", body)

    def delete(self, id: str) -> dict[str, Any]:
        """Delete a workspace; how many live tokens that ended."""
        return self._call("DELETE", _path(id))

    def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        try:
            response = self._client.request(
                method, f"{self.url}{PATH}{path}", json=body, params=query
            )
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise _unreachable(self.url, error) from error
        answer = _parse(response.content)
        if response.is_success:
            if answer is None:
                raise MalformedResponseError(f"{self.url} is no broker: its answer is not JSON")
            return answer
        raise _refusal(response.status_code, answer or {}, self.url)


def _path(id: str) -> str:
    return "/" + quote(id, safe="")


def _parse(content: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(content) if len(content) <= MAX_BODY else None
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def _refusal(status: int, answer: Mapping[str, Any], url: str) -> ApiError:
    kind = _ERRORS.get(status, UnavailableError if status >= 500 else ApiError)
    if "code" not in answer:
        return kind(f"{url} answered HTTP {status}", hint="check --url")
    retryable = answer.get("retryable")
    hint = answer.get("hint")
    if status == 401:
        hint = "check the admin's secret; the broker's audit log has the reason"
    return kind(
        str(answer.get("error") or f"HTTP {status}"),
        code=str(answer["code"]),
        hint=None if hint is None else str(hint),
        retryable=retryable if isinstance(retryable, bool) else None,
    )


def _unreachable(url: str, error: Exception) -> RelayError:
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, ssl.SSLError):
            return TlsError(
                f"the certificate of {url} is not accepted",
                hint="set GIT_CREDENTIAL_RELAY_CA_FILE where a company's own authority signs",
            )
        link = link.__cause__ or link.__context__
    return TransportError(
        f"no answer from {url} ({type(error).__name__})",
        code="broker-unreachable",
        hint="is `broker serve` running there? name it with --url",
    )
