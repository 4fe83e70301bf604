"""The secret a source works with, read anew each time, so that it can be rotated."""

from __future__ import annotations

from collections.abc import Callable

from git_credential_relay.broker.config.load import BrokerConfig
from git_credential_relay.broker.errors import ForgeRefusedError
from git_credential_relay.errors import ConfigError
from git_credential_relay.secret import Secret

ReadSecret = Callable[[], Secret]


def secret_reader(config: BrokerConfig, reference: str) -> ReadSecret:
    """Reads the secret in a file, or in the variable that `env:NAME` names.

    Raises ConfigError when there is none now; the reader raises ForgeRefusedError with the code
    FORGE_TOKEN_UNREADABLE when there is none later.
    """
    config.read_secret(reference)

    def read() -> Secret:
        try:
            return config.read_secret(reference)
        except ConfigError as error:
            raise ForgeRefusedError(
                "the broker cannot read its own secret for this forge",
                code="FORGE_TOKEN_UNREADABLE",
                hint="whoever runs the broker finds the file's name in its audit log",
                reason=error.message,
            ) from error

    return read
