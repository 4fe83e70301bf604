"""Whether our own configuration can be loaded, and is complete."""

from __future__ import annotations

from git_credential_relay.config import Config
from git_credential_relay.doctor.report import Check, fail, ok, warn
from git_credential_relay.errors import RelayError, SourceError
from git_credential_relay.relay.workspace import workspace_secret

NAME = "configuration"


def check_configuration(
    config: Config | None, error: RelayError | None, socket: str | None = None
) -> Check:
    """Flags, environment and files, with the secret as far as it is a file.

    With a sidecar at `socket` nothing of the relay API needs to be known here.
    """
    if error is not None:
        # In whose words, and by which code, every command would fail.
        words = f"{error.message}; {error.hint}" if error.hint else error.message
        return fail(NAME, error.code, words)
    missing = config.missing_api_setting() if config else None
    broken = None
    if config is not None and missing is None:
        try:
            workspace_secret(config)
        except SourceError as empty:
            missing = empty.message.removesuffix(" not set")
        except RelayError as closed:
            broken = closed
    if socket is not None and (missing or broken):
        return ok(NAME, f"the relay API and its secret are left to the sidecar at {socket}")
    if broken is not None:
        words = f"{broken.message}; {broken.hint}" if broken.hint else broken.message
        return fail(NAME, broken.code, words)
    if missing is not None:
        return warn(NAME, "not-configured", f"the relay API is not set up: {missing} is not set")
    return ok(NAME, f"workspace {config.workspace_id} at {config.api_url}" if config else "")
