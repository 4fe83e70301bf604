"""What the small cloud API answers to one request for a token: decisions without a network."""

import hmac
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from git_credential_relay.demo.tokens import IssuedToken, TokenTable

USERNAME = "x-access-token"
_USES = frozenset({"git", "api"})


@dataclass(frozen=True, slots=True)
class TokenQuery:
    """One request for a token, every field as the client sent it."""

    bearer: str = field(repr=False)
    workspace_id: str | None
    host: str | None = None
    path: str | None = None
    use: str | None = None
    min_lifetime: str | None = None
    rejected_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A "no" in the words of the relay API."""

    status: int
    code: str
    error: str
    hint: str

    def body(self) -> dict[str, Any]:
        """Return the JSON body of this refusal."""
        return {
            "error": self.error,
            "code": self.code,
            "hint": self.hint,
            "details": None,
            "retryable": False,
        }


@dataclass(frozen=True, slots=True)
class Grant:
    """A token with the place it is for."""

    issued: IssuedToken
    host: str

    def body(self) -> dict[str, Any]:
        """Return the JSON body that hands the token out."""
        expires_at = datetime.fromtimestamp(self.issued.expires_at, UTC)
        return {
            "token": self.issued.token,
            "username": USERNAME,
            "expiresAt": expires_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "tokenType": "installation",
            "userToken": None,
            "installationToken": self.issued.token,
            "host": self.host,
            "repositories": sorted(self.issued.repositories),
            "permissions": {"contents": "write" if self.issued.push else "read"},
        }


class Vending:
    """Decides about queries of one workspace and mints at the forge's token table.

    A live token is handed out again, as a broker with a cache would do, unless the client says
    that the forge rejected it.
    """

    def __init__(
        self,
        tokens: TokenTable,
        host: str,
        grants: Mapping[str, bool],
        *,
        workspace_id: str,
        workspace_secret: str,
        lifetime_seconds: float,
        now: Callable[[], float],
    ) -> None:
        self._tokens = tokens
        self._host = host
        self._grants = grants
        self._workspace_id = workspace_id
        self._workspace_secret = workspace_secret
        self._lifetime_seconds = lifetime_seconds
        self._now = now
        self._lock = threading.Lock()
        self._live: dict[tuple[str, ...], IssuedToken] = {}
        self._rejected: set[str] = set()

    def answer(self, query: TokenQuery) -> Grant | Refusal:
        """Return a token for the query, or the reason why not."""
        repositories = self._repositories(query)
        if isinstance(repositories, Refusal):
            return repositories
        try:
            min_lifetime = float(query.min_lifetime or 0)
        except ValueError:
            return _invalid("minLifetime is not a number")
        with self._lock:
            if query.rejected_sha256 is not None:
                self._rejected.add(query.rejected_sha256)
            return Grant(self._issue(repositories, min_lifetime), self._host)

    def _repositories(self, query: TokenQuery) -> tuple[str, ...] | Refusal:
        # Constant time: the answer must not tell how much of a guessed secret was right.
        if not hmac.compare_digest(query.bearer.encode(), self._workspace_secret.encode()):
            return Refusal(
                401,
                "INVALID_WORKSPACE_TOKEN",
                "The workspace token is not valid",
                "Check WORKSPACE_TOKEN or WORKSPACE_TOKEN_FILE",
            )
        if query.workspace_id != self._workspace_id:
            return Refusal(
                404, "WORKSPACE_NOT_FOUND", "There is no such workspace", "Check WORKSPACE_ID"
            )
        if query.use is not None and query.use not in _USES:
            return _invalid("use is neither git nor api")
        if query.host is not None and query.host.lower() != self._host:
            return Refusal(
                404,
                "HOST_NOT_SERVED",
                "This workspace has no forge at that host",
                f"It is served for {self._host}",
            )
        if not query.path:
            return tuple(sorted(self._grants))
        repository = query.path.strip("/").removesuffix(".git")
        if repository not in self._grants:
            return Refusal(
                403,
                "REPOSITORY_NOT_GRANTED",
                f"This workspace may not use {repository}",
                "Ask the owner of the workspace to grant the repository",
            )
        return (repository,)

    def _issue(self, repositories: tuple[str, ...], min_lifetime: float) -> IssuedToken:
        live = self._live.get(repositories)
        if (
            live is None
            or live.sha256 in self._rejected
            or live.expires_at - self._now() < max(min_lifetime, 1)
        ):
            live = self._tokens.issue(
                repositories,
                push=all(self._grants[repository] for repository in repositories),
                lifetime_seconds=self._lifetime_seconds,
            )
            self._live[repositories] = live
        return live


def _invalid(error: str) -> Refusal:
    return Refusal(400, "INVALID_REQUEST", error, "See the relay API's description")
