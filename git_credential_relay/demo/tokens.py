"""The tokens that the playground forge has issued: what a forge knows about a credential."""

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from git_credential_relay import secret


def token_sha256(token: str) -> str:
    """Return the base64 SHA-256 of a token: the only form in which one may be recorded."""
    return secret.token_sha256(secret.Secret(token))


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """One token with what it may do and the Unix second from which the forge refuses it.

    A forge that has copies of itself accepts it only from `usable_from`; one that cares for the
    user name demands `username`.
    """

    token: str = field(repr=False)
    repositories: frozenset[str]
    push: bool
    expires_at: int
    sha256: str
    read: bool = True
    username: str | None = None
    usable_from: float = 0.0
    permissions: Mapping[str, str] = field(default_factory=dict)


class TokenTable:
    """The issued tokens of one forge, safe to use from many threads.

    Expiry is judged by `now`, so a test can age a token without waiting.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._issued: dict[str, IssuedToken] = {}
        self._revoked: set[str] = set()

    def issue(
        self,
        repositories: Iterable[str],
        *,
        push: bool,
        lifetime_seconds: float,
        token: str | None = None,
        read: bool = True,
        username: str | None = None,
        lag_seconds: float = 0.0,
        permissions: Mapping[str, str] | None = None,
    ) -> IssuedToken:
        """Mint a token for exactly these repositories, expiring within the lifetime.

        `token` is its text where the kind of forge has a form of its own; for `lag_seconds` it
        is not accepted yet.
        """
        token = token or f"playground_{secrets.token_hex(20)}"
        issued = IssuedToken(
            token=token,
            repositories=frozenset(repositories),
            push=push,
            # Rounded down: an announced expiry must never be later than the real one.
            expires_at=int(self._now() + lifetime_seconds),
            sha256=token_sha256(token),
            read=read,
            username=username,
            usable_from=self._now() + lag_seconds if lag_seconds else 0.0,
            permissions=dict(permissions or {}),
        )
        with self._lock:
            self._issued[issued.sha256] = issued
        return issued

    def revoke(self, token: str) -> None:
        """Refuse this token from now on; unknown tokens are ignored."""
        self.revoke_sha256(token_sha256(token))

    def revoke_sha256(self, sha256: str) -> None:
        """Refuse the token with this base64 SHA-256 from now on."""
        with self._lock:
            self._revoked.add(sha256)

    def find(self, token: str) -> IssuedToken | None:
        """Return what was issued under this token, dead or alive, or None."""
        with self._lock:
            return self._issued.get(token_sha256(token))

    def find_usable(self, token: str) -> IssuedToken | None:
        """Return the token if the forge accepts it now: known, not revoked, not expired."""
        issued = self.find(token)
        if issued is None or not issued.usable_from <= self._now() < issued.expires_at:
            return None
        with self._lock:
            return None if issued.sha256 in self._revoked else issued

    @property
    def issued(self) -> tuple[IssuedToken, ...]:
        """Every token ever issued, oldest first, dead ones included."""
        with self._lock:
            return tuple(self._issued.values())
