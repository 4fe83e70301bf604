"""Installation tokens: issued for exactly a scope, or refused with the cause; and revoked."""

from __future__ import annotations

import time
from collections.abc import Mapping

from git_credential_relay.broker.errors import ForgeError, ForgeRefusedError
from git_credential_relay.broker.policy import is_within
from git_credential_relay.broker.sources.github_app import causes
from git_credential_relay.broker.sources.github_app.app_jwt import AppJwt
from git_credential_relay.broker.sources.github_app.installations import (
    Installation,
    Installations,
)
from git_credential_relay.broker.sources.github_app.issued import (
    Issued,
    check_issued,
    request_body,
)
from git_credential_relay.broker.sources.github_app.rate_limits import is_limited
from git_credential_relay.broker.sources.github_app.requests import GitHubRequests
from git_credential_relay.broker.sources.http import ForgeAnswer, in_trouble
from git_credential_relay.broker.sources.interface import Repository, Scope
from git_credential_relay.secret import Secret

# What must not stay alive is revoked even where the caller's time is over.
CLEANUP_SECONDS = 3.0


class InstallationTokens:
    """Issues tokens at one GitHub, and ends them."""

    def __init__(
        self, requests: GitHubRequests, installations: Installations, app: str, app_jwt: AppJwt
    ) -> None:
        self._requests = requests
        self._installations = installations
        self._app = app
        self._jwt = app_jwt

    async def issue(self, scope: Scope, deadline: float) -> Issued:
        """A token for exactly `scope`; one for anything else is revoked.

        Raises ForgeError.
        """
        answer = await self._ask(scope, deadline)
        if answer.status != 201:
            raise await self._refusal(scope, answer, deadline)
        issued = check_issued(answer.json(), scope, self._jwt.forge_now())
        if issued.wrong:
            raise await self._discard(scope, issued, deadline)
        return issued

    async def _ask(self, scope: Scope, deadline: float) -> ForgeAnswer:
        repository = scope.repositories[0]
        body = request_body(scope)
        answer = await self._request_token(repository, body, deadline)
        if answer.status == 404:
            # The App may have been installed anew, under another id. Once: it is gone else.
            self._installations.forget(repository.name)
            answer = await self._request_token(repository, body, deadline)
            if answer.status == 404:
                self._installations.forget(repository.name)
        if causes.is_about_repositories(answer):
            return await self._ask_new_owner(scope, answer, deadline)
        return answer

    async def _ask_new_owner(
        self, scope: Scope, answer: ForgeAnswer, deadline: float
    ) -> ForgeAnswer:
        """The answer for a pinned repository that its owner has given to another one."""
        if len(scope.repositories) > 1 or scope.repositories[0].id is None:
            return answer
        found = await self._find_installation(scope.repositories[0].name, deadline)
        if found is None or not found.is_redirected:
            return answer
        return await self._post(found.id, request_body(scope), deadline)

    async def _request_token(
        self, repository: Repository, body: object, deadline: float
    ) -> ForgeAnswer:
        number = await self._installations.get_id(repository, deadline)
        return await self._post(number, body, deadline)

    async def _post(self, number: int, body: object, deadline: float) -> ForgeAnswer:
        return await self._requests.as_app(
            "POST", f"/app/installations/{number}/access_tokens", deadline, body
        )

    async def _refusal(self, scope: Scope, answer: ForgeAnswer, deadline: float) -> ForgeError:
        names = [repository.name for repository in scope.repositories]
        owner = scope.repositories[0].owner
        if answer.status == 404:
            return causes.not_installed(self._app, owner, answer)
        is_about_repositories = causes.is_about_repositories(answer)
        if is_about_repositories or causes.is_about_permissions(answer):
            installation = await self._find_installation(names[0], deadline)
            if is_about_repositories:
                is_renamed = installation is not None and installation.is_redirected
                return self._remembered(
                    scope,
                    causes.repository_renamed(names, answer)
                    if is_renamed and len(names) == 1
                    else causes.repository_not_found(self._app, names, answer),
                )
            return causes.permission_not_granted(
                self._app, owner, _lacking(installation, scope.permissions), answer
            )
        return causes.other_refusal(self._app, owner, answer)

    async def _find_installation(self, repository: str, deadline: float) -> Installation | None:
        """What the forge has to say in explanation, if it will."""
        try:
            return await self._installations.find(repository, deadline)
        except ForgeError:
            return None

    async def _discard(self, scope: Scope, issued: Issued, deadline: float) -> ForgeError:
        """Revoke what is not what was asked for: nobody may ever have it."""
        reason = issued.wrong
        if issued.token is not None:
            try:
                await self.revoke(issued.token, max(deadline, time.monotonic() + CLEANUP_SECONDS))
                reason += "; it is revoked"
            except ForgeError as error:
                reason += f"; it could not be revoked: {error.message}"
        if issued.renamed:
            return self._remembered(scope, causes.repository_renamed(issued.renamed))
        return ForgeRefusedError(
            "GitHub issued another token than was asked for",
            code="FORGE_SCOPE_MISMATCH",
            hint="check api_url and proxies; nothing was handed out",
            reason=reason,
        )

    async def revoke(self, token: Secret, deadline: float) -> None:
        """End a token; one that is gone already is no error. Raises ForgeError."""
        answer = await self._requests.with_token("DELETE", "/installation/token", token, deadline)
        if answer.status >= 500 or is_limited(answer):
            raise in_trouble(answer, self._jwt.forge_now())
        if answer.status not in (204, 401):
            raise causes.other_refusal(self._app, "the owner", answer)

    def _remembered(self, scope: Scope, error: ForgeRefusedError) -> ForgeRefusedError:
        """Spare the forge the question whose answer is known; of several, any could be it."""
        if len(scope.repositories) == 1:
            self._installations.remember(scope.repositories[0], error)
        return error


def has(installation: Installation, name: str, level: str) -> bool:
    """Whether the installation's level of a permission is high enough."""
    return is_within({name: level}, installation.permissions)


def _lacking(installation: Installation | None, permissions: Mapping[str, str]) -> list[str]:
    lacking = [
        f"{name}: {level}"
        for name, level in permissions.items()
        if installation is None or not has(installation, name, level)
    ]
    return lacking or [f"{name}: {level}" for name, level in permissions.items()]
