"""An App's key and its JWT, as the playground's GitHub looks at them."""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

_MAX_SECONDS = 600


def generate_app_key() -> tuple[str, RSAPublicKey]:
    """A new private key of an App, as the PEM text one downloads, and its public half."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    return pem.decode(), key.public_key()


def public_key_of(pem: str) -> RSAPublicKey:
    """The public half of an App's private key. Raises ValueError for what is no such key."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = serialization.load_pem_private_key(pem.encode(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("not an RSA key")
    return key.public_key()


def find_mistake(
    unverified_jwt: str, public_key: RSAPublicKey, issuers: Set[str], now: float
) -> str | None:
    """What GitHub says about an App's JWT that it does not accept; None for a good one."""
    import jwt

    try:
        # By our own clock, which a test may wind: the library knows only the real one.
        claims = jwt.decode(
            unverified_jwt,
            public_key,
            algorithms=["RS256"],
            options={"require": ["iat", "exp", "iss"], "verify_exp": False, "verify_iat": False},
        )
        issued_at, expires_at = int(claims["iat"]), int(claims["exp"])
    except (jwt.PyJWTError, ValueError, TypeError):
        return "A JSON web token could not be decoded"
    if claims["iss"] not in issuers:
        return "'Issuer' claim ('iss') must be an App's id or client id"
    if issued_at > now:
        return (
            "'Issued at' claim ('iat') must be an Integer representing the time that the "
            "assertion was issued"
        )
    if expires_at > now + _MAX_SECONDS:
        return "'Expiration time' claim ('exp') is too far in the future"
    if expires_at <= now:
        return (
            "'Expiration time' claim ('exp') must be a numeric value representing the future "
            "time at which the assertion expires"
        )
    return None
