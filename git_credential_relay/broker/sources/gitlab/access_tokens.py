"""A GitLab source that makes a project's or a group's access token for each lease.

They die at a date, not after an hour: the lease ends them before, by DELETE. A group's token
reaches every project of the group, which its answer says.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass

from git_credential_relay.broker.config.load import ForgeEntry
from git_credential_relay.broker.config.model import GitLabModel
from git_credential_relay.broker.errors import ForgeRefusedError, GrantMissingError
from git_credential_relay.broker.sources.gitlab.api import GitLabApi
from git_credential_relay.broker.sources.gitlab.cleanup import Cleanup
from git_credential_relay.broker.sources.gitlab.expiry import expiry_date, midnight
from git_credential_relay.broker.sources.gitlab.handle import Handle, parse_handle, token_name
from git_credential_relay.broker.sources.gitlab.held import UNRESTRICTED, is_accepted
from git_credential_relay.broker.sources.gitlab.issued import IssuedToken, TokenRequest
from git_credential_relay.broker.sources.gitlab.make import make_token
from git_credential_relay.broker.sources.gitlab.places import GROUPS, PROJECTS, Directory, Place
from git_credential_relay.broker.sources.gitlab.scopes import (
    MAINTAINER,
    forge_scopes,
    given_permissions,
    narrow_permissions,
)
from git_credential_relay.broker.sources.gitlab.verify import verify_project
from git_credential_relay.broker.sources.hooks import SourceHooks
from git_credential_relay.broker.sources.http import ForgeClient
from git_credential_relay.broker.sources.interface import Lease, Minted, Repository, Scope, Verified
from git_credential_relay.credential.forge import GITLAB, USERNAMES
from git_credential_relay.secret import Secret

REVOKE_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class _Made:
    token: IssuedToken
    place: Place
    ends_at: int


class AccessTokenSource:
    """The TokenSource for `mode = "project"` and `mode = "group"`."""

    kind = GITLAB
    needs_lease_first = True
    refreshes_ahead = True
    verifies_fresh = False

    def __init__(
        self,
        entry: ForgeEntry,
        model: GitLabModel,
        client: ForgeClient,
        api: GitLabApi,
        cleanup: Cleanup,
        hooks: SourceHooks,
    ) -> None:
        self.name = entry.name
        self.host = entry.forge.host
        self._model = model
        self._client = client
        self._api = api
        self._now = hooks.now
        self._directory = Directory(api, hooks.now)
        self._cleanup = cleanup

    def narrow(self, scope: Scope) -> Scope:
        """One project, or several below the group, with a role and permissions GitLab knows."""
        if self._model.mode == "project" and len(scope.repositories) != 1:
            raise GrantMissingError(
                "a token of this forge is for one project, and the request does not say which",
                code="REPOSITORY_REQUIRED",
                hint="git config --global credential.useHttpPath true",
            )
        group = str(self._model.group)
        if self._model.mode == "group" and not group.isdigit():
            _require_below(group, scope.repositories)
        return narrow_permissions(scope)

    def lease_seconds(self, now: float) -> int:
        """As configured: GitLab itself only knows dates."""
        return self._model.lease_seconds

    async def mint(self, scope: Scope, lease: Lease, deadline: float) -> Minted:
        """A new access token, named by the lease."""
        scope = self.narrow(scope)
        made = await self._make(scope, lease, deadline)
        granted = given_permissions(
            scope.permissions, scope.use, made.token.scopes, made.token.access_level
        )
        is_group = made.place.kind == GROUPS
        return Minted(
            token=made.token.token,
            username=USERNAMES[GITLAB],
            expires_at=min(lease.expires_at, made.ends_at),
            repositories=() if is_group else (scope.repositories[0].name,),
            permissions=granted,
            token_type=UNRESTRICTED if is_group else "project_access_token",
            handle=Handle(made.place, made.token.id).serialize(),
        )

    async def is_accepted(self, token: Secret, scope: Scope) -> bool:
        """Whether the forge takes the token now."""
        return await is_accepted(self._api, token)

    async def reject(self, token_sha256: str) -> None:
        """Nothing to do: every mint makes a new token."""

    async def revoke(self, lease: Lease) -> None:
        """Delete the lease's token, by its number or else by its name."""
        deadline = time.monotonic() + REVOKE_SECONDS
        handle = parse_handle(lease.handle)
        if handle is not None:
            await self._api.delete(handle.path, deadline)
            return
        places = await self._places_of(lease, deadline)
        for place in places:
            await self._cleanup.delete_named(place, token_name(lease), deadline)

    async def verify(self, repository: str, permissions: Mapping[str, str]) -> Verified:
        """What a token for this project would be able to do; nothing is made."""
        deadline = time.monotonic() + REVOKE_SECONDS
        if self._model.mode == "group":
            await self._group(deadline, (Repository(repository),))
        project = await self._directory.read(PROJECTS, repository, deadline)
        self._directory.forget(PROJECTS, repository)
        return await verify_project(
            self._api, project, repository, permissions, deadline, minimum=MAINTAINER
        )

    async def reap(self, now: float) -> int:
        """Delete tokens whose lease is over, in all projects that may have one."""
        deadline = time.monotonic() + REVOKE_SECONDS
        if self._model.mode == "group":
            self._cleanup.add(await self._group(deadline, ()))
        else:
            for location in await self._cleanup.locations():
                with contextlib.suppress(ForgeRefusedError):
                    self._cleanup.add(await self._project(location, deadline))
        return await self._cleanup.reap(now, deadline)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _make(self, scope: Scope, lease: Lease, deadline: float) -> _Made:
        now = self._now()
        asked = TokenRequest(
            token_name(lease),
            forge_scopes(scope.permissions, scope.use),
            scope.access_level or 0,
            expiry_date(now, lease.expires_at),
        )
        for is_last in (False, True):
            place = await self._place(scope, deadline)
            # From here on there may be a token that nobody but the reaper knows of.
            self._cleanup.add(place)
            try:
                token = await make_token(self._api, self._cleanup, place, asked, deadline)
            except ForgeRefusedError as error:
                if is_last or error.code != "FORGE_REPOSITORY_NOT_FOUND":
                    raise
                # The number a name had may be gone: the name is looked up once more.
                self._directory.forget(place.kind, self._name_of(scope))
                continue
            return _Made(token, place, midnight(asked.expires_on))
        raise AssertionError("the last attempt either gives a token or raises")

    async def _place(self, scope: Scope, deadline: float) -> Place:
        if self._model.mode == "group":
            return await self._group(deadline, scope.repositories)
        repository = scope.repositories[0]
        if repository.id is not None:
            # A pinned project keeps its number whatever it is called.
            return Place(PROJECTS, repository.id)
        return await self._directory.find(PROJECTS, repository.name, deadline)

    async def _group(self, deadline: float, repositories: tuple[Repository, ...]) -> Place:
        group = str(self._model.group)
        if not group.isdigit():
            _require_below(group, repositories)
            return await self._directory.find(GROUPS, group, deadline)
        if repositories:
            found = await self._directory.read(GROUPS, int(group), deadline)
            _require_below(found["full_path"], repositories)
        return Place(GROUPS, int(group))

    async def _project(self, location: str, deadline: float) -> Place:
        if location.isdigit():
            return Place(PROJECTS, int(location))
        return await self._directory.find(PROJECTS, location, deadline)

    async def _places_of(self, lease: Lease, deadline: float) -> list[Place]:
        """Where the token of an interrupted mint can be."""
        if self._model.mode == "group":
            return [await self._group(deadline, ())]
        if lease.location:
            try:
                return [await self._project(lease.location, deadline)]
            except ForgeRefusedError as error:
                if error.code == "FORGE_REPOSITORY_NOT_FOUND":
                    return []  # its tokens went with the project
                raise
        return self._cleanup.places

    def _name_of(self, scope: Scope) -> str:
        return str(self._model.group) if self._model.mode == "group" else scope.repositories[0].name


def _require_below(group: str, repositories: tuple[Repository, ...]) -> None:
    prefix = f"{group.strip('/').lower()}/"
    for repository in repositories:
        if not repository.name.lower().startswith(prefix):
            raise GrantMissingError(
                f"{repository.name} is not below the group whose tokens this integration makes",
                code="REPOSITORY_NOT_GRANTED",
                hint="add a [[forge]] for the repository's own group",
            )
