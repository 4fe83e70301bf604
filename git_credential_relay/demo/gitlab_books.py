"""What the fake GitLab knows: projects and groups by number, tokens and OAuth pairs."""

from dataclasses import dataclass, field
from datetime import date

from git_credential_relay.demo.tokens import IssuedToken

OAUTH_SECONDS = 7200


@dataclass
class PlaygroundToken:
    """A token; `place` is the project or group it belongs to, None for a person's."""

    id: int
    name: str
    scopes: list[str]
    access_level: int
    expires_on: date | None
    issued: IssuedToken = field(repr=False)
    place: tuple[str, int] | None = None
    is_revoked: bool = False
    family: int = 0


@dataclass
class PlaygroundPair:
    """An access token, and the hash of the refresh token that goes with it."""

    client_id: str
    access: IssuedToken = field(repr=False)
    refresh_sha256: str = ""
    seconds: int = OAUTH_SECONDS


class Projects:
    """Projects and groups. A renamed project's repository keeps the path it was made with."""

    def __init__(self) -> None:
        self.groups: dict[int, str] = {}
        self._projects: dict[int, str] = {}
        self._former: dict[str, int] = {}
        self._repositories: dict[int, str] = {}

    def add(self, path: str) -> int:
        """Add a project, and the groups above it that are not there yet; its number."""
        number = self._next()
        self._projects[number] = self._repositories[number] = path
        parts = path.split("/")[:-1]
        for length in range(1, len(parts) + 1):
            group = "/".join(parts[:length])
            if group not in self.groups.values():
                self.groups[self._next()] = group
        return number

    def rename(self, number: int, path: str) -> None:
        """Call a project otherwise, without forgetting how it was called."""
        self._former[self._projects[number].lower()] = number
        self._projects[number] = path

    def find(self, kind: str, name: str) -> tuple[int, str | None]:
        """Number and present path of what this number or name leads to; 0 and None for nothing."""
        known = self._projects if kind == "projects" else self.groups
        if name.isdigit():
            return int(name), known.get(int(name))
        for number, path in known.items():
            if path.lower() == name.lower():
                return number, path
        number = self._former.get(name.lower(), 0) if kind == "projects" else 0
        return number, known.get(number)

    def repositories_of(self, place: tuple[str, int] | None) -> list[str]:
        """The repositories of a project or group; of all projects without one."""
        if place is None:
            return list(self._repositories.values())
        kind, number = place
        if kind == "projects":
            return [self._repositories[number]]
        prefix = f"{self.groups[number]}/"
        return [path for path in self._repositories.values() if path.startswith(prefix)]

    def _next(self) -> int:
        return 101 + len(self.groups) + len(self._projects)
