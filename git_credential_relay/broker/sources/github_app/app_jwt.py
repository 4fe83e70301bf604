"""The JWT by which a GitHub App says who it is."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import parsedate_to_datetime

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from git_credential_relay.errors import ConfigError
from git_credential_relay.secret import Secret

BACKDATED_SECONDS = 60
# GitHub refuses more than 600 by its own clock: a broker that is a little fast would be locked
# out with them.
LIFETIME_SECONDS = 540
SPARE_SECONDS = 60
MIN_KEY_BITS = 2048


def parse_private_key(pem: Secret, where: str) -> RSAPrivateKey:
    """The App's key; `where` is what the configuration calls it. Raises ConfigError."""
    text = pem.reveal()
    if "\n" not in text:
        # In an environment variable the lines are often written so.
        text = text.replace("\\n", "\n")
    hint = "download the App's private key from its settings at GitHub: an RSA key as PEM"
    try:
        key = load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        # The library's own words could quote the file.
        raise ConfigError(f"{where} is not a private key that can be read", hint=hint) from error
    if not isinstance(key, RSAPrivateKey) or key.key_size < MIN_KEY_BITS:
        raise ConfigError(f"{where} is not an RSA key of {MIN_KEY_BITS} bits or more", hint=hint)
    return key


class AppJwt:
    """Signs JWTs by GitHub's clock and uses each as long as it lasts.

    The key is parsed once, before: parsing costs a hundred times the signature. `issuer` is the
    App's id or client id.
    """

    def __init__(self, key: RSAPrivateKey, issuer: str, now: Callable[[], float]) -> None:
        self._key = key
        self._issuer = issuer
        self._now = now
        self._skew_seconds = 0.0
        self._signed: str | None = None
        self._expires_at = 0

    def forge_now(self) -> float:
        """The time by the forge's clock, as far as it is known."""
        return self._now() + self._skew_seconds

    def get(self) -> str:
        """A JWT that is good for a minute at least."""
        now = int(self.forge_now())
        # Not one from a later time either: then the clock was set back.
        if self._signed is None or not SPARE_SECONDS < self._expires_at - now <= LIFETIME_SECONDS:
            self._expires_at = now + LIFETIME_SECONDS
            claims = {
                "iat": now - BACKDATED_SECONDS,
                "exp": self._expires_at,
                "iss": self._issuer,
            }
            self._signed = jwt.encode(claims, self._key, algorithm="RS256")
        return self._signed

    def set_clock(self, date: str) -> bool:
        """Go by the clock that a Date header shows; whether there was one to read."""
        try:
            forge_now = parsedate_to_datetime(date).timestamp()
        except (ValueError, OverflowError):
            return False
        self._skew_seconds = forge_now - self._now()
        self._signed = None
        return True
