"""A fake GitLab for the demo and the tests: the API of a PlaygroundForge, with its own rules.

Tokens die at the start of a date, a refresh ends the pair it was made from, and rotating a dead
token ends its whole family. Contract: GitLab 19.5's API documentation.
"""

import re
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, unquote

from git_credential_relay.demo.forge import ApiAnswer, ApiRequest, PlaygroundForge
from git_credential_relay.demo.gitlab_books import (
    OAUTH_SECONDS,
    PlaygroundPair,
    PlaygroundToken,
    Projects,
)
from git_credential_relay.demo.tokens import token_sha256

MAINTAINER, DEVELOPER, OWNER = 40, 30, 50
_NO_EXPIRY = 10 * 365 * 86_400
_PLACE = re.compile(r"/api/v4/(projects|groups)/([^/]+)")
_TOKENS = re.compile(r"/api/v4/(projects|groups)/([0-9]+)/access_tokens(?:/([0-9]+)(/rotate)?)?")
_SCOPES = frozenset({"api", "read_api", "read_repository", "write_repository", "self_rotate"})
_LEVELS = (10, 15, 20, 30, 40, 50)


class PlaygroundGitLab:
    """The API: `forge.api = gitlab`. Thread-safe.

    Its one user is a member of `user_repositories`, of all if there are none in it.
    `lifetime_seconds` has the tokens die before their date, for a demo in which they must.
    `counts` says how often each kind of request was made: mint, revoke, list, lookup, refresh.
    """

    def __init__(
        self,
        forge: PlaygroundForge,
        now: Callable[[], float] = time.time,
        *,
        lifetime_seconds: float | None = None,
        requests_left: int | None = None,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.lifetime_seconds = lifetime_seconds
        self.requests_left = requests_left
        self.max_per_page = 100
        self.user_repositories: list[str] = []
        self._forge = forge
        self._now = now
        self._lock = threading.RLock()
        self._books = Projects()
        self._tokens: dict[int, PlaygroundToken] = {}
        self._pairs: list[PlaygroundPair] = []
        self._clients: dict[str, str] = {}
        self._last_id = 100

    # What a person does in the browser.

    def create_project(self, path: str) -> int:
        """Make `group/sub/name` with one commit on main; its number."""
        with self._lock:
            self._forge.create_repository(path)
            return self._books.add(path)

    def group_id(self, path: str) -> int:
        """The number of a group."""
        with self._lock:
            return next(n for n, known in self._books.groups.items() if known == path)

    def rename_project(self, number: int, path: str) -> None:
        """Call a project otherwise; its old name leads to it until another one takes it."""
        with self._lock:
            self._books.rename(number, path)

    def create_user_token(
        self,
        scopes: Iterable[str] = ("api",),
        *,
        access_level: int = MAINTAINER,
        expires_on: date | None = None,
    ) -> str:
        """Make a personal access token of a member of all projects there are."""
        with self._lock:
            token = self._issue("by hand", list(scopes), access_level, expires_on, None)
        return token.issued.token

    def create_oauth_pair(self, client_id: str, client_secret: str) -> tuple[str, str]:
        """Make an application and a user's pair for it: access token and refresh token."""
        with self._lock:
            self._clients[client_id] = client_secret
            answer = self._issue_pair(client_id, OAUTH_SECONDS)
        return answer["access_token"], answer["refresh_token"]

    def forget_pairs(self) -> None:
        """Withdraw the authorisation of all applications."""
        with self._lock:
            self._pairs.clear()

    def names_of_living_tokens(self) -> list[str]:
        """Names of the access tokens of projects and groups that could be used now."""
        with self._lock:
            return [
                token.name for token in self._tokens.values() if token.place and self._is(token)
            ]

    # What its API answers.

    def __call__(self, request: ApiRequest) -> ApiAnswer | None:
        """Answer one request."""
        with self._lock:
            if self.requests_left is not None:
                if self.requests_left <= 0:
                    headers = {"Retry-After": "30", **self._rate_limit()}
                    return ApiAnswer(429, "Retry later\n", headers, "text/plain")
                self.requests_left -= 1
            answer = self._answer(request)
            if answer is None:
                answer = ApiAnswer(404, {"error": "404 Not Found"})
            return ApiAnswer(answer.status, answer.body, self._rate_limit() | dict(answer.headers))

    def _answer(self, request: ApiRequest) -> ApiAnswer | None:
        if (request.method, request.path) == ("POST", "/oauth/token"):
            return self._refresh(request)
        caller = self._caller(request)
        if caller is None:
            return _message(401, "401 Unauthorized")
        if (request.method, request.path) == ("GET", "/api/v4/personal_access_tokens/self"):
            self.counts["self"] += 1
            return ApiAnswer(200, self._document(caller)) if caller.id else _message(404, "404")
        if (request.method, request.path) == ("GET", "/api/v4/user"):
            return ApiAnswer(200, {"id": 1, "username": "broker", "is_admin": False})
        if match := _TOKENS.fullmatch(request.path):
            return self._access_tokens(request, caller, *match.groups())
        if request.method == "GET" and (match := _PLACE.fullmatch(request.path)):
            self.counts["lookup"] += 1
            return self._look_up(caller, match[1], unquote(match[2]))
        return None

    def _caller(self, request: ApiRequest) -> PlaygroundToken | None:
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        text = request.headers.get("private-token") or (text if scheme.lower() == "bearer" else "")
        issued = self._forge.tokens.find_usable(text)
        if issued is None:
            return None
        for token in self._tokens.values():
            if token.issued.sha256 == issued.sha256:
                return token
        return PlaygroundToken(0, "oauth", ["api"], MAINTAINER, None, issued)

    def _look_up(self, caller: PlaygroundToken, kind: str, name: str) -> ApiAnswer:
        number, path = self._books.find(kind, name)
        if path is None or not {"api", "read_api"} & set(caller.scopes):
            return _message(404, f"404 {kind.removesuffix('s').title()} Not Found")
        if kind == "groups":
            return ApiAnswer(200, {"id": number, "full_path": path})
        access = {"access_level": caller.access_level}
        return ApiAnswer(
            200,
            {
                "id": number,
                "path_with_namespace": path,
                "archived": False,
                "permissions": {"project_access": access, "group_access": None},
            },
        )

    def _access_tokens(
        self,
        request: ApiRequest,
        caller: PlaygroundToken,
        kind: str,
        place_id: str,
        token_id: str | None,
        rotate: str | None,
    ) -> ApiAnswer | None:
        place = kind, int(place_id)
        if self._books.find(kind, place_id)[1] is None:
            return _message(404, f"404 {kind.removesuffix('s').title()} Not Found")
        if "api" not in caller.scopes:
            return ApiAnswer(
                403,
                {"error": "insufficient_scope", "error_description": "needs api", "scope": "api"},
            )
        if caller.place is not None or caller.access_level < MAINTAINER:
            return _message(403, "403 Forbidden")
        token = self._tokens.get(int(token_id)) if token_id else None
        if token_id and (token is None or token.place != place):
            return _message(404, "404 Could not find the token")
        match request.method, token, rotate:
            case "GET", None, None:
                return self._list(place, request.query)
            case "POST", None, None:
                return self._create(place, caller, request)
            case "DELETE", PlaygroundToken(), None:
                return self._delete(token)
            case "POST", PlaygroundToken(), "/rotate":
                return self._rotate(token)
        return _message(405, "405 Method Not Allowed")

    def _list(self, place: tuple[str, int], query: str) -> ApiAnswer:
        self.counts["list"] += 1
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        page = int(asked.get("page", "1"))
        size = min(int(asked.get("per_page", "20")), self.max_per_page)
        found = [
            token
            for token in self._tokens.values()
            if token.place == place
            and asked.get("search", "").lower() in token.name.lower()
            and (asked.get("state") != "active" or self._is(token))
        ]
        shown = found[(page - 1) * size : page * size]
        following = str(page + 1) if page * size < len(found) else ""
        body = [self._document(token) for token in shown]
        return ApiAnswer(200, body, {"X-Next-Page": following})

    def _create(
        self, place: tuple[str, int], caller: PlaygroundToken, request: ApiRequest
    ) -> ApiAnswer:
        self.counts["mint"] += 1
        try:
            body = request.json()
            expires_on = date.fromisoformat(body["expires_at"])
        except (ValueError, KeyError, TypeError):
            return ApiAnswer(400, {"error": "expires_at is missing, expires_at is invalid"})
        level = body.get("access_level", MAINTAINER)
        if not body.get("name") or not body.get("scopes") or not set(body["scopes"]) <= _SCOPES:
            return ApiAnswer(400, {"error": "scopes does not have a valid value"})
        if level not in _LEVELS or level > caller.access_level:
            return _message(400, {"access_level": ["is not allowed"]})
        if not self._today() <= expires_on <= self._today() + timedelta(days=365):
            return _message(400, ["Expiration date must be within 365 days"])
        token = self._issue(body["name"], body["scopes"], level, expires_on, place)
        return ApiAnswer(201, self._document(token) | {"token": token.issued.token})

    def _delete(self, token: PlaygroundToken) -> ApiAnswer:
        self.counts["revoke"] += 1
        if token.is_revoked:
            return _message(404, "404 Could not find the token")
        self._revoke(token)
        return ApiAnswer(204)

    def _rotate(self, token: PlaygroundToken) -> ApiAnswer:
        if not self._is(token):
            # Somebody uses what was replaced: thief or owner, nobody can tell.
            for relative in self._tokens.values():
                if relative.family == token.family:
                    self._revoke(relative)
            return _message(400, "400 Bad request - token already revoked")
        self._revoke(token)
        successor = self._issue(
            token.name, token.scopes, token.access_level, self._today() + timedelta(7), token.place
        )
        successor.family = token.family
        return ApiAnswer(200, self._document(successor) | {"token": successor.issued.token})

    def _refresh(self, request: ApiRequest) -> ApiAnswer:
        self.counts["refresh"] += 1
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        client = form.get("client_id", "")
        if client not in self._clients or form.get("client_secret") != self._clients[client]:
            return _oauth_error(401, "invalid_client")
        if form.get("grant_type") != "refresh_token":
            return _oauth_error(400, "unsupported_grant_type")
        sha256 = token_sha256(form.get("refresh_token", ""))
        for pair in self._pairs:
            if pair.refresh_sha256 == sha256 and pair.client_id == client:
                self._pairs.remove(pair)
                self._forge.tokens.revoke_sha256(pair.access.sha256)
                return ApiAnswer(200, self._issue_pair(client, pair.seconds))
        return _oauth_error(400, "invalid_grant")

    # Its books.

    def _issue_pair(self, client_id: str, seconds: int) -> dict[str, Any]:
        access = self._forge.tokens.issue(
            self._reach(None),
            push=True,
            lifetime_seconds=min(seconds, self.lifetime_seconds or seconds),
            token=f"gloas-{secrets.token_hex(32)}",
            username="oauth2",
        )
        refresh = secrets.token_hex(32)
        self._pairs.append(PlaygroundPair(client_id, access, token_sha256(refresh), seconds))
        return {
            "access_token": access.token,
            "token_type": "Bearer",
            "expires_in": int(access.expires_at - self._now()),
            "refresh_token": refresh,
            "scope": "api",
            "created_at": int(self._now()),
        }

    def _issue(
        self,
        name: str,
        scopes: list[str],
        access_level: int,
        expires_on: date | None,
        place: tuple[str, int] | None,
    ) -> PlaygroundToken:
        self._last_id += 1
        issued = self._forge.tokens.issue(
            self._reach(place),
            push=bool({"api", "write_repository"} & set(scopes)) and access_level >= DEVELOPER,
            read=bool({"api", "write_repository", "read_repository"} & set(scopes)),
            lifetime_seconds=self._lifetime(expires_on),
            token=f"glpat-{secrets.token_urlsafe(20)}",
        )
        token = PlaygroundToken(
            self._last_id, name, list(scopes), access_level, expires_on, issued, place
        )
        token.family = token.id
        self._tokens[token.id] = token
        return token

    def _reach(self, place: tuple[str, int] | None) -> list[str]:
        if place is None:
            return self.user_repositories or self._books.repositories_of(None)
        return self._books.repositories_of(place)

    def _lifetime(self, expires_on: date | None) -> float:
        if expires_on is None:
            return _NO_EXPIRY
        midnight = datetime(expires_on.year, expires_on.month, expires_on.day, tzinfo=UTC)
        seconds = midnight.timestamp() - self._now()
        return seconds if self.lifetime_seconds is None else min(seconds, self.lifetime_seconds)

    def _today(self) -> date:
        return datetime.fromtimestamp(self._now(), UTC).date()

    def _is(self, token: PlaygroundToken) -> bool:
        return not token.is_revoked and self._now() < token.issued.expires_at

    def _revoke(self, token: PlaygroundToken) -> None:
        token.is_revoked = True
        self._forge.tokens.revoke_sha256(token.issued.sha256)

    def _document(self, token: PlaygroundToken) -> dict[str, Any]:
        document = {
            "id": token.id,
            "user_id": 1 if token.place is None else token.id,
            "name": token.name,
            "scopes": token.scopes,
            "active": self._is(token),
            "revoked": token.is_revoked,
            "created_at": datetime.fromtimestamp(self._now(), UTC).isoformat(),
            "last_used_at": None,
            "expires_at": token.expires_on.isoformat() if token.expires_on else None,
        }
        if token.place is None:
            return document
        kind, number = token.place
        return document | {
            "access_level": token.access_level,
            "resource_type": kind.removesuffix("s"),
            "resource_id": number,
        }

    def _rate_limit(self) -> dict[str, str]:
        left = 2000 if self.requests_left is None else self.requests_left
        return {
            "RateLimit-Limit": "2000",
            "RateLimit-Name": "throttle_authenticated_api",
            "RateLimit-Observed": str(max(0, 2000 - left)),
            "RateLimit-Remaining": str(left),
            "RateLimit-Reset": str(int(self._now()) + 60),
        }


def _message(status: int, message: Any) -> ApiAnswer:
    return ApiAnswer(status, {"message": message})


def _oauth_error(status: int, error: str) -> ApiAnswer:
    return ApiAnswer(status, {"error": error, "error_description": f"The request has {error}."})
