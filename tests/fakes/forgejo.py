"""A fake Forgejo: the API of a PlaygroundForge, with the rules of the version it plays."""

from __future__ import annotations

import base64
import re
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

from git_credential_relay.demo.forge import ApiAnswer, ApiRequest, PlaygroundForge
from git_credential_relay.demo.tokens import IssuedToken

FORGEJO_16, FORGEJO_15, FORGEJO_11 = "16.0.1+gitea-1.22.0", "15.0.9+gitea-1.22.0", "11.0.1"
GITEA = "1.24.0"
FOR_EVER = 10 * 365 * 86_400
CREATED_AT = "2026-11-20T12:00:00Z"
_TOKENS = re.compile(r"/api/v1(/admin)?/users/([^/]+)/tokens(?:/([^/]+))?")
_REPOSITORY = re.compile(r"/api/v1/repos/([^/]+)/([^/]+)")
_SCOPE = re.compile(r"(?:read|write):(?:admin|issue|organization|package|repository|user)")


@dataclass
class FakeToken:
    """A token of a user; `repositories` None means all of theirs."""

    id: int
    name: str
    scopes: list[str]
    repositories: list[str] | None
    issued: IssuedToken = field(repr=False)


@dataclass
class FakeUser:
    """A user with a password, and their tokens."""

    name: str
    password: str = field(repr=False)
    must_change_password: bool = False
    tokens: list[FakeToken] = field(default_factory=list)


