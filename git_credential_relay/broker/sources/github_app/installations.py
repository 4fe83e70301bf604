"""Where an App is installed: found by repository, remembered by owner."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from git_credential_relay.broker.errors import ForgeRefusedError
from git_credential_relay.broker.sources.github_app import causes
from git_credential_relay.broker.sources.github_app.requests import GitHubRequests
from git_credential_relay.broker.sources.http import ForgeAnswer
from git_credential_relay.broker.sources.interface import LEVELS, Repository

NEGATIVE_SECONDS = 300.0
MAX_NEGATIVE = 10_000  # repositories; whoever may use a glob can ask for any number
REDIRECTS = 2
_REDIRECT = re.compile(
    r"/(?:repositories/[0-9]+|repos/[\w-][\w.-]*/[\w-][\w.-]*)/installation", re.A
)


@dataclass(frozen=True, slots=True)
class _Refused:
    """A repository, by the id it was pinned to, that need not be asked for again yet."""

    until: float
    id: int | None
    error: ForgeRefusedError


@dataclass(frozen=True, slots=True)
class Installation:
    """One installation; `owner` is the account that it is at, `permissions` what it has there.

    `is_redirected`: the repository that it was found by has another name or place now.
    """

    id: int
    owner: str
    permissions: Mapping[str, str]
    is_redirected: bool = False


class Installations:
    """Looks installations up. An owner's is no proof that a repository is part of it."""

    def __init__(self, requests: GitHubRequests, app: str, now: Callable[[], float]) -> None:
        self._requests = requests
        self._app = app
        self._now = now
        self._ids: dict[str, int] = {}
        self._refused: dict[str, _Refused] = {}

    async def get_id(self, repository: Repository, deadline: float) -> int:
        """The id of the installation for a repository.

        Raises ForgeRefusedError: FORGE_NOT_INSTALLED, or what was remembered.
        """
        name = repository.name.lower()
        refused = self._refused.get(name)
        if (
            refused is not None
            and refused.id == repository.id
            and 0 < refused.until - self._now() <= NEGATIVE_SECONDS
        ):
            # A new object: the old one would collect the tracebacks of all who were refused.
            raise ForgeRefusedError(
                refused.error.message,
                code=refused.error.code,
                hint=refused.error.hint,
                reason=refused.error.reason,
            )
        if (known := self._ids.get(name.partition("/")[0])) is not None:
            return known
        try:
            return (await self.find(repository.name, deadline)).id
        except ForgeRefusedError as error:
            if error.code == "FORGE_NOT_INSTALLED":
                self.remember(repository, error)
            raise

    def remember(self, repository: Repository, error: ForgeRefusedError) -> None:
        """Refuse the repository with this for five minutes, unless `find` finds it before."""
        name = repository.name.lower()
        self._refused.pop(name, None)
        if len(self._refused) >= MAX_NEGATIVE:
            del self._refused[next(iter(self._refused))]
        until = self._now() + NEGATIVE_SECONDS
        self._refused[name] = _Refused(until, repository.id, error)

    async def find(self, repository: str, deadline: float) -> Installation:
        """The installation for a repository, as the forge knows it now. Raises ForgeError."""
        key = repository.lower()
        owner = key.partition("/")[0]
        installation = await self._look_up(repository, deadline)
        self._refused.pop(key, None)
        if installation.owner.lower() == owner:
            # Else the repository was moved, and the rest of the owner's was not.
            self._ids[owner] = installation.id
        return installation

    def forget(self, repository: str) -> None:
        """The owner's installation is not there any more, or is another one."""
        self._ids.pop(repository.lower().partition("/")[0], None)

    async def _look_up(self, repository: str, deadline: float) -> Installation:
        path = f"/repos/{repository}/installation"
        answer = await self._requests.as_app("GET", path, deadline)
        redirects = 0
        while answer.status == 301 and redirects < REDIRECTS:
            redirects += 1
            location = self._checked(answer.headers.get("location", ""), answer)
            answer = await self._requests.as_app("GET", location, deadline)
        if answer.status == 404:
            raise causes.not_installed(self._app, repository.partition("/")[0], answer)
        if answer.status != 200:
            raise causes.other_refusal(self._app, repository.partition("/")[0], answer)
        return _parse(answer.json(), bool(redirects))

    def _checked(self, location: str, answer: ForgeAnswer) -> str:
        """Where a redirect leads, which must be this API: the App's JWT goes along."""
        api, target = urlsplit(self._requests.api_url), urlsplit(location)
        is_same = (target.scheme, target.netloc) == (api.scheme, api.netloc)
        path = target.path.removeprefix(api.path)
        if not is_same or not _REDIRECT.fullmatch(path) or target.query or target.fragment:
            raise causes.other_refusal(self._app, "the owner", answer)
        return location


def _parse(body: object, is_redirected: bool) -> Installation:
    match body:
        case {"id": int(number), "account": {"login": str(owner)}, **rest}:
            permissions = rest.get("permissions")
            return Installation(
                number,
                owner,
                # A level that we do not know is none.
                {k: v for k, v in permissions.items() if v in LEVELS}
                if isinstance(permissions, dict)
                else {},
                is_redirected,
            )
    raise causes.unreadable("no installation in it")
