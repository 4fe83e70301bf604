"""The workspace's own secret: from the configuration, or from the keyring after `login`."""

from __future__ import annotations

from git_credential_relay.config import Config
from git_credential_relay.errors import SourceError
from git_credential_relay.secret import Secret


def workspace_secret(config: Config) -> Secret:
    """The secret, read anew, so that a rotated one counts at once.

    Raises SourceError `not-configured` where something the relay API needs is not set.
    """
    missing = config.missing_api_setting()
    if missing is None:
        secret = config.workspace_token.read()
        if secret is None and config.use_keyring:
            from git_credential_relay.relay.cache.keyring import read_workspace_secret

            secret = read_workspace_secret(config.api_url or "", config.workspace_id or "")
        if secret is not None:
            return secret
        missing = "WORKSPACE_TOKEN"
    raise SourceError(f"{missing} not set", code="not-configured", hint=f"set {missing}")
