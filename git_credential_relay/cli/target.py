"""What `token` and `exec` are asked for: --host, --repo and --use as a Target."""

from __future__ import annotations

from git_credential_relay.config import Config
from git_credential_relay.credential.forge import Forge, Target
from git_credential_relay.credential.url import split_url
from git_credential_relay.errors import ConfigError, ProtocolError


def parse_target(forge: Forge, repo: str | None, use: str) -> Target:
    """The target of `owner/name` at `forge`. Raises ConfigError when it is not owner/name."""
    try:
        repository = forge.repository(f"{forge.root}/{repo}") if repo else None
    except ProtocolError as error:
        raise ConfigError(
            f"--repo: {error.message}",
            code="usage",
            hint="give owner/name, and the host by --host",
        ) from error
    return Target(forge, repository, use)


def parse_forge(config: Config, host: str) -> Forge:
    """The configured forge that `host` or its URL names. Raises ConfigError for any other."""
    try:
        # A bare host means the forge of that name, whatever its scheme.
        scheme, name, _ = split_url(host if "://" in host else f"https://{host}")
    except ProtocolError as error:
        raise ConfigError(f"--host: {error.message}", code="usage") from error
    for forge in config.forges:
        if forge.host == name and ("://" not in host or forge.scheme == scheme):
            return forge
    raise ConfigError(
        f"{name} is not a configured host",
        code="not-ours",
        hint=f"hosts are {', '.join(forge.host for forge in config.forges)};"
        " add one by GIT_CREDENTIAL_RELAY_HOSTS",
    )
