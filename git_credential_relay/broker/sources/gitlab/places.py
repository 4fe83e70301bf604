"""Where an access token is made: a project or a group, known by its number.

Names are looked up once: behind proxies that decode %2F a name in the path is a 404, and the
number of a project stays when it is renamed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from git_credential_relay.broker.errors import ForgeError, ForgeRefusedError
from git_credential_relay.broker.sources.gitlab.api import GitLabApi
from git_credential_relay.broker.sources.gitlab.causes import error_of

PROJECTS, GROUPS = "projects", "groups"
# A name may come to mean another project, so that no look-up is good for long.
KNOWN_SECONDS = 300.0
UNKNOWN_SECONDS = 60.0
MAX_KNOWN = 10_000


@dataclass(frozen=True, slots=True)
class Place:
    """A project or a group; `path` is how its API address begins."""

    kind: str
    id: int

    @property
    def path(self) -> str:
        """Its address below the API's root."""
        return f"/{self.kind}/{self.id}"

    @property
    def tokens(self) -> str:
        """The address of its access tokens."""
        return f"{self.path}/access_tokens"


class Directory:
    """Looks names up, and remembers for a while what there is and what not."""

    def __init__(self, api: GitLabApi, now: Callable[[], float]) -> None:
        self._api = api
        self._now = now
        self._known: OrderedDict[tuple[str, str], tuple[float, Place | ForgeError]] = OrderedDict()

    async def find(self, kind: str, name: str, deadline: float) -> Place:
        """The project or group of this name. Raises ForgeError, also from memory."""
        key = kind, name.lower()
        until, known = self._known.get(key, (0.0, None))
        if known is None or until <= self._now():
            return await self.look_up(kind, name, deadline)
        if isinstance(known, ForgeError):
            raise known.with_traceback(None)
        return known

    async def look_up(self, kind: str, name: str, deadline: float) -> Place:
        """The same, from the forge itself. Raises ForgeError."""
        key = kind, name.lower()
        try:
            place = Place(kind, (await self.read(kind, name, deadline))["id"])
        except ForgeRefusedError as error:
            if error.code in ("FORGE_REPOSITORY_NOT_FOUND", "FORGE_REPOSITORY_RENAMED"):
                self._remember(key, UNKNOWN_SECONDS, error)
            raise
        self._remember(key, KNOWN_SECONDS, place)
        return place

    async def read(self, kind: str, name: str | int, deadline: float) -> dict[str, Any]:
        """What the forge says about a project or group.

        Raises ForgeRefusedError, FORGE_REPOSITORY_RENAMED where the name leads to another.
        """
        answer = await self._api.get(f"/{kind}/{quote(str(name), safe='')}", deadline)
        subject = f"{kind.removesuffix('s')} {name}"
        if answer.status in (301, 302, 307, 308):
            raise _renamed(subject)
        found: dict[str, Any] | None = answer.json()
        if answer.status != 200:
            raise error_of(answer, self._now(), subject)
        path = found.get(_PATH[kind]) if isinstance(found, dict) else None
        if found is None or not isinstance(path, str) or type(found.get("id")) is not int:
            raise ForgeRefusedError(
                "the forge answers like no GitLab", hint="check url and api_url"
            )
        if isinstance(name, int):
            is_it = found["id"] == name
        else:
            is_it = name.isdigit() or path.lower() == name.lower()
        if not is_it:
            # Whoever takes over a name must not get a token for what was called so before.
            raise _renamed(subject)
        return found

    def forget(self, kind: str, name: str) -> None:
        """Look this name up anew next time."""
        self._known.pop((kind, name.lower()), None)

    def _remember(self, key: tuple[str, str], seconds: float, known: Place | ForgeError) -> None:
        self._known[key] = self._now() + seconds, known
        self._known.move_to_end(key)
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)


_PATH = {PROJECTS: "path_with_namespace", GROUPS: "full_path"}


def _renamed(subject: str) -> ForgeRefusedError:
    return ForgeRefusedError(
        f"the forge knows {subject} under another name now",
        code="FORGE_REPOSITORY_RENAMED",
        hint="grant the new name, or pin the project's number in repository_ids",
    )
