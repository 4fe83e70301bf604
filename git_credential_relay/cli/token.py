"""`token`: a fresh token on stdout, for tools that are not git."""

from __future__ import annotations

import json
import shlex

import click

from git_credential_relay.cli.app import configuration
from git_credential_relay.config import Config
from git_credential_relay.credential.credential import Credential
from git_credential_relay.credential.forge import FORGEJO, GITHUB, GITLAB, Target
from git_credential_relay.credential.url import split_url
from git_credential_relay.errors import ConfigError, ProtocolError
from git_credential_relay.relay.compose import build_acquirer


@click.command("token")
@click.option("--host", default="github.com", show_default=True, help="host[:port], or its URL")
@click.option("--repo", help="owner/name the token is for; without it, what the API gives")
@click.option("--use", type=click.Choice(["git", "api"]), default="api", show_default=True)
@click.option(
    "--format", "form", type=click.Choice(["raw", "json", "env"]), default="raw", show_default=True
)
@click.pass_context
def token_command(ctx: click.Context, host: str, repo: str | None, use: str, form: str) -> None:
    """Print a token with enough life left, from the cache, the API or a local source.

    raw: the token alone. json: with user name, expiry and hash. env: shell lines that export
    what gh (GH_TOKEN, GITHUB_TOKEN), glab (GITLAB_TOKEN, GITLAB_HOST) or a Forgejo client
    (FORGE_TOKEN, FORGE_URL) read.
    """
    config = configuration(ctx)
    target = _target(config, host, repo, use)
    if form == "env" and target.forge.kind == GITHUB and target.forge.host != "github.com":
        # gh offers GH_ENTERPRISE_TOKEN to every host there is.
        raise ConfigError(
            f"no variable binds a token to {target.forge.host}",
            code="usage",
            hint="use --format raw or json",
        )
    credential = build_acquirer(config).acquire(target)
    click.echo({"raw": _raw, "json": _json, "env": _env}[form](target, credential))


def _target(config: Config, host: str, repo: str | None, use: str) -> Target:
    try:
        # A bare host means the forge of that name, whatever its scheme.
        scheme, name, _ = split_url(host if "://" in host else f"https://{host}")
    except ProtocolError as error:
        raise ConfigError(f"--host: {error.message}", code="usage") from error
    for forge in config.forges:
        if forge.host == name and ("://" not in host or forge.scheme == scheme):
            try:
                repository = forge.repository(f"{forge.root}/{repo}") if repo else None
            except ProtocolError as error:
                raise ConfigError(f"--repo: {error.message}", code="usage") from error
            return Target(forge, repository, use)
    raise ConfigError(
        f"{name} is not a configured host",
        code="not-ours",
        hint=f"hosts are {', '.join(forge.host for forge in config.forges)};"
        " add one by GIT_CREDENTIAL_RELAY_HOSTS",
    )


def _raw(target: Target, credential: Credential) -> str:
    return credential.password.reveal()


def _json(target: Target, credential: Credential) -> str:
    return json.dumps(
        {
            "host": target.forge.host,
            "repository": target.repository,
            "use": target.use,
            "username": credential.username,
            "token": credential.password.reveal(),
            "expires_at": credential.expires_at,
            "token_sha256": credential.token_sha256,
            "source": credential.source,
        }
    )


def _env(target: Target, credential: Credential) -> str:
    token = credential.password.reveal()
    if target.forge.kind == GITLAB:
        values = {"GITLAB_TOKEN": token, "GITLAB_HOST": target.forge.host}
    elif target.forge.kind == FORGEJO:
        values = {"FORGE_TOKEN": token, "FORGE_URL": target.forge.url}
    else:
        values = {"GH_TOKEN": token, "GITHUB_TOKEN": token}
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in values.items())