class FakeForgejo:
    """The API: `forge.api = forgejo`. Thread-safe.

    `page_limit` is how many tokens a page has at most, whatever is asked for.
    """

    def __init__(
        self, forge: PlaygroundForge, version: str = FORGEJO_16, *, page_limit: int = 50
    ) -> None:
        self.version = version
        self.page_limit = page_limit
        self.mints = 0
        self.readers: set[str] = set()
        self.archived: set[str] = set()
        self._forge = forge
        self._lock = threading.RLock()
        self._users: dict[str, FakeUser] = {}
        self._admin_tokens: dict[str, list[str]] = {}
        self._ids: dict[str, int] = {}
        self._next_id = 100

    def add_user(self, name: str, password: str = "") -> FakeUser:
        """A user who is a collaborator of every repository."""
        self._users[name] = FakeUser(name, password or secrets.token_hex(12))
        return self._users[name]

    def add_admin_token(self, scopes: tuple[str, ...] = ("write:admin",)) -> str:
        """A token of a site's administrator."""
        token = secrets.token_hex(20)
        self._admin_tokens[token] = list(scopes)
        return token

    def add_repository(self, name: str, *, push: bool = True) -> int:
        """A repository with one commit, to which users may push or not; its id."""
        if name not in self._forge.repositories:
            self._forge.create_repository(name)
        self._ids[name] = self._new_id()
        if not push:
            self.readers.add(name)
        return self._ids[name]

    def renew_repository(self, name: str) -> int:
        """Another repository takes this one's name; its id."""
        self._ids[name] = self._new_id()
        return self._ids[name]

    def add_token(self, user: str, name: str) -> FakeToken:
        """A token that somebody else made for the user."""
        with self._lock:
            return self._issue(self._users[user], name, ["write:repository"], None)

    def names(self, user: str) -> list[str]:
        """The names of a user's tokens."""
        with self._lock:
            return [token.name for token in self._users[user].tokens]

    def __call__(self, request: ApiRequest) -> ApiAnswer | None:
        """Answer a call of the API."""
        with self._lock:
            if request.path == "/api/v1/version" and request.method == "GET":
                return ApiAnswer(200, {"version": self.version})
            if match := _TOKENS.fullmatch(request.path):
                return self._answer_tokens(request, match)
            if (match := _REPOSITORY.fullmatch(request.path)) and request.method == "GET":
                return self._answer_repository(request, f"{unquote(match[1])}/{unquote(match[2])}")
        return None

    @property
    def _major(self) -> int:
        return int(self.version.split(".")[0])

    def _answer_tokens(self, request: ApiRequest, match: re.Match[str]) -> ApiAnswer:
        is_admin, name, which = bool(match[1]), unquote(match[2]), match[3]
        if is_admin and self._major < 16:
            return _error(404, "The target couldn't be found.")
        refused = self._refuse_admin(request) if is_admin else self._refuse_user(request, name)
        if refused is not None:
            return refused
        user = self._users.get(name)
        if user is None:
            return _error(404, "user does not exist")
        answers: dict[str, Callable[[], ApiAnswer]] = {
            "POST": lambda: self._create(user, request.json()),
            "GET": lambda: self._list(user, parse_qs(request.query)),
            "DELETE": lambda: self._delete(user, which or ""),
        }
        return answers[request.method]()

    def _refuse_admin(self, request: ApiRequest) -> ApiAnswer | None:
        scopes = self._admin_tokens.get(_token(request))
        if scopes is None:
            return _error(401, "token is required")
        if "write:admin" not in scopes:
            return _error(403, "token does not have at least one of required scope(s)")
        return None

    def _refuse_user(self, request: ApiRequest, name: str) -> ApiAnswer | None:
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        if scheme != "Basic":
            return _error(401, "auth method not allowed")
        login, _, password = base64.b64decode(encoded).decode().partition(":")
        user = self._users.get(login)
        if user is None or login != name or not secrets.compare_digest(user.password, password):
            return _error(401, "user's password is invalid")
        if user.must_change_password:
            return _error(401, "auth.must_change_password")
        return None

    def _create(self, user: FakeUser, body: dict[str, Any]) -> ApiAnswer:
        scopes = body.get("scopes") or []
        if not scopes or not all(_SCOPE.fullmatch(scope) for scope in scopes):
            return _error(400, "access token must have a valid scope")
        if body["name"] in self.names(user.name):
            return _error(400, "access token name has been used already")
        repositories = None
        if self._major >= 15 and body.get("repositories"):
            repositories = [f"{it['owner']}/{it['name']}" for it in body["repositories"]]
            repositories = [self._spelled(name) for name in repositories]
            if not all(name in self._ids for name in repositories):
                return _error(404, "repository does not exist")
        token = self._issue(user, body["name"], scopes, repositories)
        self.mints += 1
        return ApiAnswer(201, {**self._shown(token), "sha1": token.issued.token})

    def _issue(
        self, user: FakeUser, name: str, scopes: list[str], repositories: list[str] | None
    ) -> FakeToken:
        reach = list(self._ids) if repositories is None else repositories
        issued = self._forge.tokens.issue(
            reach,
            push="write:repository" in scopes and not self.readers.intersection(reach),
            read=any(scope.endswith(":repository") for scope in scopes),
            lifetime_seconds=FOR_EVER,
            token=secrets.token_hex(20),
        )
        token = FakeToken(self._new_id(), name, list(scopes), repositories, issued)
        user.tokens.append(token)
        return token

    def _list(self, user: FakeUser, query: dict[str, list[str]]) -> ApiAnswer:
        limit = min(int(query.get("limit", ["30"])[0]), self.page_limit)
        start = (int(query.get("page", ["1"])[0]) - 1) * limit
        page = [self._shown(token) for token in user.tokens[start : start + limit]]
        headers = {"X-Total-Count": str(len(user.tokens))} if self._major >= 15 else {}
        return ApiAnswer(200, page, headers)

    def _delete(self, user: FakeUser, which: str) -> ApiAnswer:
        for token in user.tokens:
            if which in (str(token.id), token.name):
                user.tokens.remove(token)
                self._forge.tokens.revoke(token.issued.token)
                return ApiAnswer(204)
        return _error(404, "token does not exist")

    def _answer_repository(self, request: ApiRequest, name: str) -> ApiAnswer:
        found = [
            (user, token)
            for user in self._users.values()
            for token in user.tokens
            if token.issued.token == _token(request)
        ]
        if not found:
            return _error(401, "invalid username, password or token")
        user, token = found[0]
        if user.must_change_password:
            return _error(403, "You must change your password. Change it at: /user/settings")
        if not any(scope.endswith(":repository") for scope in token.scopes):
            return _error(403, "token does not have at least one of required scope(s)")
        name = self._spelled(name)
        if name not in token.issued.repositories:
            return _error(404, "The target couldn't be found.")
        may = {"admin": False, "push": token.issued.push, "pull": True}
        flags = {"private": True, "archived": name in self.archived, "mirror": False}
        short = name.rpartition("/")[2]
        id = self._ids[name]
        return ApiAnswer(
            200, {"id": id, "name": short, "full_name": name, **flags, "permissions": may}
        )

    def _shown(self, token: FakeToken) -> dict[str, Any]:
        shown = {
            "id": token.id,
            "name": token.name,
            "sha1": "",
            "token_last_eight": token.issued.token[-8:],
            "scopes": token.scopes,
            "created_at": CREATED_AT,
        }
        if self._major < 15:
            return shown
        metas = None if token.repositories is None else [self._meta(n) for n in token.repositories]
        return {**shown, "repositories": metas}

    def _meta(self, name: str) -> dict[str, Any]:
        owner, _, short = name.partition("/")
        return {"id": self._ids[name], "owner": owner, "name": short, "full_name": name}

    def _spelled(self, name: str) -> str:
        return next((known for known in self._ids if known.lower() == name.lower()), name)

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id


def _token(request: ApiRequest) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token if scheme.lower() in ("token", "bearer") else ""


def _error(status: int, message: str) -> ApiAnswer:
    return ApiAnswer(status, {"message": message, "url": "https://forge.example/api/swagger"})
