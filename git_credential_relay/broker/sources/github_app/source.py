"""The token source of a GitHub App: github.com, ghe.com and GitHub Enterprise Server."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from git_credential_relay.broker.config.load import BrokerConfig, ForgeEntry
from git_credential_relay.broker.config.model import GitHubModel
from git_credential_relay.broker.errors import (
    ForgeUnavailableError,
    GrantMissingError,
)
from git_credential_relay.broker.policy import ANY, MAX_REPOSITORIES
from git_credential_relay.broker.sources.github_app import causes
from git_credential_relay.broker.sources.github_app.app_jwt import AppJwt, parse_private_key
from git_credential_relay.broker.sources.github_app.installations import (
    Installation,
    Installations,
)
from git_credential_relay.broker.sources.github_app.mint import InstallationTokens, has
from git_credential_relay.broker.sources.github_app.requests import GitHubRequests
from git_credential_relay.broker.sources.hooks import SourceHooks
from git_credential_relay.broker.sources.interface import (
    Lease,
    Minted,
    Repository,
    Scope,
    Verified,
)
from git_credential_relay.credential.forge import GITHUB, USERNAMES
from git_credential_relay.secret import Secret

LIFETIME_SECONDS = 3600  # GitHub's own, which no request can shorten
PROBE_SECONDS = 3.0
CALL_SECONDS = 10.0  # for what is no part of a mint and has no deadline of its own


def github_app_source(
    entry: ForgeEntry, config: BrokerConfig, store: object, hooks: SourceHooks
) -> GitHubAppSource:
    """The source of a `[[forge]]` of kind github. Raises ConfigError for a key that is none."""
    model = entry.model
    assert isinstance(model, GitHubModel)  # noqa: S101 - for the type checker
    key = parse_private_key(config.read_secret(model.private_key_file), model.private_key_file)
    app = str(model.client_id or model.app_id)
    app_jwt = AppJwt(key, app, hooks.now)
    ca_file = str(config.resolve(model.ca_file)) if model.ca_file else None
    requests = GitHubRequests(entry.api_url, app_jwt, hooks, entry.name, ca_file)
    return GitHubAppSource(
        entry.name, entry.forge.host, app, app_jwt, requests, hooks, model.verifies_fresh_tokens
    )


class GitHubAppSource:
    """Mints installation tokens, each for exactly the repositories and permissions of a scope."""

    kind = GITHUB
    needs_lease_first = False
    refreshes_ahead = True

    def __init__(
        self,
        name: str,
        host: str,
        app: str,
        app_jwt: AppJwt,
        requests: GitHubRequests,
        hooks: SourceHooks,
        verifies_fresh: bool,
    ) -> None:
        self.name = name
        self.host = host
        self._app = app
        self._requests = requests
        self._installations = Installations(requests, app, hooks.now)
        self._tokens = InstallationTokens(requests, self._installations, app, app_jwt)
        self.verifies_fresh = verifies_fresh

    def narrow(self, scope: Scope) -> Scope:
        """One token serves git and the API, whatever the case and order of the names."""
        if not scope.repositories or not scope.permissions:
            raise GrantMissingError("nothing is granted that a token could be narrowed to")
        if len({repository.owner.lower() for repository in scope.repositories}) > 1:
            raise GrantMissingError(
                "a token of a GitHub App is for repositories of one owner",
                code="REPOSITORY_REQUIRED",
                hint="git config --global credential.useHttpPath true",
            )
        named = {r.name.lower(): Repository(r.name.lower(), r.id) for r in scope.repositories}
        if len(named) > MAX_REPOSITORIES:
            raise GrantMissingError(
                f"a token of a GitHub App is for {MAX_REPOSITORIES} repositories at most",
                code="REPOSITORY_REQUIRED",
                hint="git config --global credential.useHttpPath true",
            )
        return replace(
            scope,
            repositories=tuple(named[name] for name in sorted(named)),
            permissions=dict(sorted(scope.permissions.items())),
            use=ANY,
        )

    def lease_seconds(self, now: float) -> int:
        """Always an hour."""
        return LIFETIME_SECONDS

    async def mint(self, scope: Scope, lease: Lease, deadline: float) -> Minted:
        """See TokenSource."""
        issued = await self._tokens.issue(self.narrow(scope), deadline)
        assert issued.token is not None  # noqa: S101 - for the type checker
        return Minted(
            token=issued.token,
            username=USERNAMES[GITHUB],
            expires_at=issued.expires_at,
            repositories=tuple(repository.name for repository in issued.repositories),
            permissions=issued.permissions,
            token_type="installation",  # noqa: S106 - a word, not a token
        )

    async def is_accepted(self, token: Secret, scope: Scope) -> bool:
        """See TokenSource. Copies of GitHub may learn of a new token only seconds later."""
        path = "/installation/repositories?per_page=1"
        deadline = time.monotonic() + PROBE_SECONDS
        try:
            answer = await self._requests.with_token("GET", path, token, deadline)
        except ForgeUnavailableError:
            return True  # nothing is known against it
        return answer.status != 401

    async def reject(self, token_sha256: str) -> None:
        """Nothing to do: every mint makes a new token."""

    async def revoke(self, lease: Lease) -> None:
        """See TokenSource. What was minted and never arrived cannot be found; it expires."""
        if lease.token is not None:
            await self._tokens.revoke(lease.token, _soon())

    async def verify(self, repository: str, permissions: Mapping[str, str]) -> Verified:
        """See TokenSource. The repository's id needs a token, which sees no more than its name."""
        deadline = _soon()
        installation = await self._installations.find(repository, deadline)
        if installation.is_redirected:
            raise causes.repository_renamed([repository])
        owner = installation.owner
        missing = {
            name: _why_missing(installation, name, level)
            for name, level in permissions.items()
            if not has(installation, name, level)
        }
        working = {name: level for name, level in permissions.items() if name not in missing}
        if not working:
            asked = [f"{name}: {level}" for name, level in permissions.items()]
            raise causes.permission_not_granted(self._app, owner, asked)
        scope = Scope((Repository(repository),), {"metadata": "read"}, ANY)
        issued = await self._tokens.issue(scope, deadline)
        assert issued.token is not None  # noqa: S101 - for the type checker
        await self._tokens.revoke(issued.token, deadline)
        return Verified(issued.repositories[0], working, missing)

    async def reap(self, now: float) -> int:
        """Nothing to do: these tokens expire by themselves."""
        return 0

    async def aclose(self) -> None:
        """Close the connections."""
        await self._requests.aclose()


def _soon() -> float:
    return time.monotonic() + CALL_SECONDS


def _why_missing(installation: Installation, name: str, level: str) -> str:
    has = installation.permissions.get(name)
    return (
        f"the App has {f'only {has} access' if has else 'no access'} to {name} at "
        f"{installation.owner}; an admin there has to accept {level}"
    )
