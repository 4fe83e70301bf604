"""What the sources have in common that hand out a token they hold, and make none."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from git_credential_relay.broker.errors import ForgeRefusedError, GrantMissingError
from git_credential_relay.broker.policy import ANY
from git_credential_relay.broker.sources.gitlab.api import GitLabApi
from git_credential_relay.broker.sources.gitlab.places import PROJECTS, Directory
from git_credential_relay.broker.sources.gitlab.scopes import REPORTER
from git_credential_relay.broker.sources.gitlab.verify import verify_project
from git_credential_relay.broker.sources.http import ForgeClient
from git_credential_relay.broker.sources.interface import Lease, Minted, Scope, Verified
from git_credential_relay.credential.forge import GITLAB, USERNAMES
from git_credential_relay.secret import Secret

CALL_SECONDS = 10.0
UNRESTRICTED = "unrestricted"  # the type of a token that nothing narrows


class HeldTokenSource:
    """A user's token, good for all that the user may do: nothing narrows it."""

    kind = GITLAB
    needs_lease_first = False
    refreshes_ahead = False
    verifies_fresh = False

    def __init__(self, name: str, host: str, client: ForgeClient, api: GitLabApi) -> None:
        self.name = name
        self.host = host
        self._client = client
        self._api = api
        self._directory = Directory(api, client.now)

    def narrow(self, scope: Scope) -> Scope:
        """The token is the same for git and for the API."""
        return replace(scope, use=ANY, access_level=None)

    async def is_accepted(self, token: Secret, scope: Scope) -> bool:
        """Whether the forge takes the token now."""
        return await is_accepted(self._api, token)

    async def reject(self, token_sha256: str) -> None:
        """Nothing to do: there is one token, and its file is read each time."""

    async def revoke(self, lease: Lease) -> None:
        """Nothing to do: the token is not the lease's own."""

    async def reap(self, now: float) -> int:
        """Nothing to do: no token is made."""
        return 0

    async def verify(self, repository: str, permissions: Mapping[str, str]) -> Verified:
        """What the token's user may do in the project."""
        deadline = time.monotonic() + CALL_SECONDS
        project = await self._directory.read(PROJECTS, repository, deadline)
        return await verify_project(
            self._api, project, repository, permissions, deadline, minimum=REPORTER
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def require_projects(self, scope: Scope, deadline: float) -> None:
        """Refuse projects that the token's user cannot see, and names that have moved on.

        A token that may not ask is taken as it is.
        """
        for repository in scope.repositories:
            name = repository.name if repository.id is None else str(repository.id)
            try:
                await self._directory.find(PROJECTS, name, deadline)
            except ForgeRefusedError as error:
                if error.code != "FORGE_FORBIDDEN":
                    raise

    def lend(self, token: Secret, scope: Scope, expires_at: int | None) -> Minted:
        """The token, with the truth about what it is good for: all of its user's projects."""
        return Minted(
            token=token,
            username=USERNAMES[GITLAB],
            expires_at=expires_at,
            repositories=(),
            permissions=scope.permissions,
            token_type=UNRESTRICTED,
            is_ours=False,
        )


def require_push_grant(scope: Scope) -> None:
    """Refuse a grant that only reads: nothing takes the right to push from this token."""
    if scope.permissions.get("contents", "read") == "read":
        raise GrantMissingError(
            "the token this integration has can push, and the grant only reads",
            code="PERMISSION_NOT_GRANTED",
            hint="grant contents = write, or set up the integration with mode = project",
        )


async def is_accepted(api: GitLabApi, token: Secret) -> bool:
    """Whether GitLab takes the token: it says 401 to those it does not know, 403 to others."""
    deadline = time.monotonic() + CALL_SECONDS
    answer = await api.get("/personal_access_tokens/self", deadline, token=token)
    return answer.status != 401
