"""The endpoints of Forgejo that the broker uses, with the retries each of them bears."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

from git_credential_relay.broker.errors import ForgeRefusedError
from git_credential_relay.broker.sources.forgejo.causes import (
    cause_of,
    is_too_old,
    too_old,
    wait_if_idempotent,
    wait_if_refused_unseen,
)
from git_credential_relay.broker.sources.forgejo.tokens import Handle, Listed, parse_list
from git_credential_relay.broker.sources.http import ForgeAnswer, ForgeClient
from git_credential_relay.secret import Secret

PAGE = 50
MAX_PAGES = 1000


class ForgejoApi:
    """Speaks for the user whose tokens are made, or for an administrator.

    `authorization` gives the header's value. Errors are ForgeErrors, as causes.py says.
    """

    def __init__(
        self, client: ForgeClient, user: str, authorization: Callable[[], str], is_admin: bool
    ) -> None:
        self._client = client
        self._user = user
        self._authorization = authorization
        self._is_admin = is_admin

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def create_token(
        self, name: str, scopes: Iterable[str], repositories: Iterable[str], deadline: float
    ) -> ForgeAnswer:
        """The answer to making a token: 201, or 400 perhaps because the name is taken.

        Not tried again once it was sent: nobody knows whether there is a token then.
        """
        pairs = [name.split("/", 1) for name in repositories]
        answer = await self._client.send(
            "POST",
            self._tokens_path(self._user),
            deadline=deadline,
            headers=self._headers(self._authorization()),
            json_body={
                "name": name,
                "scopes": list(scopes),
                "repositories": [
                    {"owner": owner, "name": repository} for owner, repository in pairs
                ],
            },
            wait=lambda answer: wait_if_refused_unseen(answer, self._client.now()),
        )
        if answer.status in (201, 400):
            return answer
        if answer.status in (404, 405) and self._is_admin:
            await self._refuse_old_server(deadline)
        raise self._cause(answer)

    async def list_tokens(self, deadline: float) -> list[Listed]:
        """All tokens of the user, those of others' making too."""
        found: list[Listed] = []
        for page in range(1, MAX_PAGES + 1):
            answer = await self._ask(
                "GET",
                self._tokens_path(self._user),
                deadline,
                params={"page": str(page), "limit": str(PAGE)},
            )
            if answer.status != 200:
                raise self._cause(answer)
            document = answer.json()
            found += parse_list(document)
            # A server may give fewer a page than asked for, so a short one is not the last.
            total = answer.headers.get("x-total-count", "")
            if not document or (total.isdecimal() and len(found) >= int(total)):
                return found
        raise ForgeRefusedError(
            f"{self._user} has too many tokens to look through",
            code="FORGE_REFUSED",
            hint=f"delete tokens of {self._user} at the forge",
        )

    async def delete_token(self, handle: Handle, deadline: float) -> bool:
        """Delete a token; False where it was gone already."""
        path = f"{self._tokens_path(handle.user)}/{handle.id}"
        answer = await self._ask("DELETE", path, deadline)
        if answer.status not in (200, 204, 404):
            raise self._cause(answer)
        return answer.status != 404

    async def get_repository(self, name: str, token: Secret, deadline: float) -> ForgeAnswer:
        """What the forge tells the holder of this token about a repository, or instead of it."""
        owner, repository = name.split("/", 1)
        path = f"/repos/{quote(owner, safe='')}/{quote(repository, safe='')}"
        return await self._ask("GET", path, deadline, authorization=f"token {token.reveal()}")

    async def _refuse_old_server(self, deadline: float) -> None:
        """Tell an endpoint that is missing from a user or a repository that is."""
        answer = await self._ask("GET", "/version", deadline)
        document: Any = answer.json()
        version = document.get("version") if isinstance(document, dict) else None
        if isinstance(version, str) and is_too_old(version):
            raise too_old(version)

    async def _ask(
        self,
        method: str,
        path: str,
        deadline: float,
        *,
        params: dict[str, str] | None = None,
        authorization: str | None = None,
    ) -> ForgeAnswer:
        return await self._client.send(
            method,
            path,
            deadline=deadline,
            headers=self._headers(authorization or self._authorization()),
            params=params,
            retries_after_send=True,
            wait=lambda answer: wait_if_idempotent(answer, self._client.now()),
        )

    def _tokens_path(self, user: str) -> str:
        return f"{'/admin' if self._is_admin else ''}/users/{quote(user, safe='')}/tokens"

    def _cause(self, answer: ForgeAnswer) -> Exception:
        return cause_of(answer, self._user, self._client.now())

    @staticmethod
    def _headers(authorization: str) -> dict[str, str]:
        return {"Accept": "application/json", "Authorization": authorization}


def admin_authorization(token: Secret) -> str:
    """The header for an administrator's token."""
    return f"token {token.reveal()}"


def basic_authorization(user: str, password: Secret) -> str:
    """The header for a user and their password."""
    return "Basic " + base64.b64encode(f"{user}:{password.reveal()}".encode()).decode()
