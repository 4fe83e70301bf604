"""The acquirer of a short-lived process: what the helper and the commands share."""

from __future__ import annotations

import sys

from git_credential_relay.errors import RelayError
from git_credential_relay.relay.acquire import Acquirer
from git_credential_relay.relay.cache.choose import choose_cache
from git_credential_relay.relay.deadline import Clock, Deadline
from git_credential_relay.trace import Trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_credential_relay.config import Config
    from git_credential_relay.credential.credential import Credential
    from git_credential_relay.credential.forge import Target
    from git_credential_relay.secret import Secret

# A shorter secret would be found inside the words of an error.
SHORTEST_SECRET = 8


def build_acquirer(config: Config) -> Acquirer:
    """An acquirer by `config`, whose API client is loaded when the cache does not answer."""
    clock = Clock()
    trace = Trace(sys.stderr.write if config.debug else None)

    def fetch(target: Target, deadline: Deadline, refused_sha256: str | None) -> Credential:
        from git_credential_relay.relay.client.api import RelayClient
        from git_credential_relay.relay.workspace import workspace_secret

        secret = workspace_secret(config)
        client = RelayClient(config, lambda: secret, clock, trace)
        try:
            return client.fetch(target, deadline, refused_sha256)
        except RelayError as error:
            _mask(error, secret)
            raise

    return Acquirer(config, choose_cache(config), fetch, clock, trace)


def _mask(error: RelayError, secret: Secret) -> None:
    """Take secrets out of what `error` says, before it is told or remembered.

    Some servers repeat the secret they refuse, and JSON can spell it in more ways (`\\/`) than
    a search of the body would find.
    """
    from git_credential_relay.secret import redact

    secrets = [secret] if len(secret.reveal()) >= SHORTEST_SECRET else []
    error.message = redact(error.message, *secrets)
    error.code = redact(error.code, *secrets)
    error.hint = error.hint and redact(error.hint, *secrets)
    error.details = error.details and redact(error.details, *secrets)
