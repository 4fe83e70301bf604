"""Credentials as an API has issued them just now, by a clock that a test winds."""

from git_credential_relay.credential.credential import Credential
from git_credential_relay.secret import Secret, token_sha256
from tests.fakes.fake_clock import FakeClock


def issued(token: str, clock: FakeClock, life: float | None = 3600.0) -> Credential:
    """A credential of this token that lives so many seconds; None for an unknown life."""
    secret = Secret(token)
    return Credential(
        "x-access-token",
        secret,
        token_sha256=token_sha256(secret),
        fetched_at=clock.now,
        expires_at=None if life is None else int(clock.now + life),
    )
