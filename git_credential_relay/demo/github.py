"""A small GitHub for the playground: Apps, installations and their narrow tokens.

    forge = PlaygroundForge()
    github = PlaygroundGitHub(forge, public_key)
    github.add_repository("acme/app")
    github.install("acme", {"contents": "write"})
    forge.api = github

Its API is at the forge's root, as at api.github.com, and below /api/v3 as on an enterprise server.
"""

from __future__ import annotations

import base64
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from git_credential_relay.demo.forge import ApiAnswer, ApiRequest, PlaygroundForge
from git_credential_relay.demo.github_jwt import find_mistake
from git_credential_relay.demo.tokens import IssuedToken

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

_LEVELS = ("read", "write", "admin")
_ENTERPRISE = "/api/v3"
_HOURLY = 5000
_TOO_MANY = 500
_DOCUMENTATION = "https://docs.github.com/rest"


class _RefusedError(Exception):
    """The request ends here, with this answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Installation:
    """One App at one account; without `repositories` it is for all of the account's."""

    id: int
    owner: str
    permissions: Mapping[str, str]
    repositories: frozenset[str] | None = None
    is_suspended: bool = False


@dataclass
class PlaygroundGitHub:
    """The API of a GitHub that knows one App; plug it into a PlaygroundForge.

    `lifetime_seconds` is that of its tokens, `lag_seconds` how long a fresh one is not accepted.
    `remaining` is how many requests are left before the rate limit refuses them.
    """

    forge: PlaygroundForge
    public_key: RSAPublicKey
    app_id: str = "12345"
    client_id: str = "Iv23liPlayground"
    now: Callable[[], float] = time.time
    lifetime_seconds: float = 3600
    lag_seconds: float = 0.0
    remaining: int = _HOURLY
    mints: int = 0
    lookups: int = 0
    _ids: dict[str, int] = field(default_factory=dict)
    _renamed: dict[str, int] = field(default_factory=dict)
    _installations: dict[int, Installation] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def add_repository(self, name: str, *, has_git: bool = True) -> int:
        """Make `owner/name`, for git as well unless only the API matters, and return its id."""
        if has_git:
            self.forge.create_repository(name)
        with self._lock:
            self._ids[name] = 1000 + len(self._ids) + len(self._renamed)
            return self._ids[name]

    def rename(self, name: str, new_name: str) -> None:
        """Give a repository another name or owner; its id stays, git finds a new history."""
        if name in self.forge.repositories:
            self.forge.create_repository(new_name)
        with self._lock:
            self._renamed[name] = self._ids[new_name] = self._ids.pop(name)

    def install(
        self,
        owner: str,
        permissions: Mapping[str, str],
        repositories: Iterable[str] | None = None,
    ) -> Installation:
        """Install the App at an account, anew where it is there already."""
        with self._lock:
            self.uninstall(owner)
            number = 500 + secrets.randbelow(10**6)
            chosen = None if repositories is None else frozenset(repositories)
            self._installations[number] = Installation(number, owner, dict(permissions), chosen)
            return self._installations[number]

    def uninstall(self, owner: str) -> None:
        """Take the App away from an account."""
        with self._lock:
            for number, installation in list(self._installations.items()):
                if installation.owner.lower() == owner.lower():
                    del self._installations[number]

    def __call__(self, request: ApiRequest) -> ApiAnswer | None:
        """Answer one request, as PlaygroundForge's `api`."""
        with self._lock:
            try:
                self._count()
                answer = self._route(request)
            except _RefusedError as error:
                body = {
                    "message": str(error),
                    "documentation_url": _DOCUMENTATION,
                    "status": str(error.status),
                }
                answer = ApiAnswer(error.status, body)
            return ApiAnswer(
                answer.status, answer.body, {**answer.headers, **self._limit_headers()}
            )

    def _route(self, request: ApiRequest) -> ApiAnswer:
        is_enterprise = request.path.startswith(f"{_ENTERPRISE}/")
        path = request.path.removeprefix(_ENTERPRISE) if is_enterprise else request.path
        match request.method, *path.strip("/").split("/"):
            case "GET", "app":
                self._authenticate_app(request)
                return ApiAnswer(200, {"id": int(self.app_id), "slug": "playground"})
            case "GET", "app", "installations", number:
                self._authenticate_app(request)
                return ApiAnswer(200, self._describe(self._get_installation(number)))
            case "POST", "app", "installations", number, "access_tokens":
                self._authenticate_app(request)
                return self._mint(self._get_installation(number), request.json())
            case "GET", "repos", owner, name, "installation":
                self._authenticate_app(request)
                return self._look_up(f"{owner}/{name}", _ENTERPRISE if is_enterprise else "")
            case "GET", "repositories", number, "installation":
                self._authenticate_app(request)
                return ApiAnswer(200, self._describe(self._installation_of(self._name(number))))
            case "DELETE", "installation", "token":
                self.forge.tokens.revoke_sha256(self._authenticate_token(request).sha256)
                return ApiAnswer(204)
            case "GET", "installation", "repositories":
                return self._list(self._authenticate_token(request))
            case "GET", "repos", owner, name:
                return self._repository(self._authenticate_token(request), f"{owner}/{name}")
        raise _RefusedError(404, "Not Found")

    def _count(self) -> None:
        if self.remaining <= 0:
            raise _RefusedError(403, f"API rate limit exceeded for app ID {self.app_id}.")
        self.remaining -= 1

    def _limit_headers(self) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(_HOURLY),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Used": str(_HOURLY - self.remaining),
            "X-RateLimit-Reset": str(int(self.now()) + 1800),
            "X-RateLimit-Resource": "core",
        }

    def _authenticate_app(self, request: ApiRequest) -> None:
        unverified_jwt = request.headers.get("authorization", "").removeprefix("Bearer ")
        issuers = {self.app_id, self.client_id}
        mistake = find_mistake(unverified_jwt, self.public_key, issuers, self.now())
        if mistake is not None:
            raise _RefusedError(401, mistake)

    def _authenticate_token(self, request: ApiRequest) -> IssuedToken:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        issued = self.forge.tokens.find_usable(token)
        if scheme.lower() not in ("bearer", "token") or issued is None:
            raise _RefusedError(401, "Bad credentials")
        return issued

    def _get_installation(self, number: str) -> Installation:
        found = self._installations.get(int(number)) if number.isdecimal() else None
        if found is None:
            raise _RefusedError(404, "Not Found")
        return found

    def _installation_of(self, repository: str | None) -> Installation:
        for installation in self._installations.values():
            if repository in self._repositories_of(installation):
                return installation
        raise _RefusedError(404, "Not Found")

    def _repositories_of(self, installation: Installation) -> dict[str, int]:
        chosen = installation.repositories
        return {
            name: number
            for name, number in self._ids.items()
            if name.partition("/")[0].lower() == installation.owner.lower()
            and (chosen is None or name in chosen)
        }

    def _name(self, number: str) -> str | None:
        return next((name for name, known in self._ids.items() if str(known) == number), None)

    def _exact(self, name: str) -> str | None:
        return next((known for known in self._ids if known.lower() == name.lower()), None)

    def _look_up(self, name: str, prefix: str) -> ApiAnswer:
        self.lookups += 1
        exact = self._exact(name)
        if exact is None and name in self._renamed:
            url = f"{self.forge.url}{prefix}/repositories/{self._renamed[name]}/installation"
            body = {"message": "Moved Permanently", "url": url, "documentation_url": _DOCUMENTATION}
            return ApiAnswer(301, body, {"Location": url})
        return ApiAnswer(200, self._describe(self._installation_of(exact)))

    def _describe(self, installation: Installation) -> dict[str, Any]:
        return {
            "id": installation.id,
            "account": {"login": installation.owner, "type": "Organization"},
            "app_id": int(self.app_id),
            "permissions": {**installation.permissions, "metadata": "read"},
            "repository_selection": "all" if installation.repositories is None else "selected",
            "suspended_at": "2026-01-01T00:00:00Z" if installation.is_suspended else None,
        }

    def _mint(self, installation: Installation, body: Mapping[str, Any]) -> ApiAnswer:
        if installation.is_suspended:
            raise _RefusedError(403, "This installation has been suspended")
        names = self._chosen(installation, body)
        permissions = _narrowed(installation.permissions, body.get("permissions"))
        contents = permissions.get("contents")
        issued = self.forge.tokens.issue(
            self._repositories_of(installation) if names is None else names,
            push=contents in ("write", "admin"),
            read=contents is not None,
            lifetime_seconds=self.lifetime_seconds,
            token=_stateless_token(self.app_id),
            lag_seconds=self.lag_seconds,
            permissions=permissions,
        )
        self.mints += 1
        answer: dict[str, Any] = {
            "token": issued.token,
            "expires_at": f"{datetime.fromtimestamp(issued.expires_at, UTC):%Y-%m-%dT%H:%M:%SZ}",
            "permissions": {**permissions, "metadata": "read"},
            "repository_selection": "all" if names is None else "selected",
        }
        if names is not None:
            answer["repositories"] = [self._describe_repository(name) for name in sorted(names)]
        return ApiAnswer(201, answer)

    def _chosen(self, installation: Installation, body: Mapping[str, Any]) -> set[str] | None:
        """The repositories asked for; None, as at GitHub, where the request names none at all."""
        known = self._repositories_of(installation)
        by_name = {name.partition("/")[2].lower(): name for name in known}
        by_id = {number: name for name, number in known.items()}
        asked = [by_name.get(str(name).lower()) for name in body.get("repositories") or []]
        asked += [by_id.get(number) for number in body.get("repository_ids") or []]
        if len(asked) > _TOO_MANY:
            raise _RefusedError(422, f"The maximum of {_TOO_MANY} repositories is exceeded.")
        if None in asked:
            raise _RefusedError(
                422,
                "There is at least one repository that does not exist or is not accessible to "
                "the parent installation.",
            )
        return {name for name in asked if name is not None} or None

    def _list(self, issued: IssuedToken) -> ApiAnswer:
        names = sorted(issued.repositories & self._ids.keys())
        found = [self._describe_repository(name) for name in names]
        return ApiAnswer(200, {"total_count": len(found), "repositories": found})

    def _repository(self, issued: IssuedToken, name: str) -> ApiAnswer:
        exact = self._exact(name)
        if exact is None or exact not in issued.repositories:
            raise _RefusedError(404, "Not Found")
        return ApiAnswer(200, self._describe_repository(exact))

    def _describe_repository(self, name: str) -> dict[str, Any]:
        owner, _, short = name.partition("/")
        return {
            "id": self._ids[name],
            "name": short,
            "full_name": name,
            "owner": {"login": owner},
            "private": True,
        }


def _narrowed(has: Mapping[str, str], asked: Mapping[str, str] | None) -> dict[str, str]:
    for name, level in (asked or {}).items():
        implicit = "read" if name == "metadata" else ""
        granted = has.get(name, implicit)
        if not granted or _LEVELS.index(granted) < _LEVELS.index(level):
            raise _RefusedError(
                422, "The permissions requested are not granted to this installation."
            )
    return dict(asked or has)


def _stateless_token(app_id: str) -> str:
    """The form of 2026: the App's id and a JWT, some 520 characters, never the same length."""
    header = base64.urlsafe_b64encode(b'{"alg":"ES256","typ":"JWT"}').rstrip(b"=").decode()
    payload = secrets.token_urlsafe(280 + secrets.randbelow(30))
    return f"ghs_{app_id}_{header}.eyJ{payload}.{secrets.token_urlsafe(64)}"
