"""A credential, when it may still be used, and how it is answered to git."""

from __future__ import annotations

from git_credential_relay.credential.attributes import serialize
from git_credential_relay.credential.request import STATE_PREFIX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from git_credential_relay.credential.request import Request
    from git_credential_relay.secret import Secret

# A token whose expiry nobody told us is shared by those who ask at the same time, and served
# for this long while the API is down; a forge that serves from a cache of its own (Kilo's)
# promises at least these five minutes.
UNKNOWN_LIFETIME = 300
# agent-relay's cloud invents its expiresAt as 55 minutes from the answer; however far away the
# expiry claims to be, ask again after that time.
LONGEST_TRUST = 55 * 60


class Credential:
    """A user name and a token, issued for one host.

    `expires_at` and `fetched_at` are Unix seconds of this machine's clock; the former is None
    when the issuer did not say. `source` names where it came from, for traces.
    """

    __slots__ = ("expires_at", "fetched_at", "password", "source", "token_sha256", "username")

    def __init__(
        self,
        username: str,
        password: Secret,
        *,
        token_sha256: str,
        fetched_at: float,
        expires_at: int | None = None,
        source: str = "relay API",
    ) -> None:
        self.username: Final = username
        self.password: Final = password
        self.token_sha256: Final = token_sha256
        self.fetched_at: Final = fetched_at
        self.expires_at: Final = expires_at
        self.source: Final = source

    def is_alive(self, now: float) -> bool:
        """Whether the forge would still take it, as far as we know."""
        expires_at = self.expires_at or self.fetched_at + UNKNOWN_LIFETIME
        return now < expires_at

    def is_fresh(self, now: float, asked_at: float, min_lifetime: float) -> bool:
        """Whether it may be handed out without asking the API again.

        It must have `min_lifetime` seconds left; or it was fetched after the asker began to
        ask, and then the API would not give more either: that is how many askers share one
        token of any lifetime.
        """
        if self.fetched_at > now or not self.is_alive(now):
            return False
        if self.fetched_at >= asked_at:
            return True
        if self.expires_at is None or now - self.fetched_at > LONGEST_TRUST:
            return False
        return self.expires_at - now >= min_lifetime


def answer(credential: Credential, request: Request) -> bytes:
    """The bytes git gets: user name, password, expiry, and what it said it understands.

    Never protocol, host or url: whatever a helper returns overrides git's own.
    """
    attributes = []
    if request.knows_authtype:
        # Keeps the token out of helpers further down the list that would save it.
        attributes += [("capability[]", "authtype"), ("ephemeral", "1")]
    attributes += [("username", credential.username), ("password", credential.password.reveal())]
    if credential.expires_at is not None:
        attributes.append(("password_expiry_utc", str(credential.expires_at)))
    if request.knows_state and request.refused_sha256 is None:
        # Lets git ask again after a 401 in the same command. Only once: a second refusal is
        # about permission, and asking for ever would hang the push.
        attributes.insert(0, ("capability[]", "state"))
        attributes += [("state[]", STATE_PREFIX + credential.token_sha256), ("continue", "1")]
    return serialize(attributes)


def capabilities() -> bytes:
    """The answer to git's `capability` operation (git >= 2.46)."""
    return b"version 0\ncapability authtype\ncapability state\n"
