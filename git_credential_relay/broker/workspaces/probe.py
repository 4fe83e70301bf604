"""Trying a user's own token at its forge: the question git itself asks before it pushes."""

from __future__ import annotations

import asyncio
from typing import Protocol

import httpx2

from git_credential_relay import __version__
from git_credential_relay.broker.authorities import client_context
from git_credential_relay.broker.errors import (
    ForgeError,
    ForgeRefusedError,
    ForgeUnavailableError,
)
from git_credential_relay.credential.forge import Forge
from git_credential_relay.secret import Secret

PROBE_SECONDS = 10.0
PUSH, FETCH = "git-receive-pack", "git-upload-pack"


class Probe(Protocol):
    """Finds out whether a token is good for a repository."""

    async def __call__(
        self,
        forge: Forge,
        repository: str,
        username: str,
        token: Secret,
        *,
        service: str,
        ca_file: str | None,
    ) -> None:
        """Return if git could do it. Raises ForgeError saying why not."""
        ...


async def probe_repository(
    forge: Forge,
    repository: str,
    username: str,
    token: Secret,
    *,
    service: str = PUSH,
    ca_file: str | None = None,
) -> None:
    """Ask for the references, as git would. Raises ForgeError.

    Only the head of the answer is read: what a forge lists can be many megabytes. Redirects are
    not followed, or the token would go along.
    """
    url = f"{forge.url}/{repository}.git/info/refs"
    try:
        async with (
            asyncio.timeout(PROBE_SECONDS),
            httpx2.AsyncClient(
                verify=client_context(forge.url, ca_file),
                timeout=PROBE_SECONDS,
                follow_redirects=False,
                trust_env=True,
                headers={"User-Agent": f"git/2 git-credential-relay/{__version__}"},
            ) as client,
            client.stream(
                "GET", url, params={"service": service}, auth=(username, token.reveal())
            ) as response,
        ):
            status = response.status_code
            kind = response.headers.get("content-type", "")
    except (TimeoutError, httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        raise ForgeUnavailableError(
            f"{forge.host} cannot be reached to try the token",
            hint="check the broker's network",
            reason=type(error).__name__,
        ) from error
    # A log-in page is a 200 too.
    if status != 200 or kind.partition(";")[0].strip() != f"application/x-{service}-advertisement":
        raise _refusal(forge, repository, status, service)


def _refusal(forge: Forge, repository: str, status: int, service: str) -> ForgeError:
    if status >= 500 or status == 429:
        return ForgeUnavailableError(f"{forge.host} is in trouble (HTTP {status})")
    if status == 401:
        return ForgeRefusedError(
            f"{forge.host} does not accept the token",
            code="FORGE_TOKEN_REJECTED",
            hint="make a new one; check username too",
        )
    if status == 403:
        return ForgeRefusedError(
            f"the token may not {'push to' if service == PUSH else 'read'} {repository}",
            code="FORGE_PERMISSION_NOT_GRANTED",
            hint="give one that may, or a grant with contents = read",
        )
    if status == 404:
        return ForgeRefusedError(
            f"the token reaches no repository {repository} at {forge.host}",
            code="FORGE_REPOSITORY_NOT_FOUND",
            hint="check the name, and what the token was made for",
        )
    if 300 <= status < 400:
        return ForgeRefusedError(
            f"{repository} has moved",
            code="FORGE_REPOSITORY_RENAMED",
            hint="give the URL it has now",
        )
    return ForgeRefusedError(
        f"{forge.host} does not answer as a git server does (HTTP {status})",
        hint="check the URL; there may be a log-in page in front",
    )
