"""A relay API as a plain function that counts, and what a test needs to talk about it."""

import pytest

from git_credential_relay.credential.credential import Credential
from git_credential_relay.errors import DeniedError, NoCredentialError, RelayError, UnavailableError
from git_credential_relay.secret import Secret, token_sha256
from tests.fakes.fake_clock import FakeClock

HOUR = 3600


class Api:
    """A relay API as a plain function that counts: it mints `token-1`, `token-2` …

    `life` is how many seconds they live (None: it does not say), `error` what it raises
    instead, `seconds` how long it takes, and `always` a token it gives every time.
    """

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.life: int | None = HOUR
        self.error: RelayError | None = None
        self.seconds = 0.0
        self.always: str | None = None
        self.refused: list[str | None] = []
        self.budgets: list[float] = []
        self.targets: list[str] = []

    @property
    def count(self) -> int:
        """How often it was asked."""
        return len(self.targets)

    def fetch(self, target, deadline, refused_sha256=None) -> Credential:
        self.targets.append(f"{target} {target.use}")
        self.budgets.append(deadline.remaining())
        self.refused.append(refused_sha256)
        self.clock.advance(self.seconds)
        if self.error is not None:
            raise self.error
        token = Secret(self.always or f"token-{self.count}")
        expires_at = None if self.life is None else int(self.clock.now) + self.life
        return Credential(
            "x-access-token",
            token,
            token_sha256=token_sha256(token),
            fetched_at=self.clock.now,
            expires_at=expires_at,
        )


def code_of(get, *arguments):
    with pytest.raises(NoCredentialError) as caught:
        get(*arguments)
    return caught.value.code


def sha(token: str) -> str:
    return token_sha256(Secret(token))


down = UnavailableError("in trouble")
refusal = DeniedError("no", code="NOT_GRANTED", hint="ask")
