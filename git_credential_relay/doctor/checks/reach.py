"""The workspace's secret where a sidecar keeps it: the agent must not have it as well."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator

from git_credential_relay.config import SYSTEM_FILES, Config
from git_credential_relay.doctor.checks.sidecar import User
from git_credential_relay.doctor.meeting import Met
from git_credential_relay.doctor.report import Check, fail, ok, skip, warn
from git_credential_relay.env_file import read_env_file
from git_credential_relay.errors import RelayError

REACH = "sidecar-secret"
# Where the entrypoint leaves the sidecar's own settings, beside those of the agent.
SIDECAR_FILE = f"{os.path.dirname(SYSTEM_FILES[0])}/sidecar.env"
_NAMES = ("WORKSPACE_TOKEN", "WORKSPACE_TOKEN_FILE")


def check_reach(
    config: Config | None, met: Met, user: User, sidecar_file: str = SIDECAR_FILE
) -> Check:
    """Whether this user can read what the sidecar is there to keep from it."""
    if user.uid == 0:
        return skip(REACH, "as-root", "root may read anything; run doctor as the agent")
    if config is None:
        return skip(REACH, "bad-configuration", "the configuration cannot be loaded")
    places = list(_places(config, sidecar_file))
    if not places:
        return ok(REACH, "this user has no workspace secret")
    place, fix = places[0]
    words = f"the sidecar alone is to have the workspace's secret, and this user can read {place}"
    if met.uid == user.uid:
        return warn(REACH, "secret-within-reach", words, fix)
    return fail(REACH, "secret-within-reach", words, fix)


def _places(config: Config, sidecar_file: str) -> Iterator[tuple[str, str | None]]:
    """Where the secret can be read, and the command that ends it, if this user has one."""
    secret = config.workspace_token
    try:
        is_read = secret.is_set() and bool(secret.read())
    except RelayError:
        is_read = False  # named, and closed to us: as it should be
    if is_read:
        named = [n for n in _NAMES if secret.origin == f"{n} in the environment"]
        yield secret.origin, f"unset {named[0]}" if named else None
    if config.use_keyring:
        yield "it from the keyring", "git-credential-relay logout"
    for path in _sidecar_files(sidecar_file):
        yield path, f"chmod 0600 {shlex.quote(path)}"


def _sidecar_files(sidecar_file: str) -> Iterator[str]:
    """The sidecar's own files with the secret, as far as they can be read."""
    try:
        settings = list(read_env_file(sidecar_file))
    except RelayError:
        return
    for name, value, _ in settings:
        if name == "WORKSPACE_TOKEN":
            yield sidecar_file
        elif name == "WORKSPACE_TOKEN_FILE" and os.access(value, os.R_OK):
            yield value
