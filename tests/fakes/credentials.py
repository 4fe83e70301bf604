"""Credentials as the sidecar's records see them."""

from git_credential_relay.credential.credential import Credential
from git_credential_relay.secret import Secret, token_sha256
from tests.fakes.fake_clock import START


def credential(
    token: str, *, expires_at: int | None = int(START) + 3600, source: str = "relay API"
) -> Credential:
    """A credential of this token, fetched when the fake clock starts."""
    secret = Secret(token)
    return Credential(
        "x-access-token",
        secret,
        token_sha256=token_sha256(secret),
        fetched_at=START,
        expires_at=expires_at,
        source=source,
    )
