"""`exec`: a command with a fresh token in the variables it reads."""

from __future__ import annotations

from collections.abc import Iterable

import click

from git_credential_relay.cli.app import configuration
from git_credential_relay.cli.target import parse_forge, parse_target
from git_credential_relay.config import Config
from git_credential_relay.credential.forge import Forge, Target
from git_credential_relay.errors import ProtocolError
from git_credential_relay.relay.compose import build_acquirer
from git_credential_relay.relay.process import become, given_environment, keep_to_home
from git_credential_relay.relay.remotes import Address, read_addresses
from git_credential_relay.relay.variables import GITHUB_COM, token_variables


@click.command("exec", context_settings={"allow_interspersed_args": False})
@click.option("--host", help="host[:port] or its URL  [default: that of the remotes here]")
@click.option("--repo", help="owner/name the token is for  [default: that of the remotes here]")
@click.option("--use", type=click.Choice(["git", "api"]), default="api", show_default=True)
@click.argument(
    "command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="[--] COMMAND [ARGUMENT]..."
)
@click.pass_context
def exec_command(
    ctx: click.Context, host: str | None, repo: str | None, use: str, command: tuple[str, ...]
) -> None:
    """Run COMMAND with a fresh token in its environment.

    \b
    git-credential-relay exec -- glab mr list
    git-credential-relay exec --host github.com --repo acme/app -- npx semantic-release

    For tools that only read variables: GH_TOKEN, GITHUB_TOKEN and GH_HOST for github.com,
    GITLAB_TOKEN and GITLAB_HOST (GITLAB_SUBFOLDER, GLAB_IS_OAUTH2) for a GitLab, FORGE_TOKEN and
    FORGE_URL for a Forgejo. The token is as old as the command: one that runs for hours should
    ask for its own.

    Variables that would take a token elsewhere are not passed on: GH_ENTERPRISE_TOKEN,
    GITHUB_ENTERPRISE_TOKEN and CODESPACES with a token for github.com, GITLAB_API_HOST with one
    for a GitLab, and a GITHUB_API_URL, GH_REPO or GITLAB_URL (among others) that names another
    host. A GitHub Enterprise host has no variable of its own; run gh itself for it.

    Without HOME it is given that of its user: gh would take settings and extensions, which are
    commands, from the current directory.

    Exit code and signals are those of COMMAND; 127 when there is none of that name, 126 when it
    cannot be run. Without a token it is not run.
    """
    config = configuration(ctx)
    environ = given_environment()
    target = _target(config, host, repo, use, read_addresses(environ))
    variables = token_variables(target.forge, config)
    credential = build_acquirer(config).acquire(target)
    keep_to_home(environ)
    become(command[0], command, variables.environment(environ, credential))


def _target(
    config: Config, host: str | None, repo: str | None, use: str, remotes: Iterable[Address]
) -> Target:
    """What was asked for; what was not said is that of the first remote at one of our hosts."""
    wanted = [parse_forge(config, host)] if host else config.forges
    for address in remotes:
        for forge in wanted:
            here = _repository(forge, address)
            if here is not None:
                return parse_target(forge, repo or here, use)
    return parse_target(parse_forge(config, host or GITHUB_COM), repo, use)


def _repository(forge: Forge, address: Address) -> str | None:
    """The repository of `forge` at `address`, if it is one."""
    try:
        return forge.repository(address.path) if forge.host == address.host else None
    except ProtocolError:
        return None
