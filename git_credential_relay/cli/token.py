"""`token`: a fresh token on stdout, for tools that are not git."""

from __future__ import annotations

import json
import os
import shlex

import click

from git_credential_relay.cli.app import configuration
from git_credential_relay.cli.target import parse_forge, parse_target
from git_credential_relay.credential.credential import Credential
from git_credential_relay.credential.forge import Target
from git_credential_relay.relay.compose import build_acquirer
from git_credential_relay.relay.variables import TokenVariables, token_variables


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
    what gh (GH_TOKEN, GITHUB_TOKEN, GH_HOST), glab (GITLAB_TOKEN, GITLAB_HOST) or a Forgejo
    client (FORGE_TOKEN, FORGE_URL) read, and unset what would take the token to another host.
    """
    config = configuration(ctx)
    target = parse_target(parse_forge(config, host), repo, use)
    # Raises where there are none, before anybody is asked for a token.
    variables = token_variables(target.forge, config) if form == "env" else None
    credential = build_acquirer(config).acquire(target)
    if variables is not None:
        click.echo(_env(variables, credential))
    else:
        click.echo(_json(target, credential) if form == "json" else credential.password.reveal())


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


def _env(variables: TokenVariables, credential: Credential) -> str:
    misleading = variables.misleading(os.environ)
    lines = [f"unset {' '.join(misleading)}"] if misleading else []
    values = variables.values(credential)
    lines += [f"export {name}={shlex.quote(value)}" for name, value in values.items()]
    return "\n".join(lines)
