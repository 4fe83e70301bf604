"""`sidecar`: the resident relay beside the agent."""

from __future__ import annotations

import os

import click

from git_credential_relay.cli.app import configuration
from git_credential_relay.settings import DEFAULT_SOCKET, PREFIX


@click.command("sidecar")
@click.option(
    "--socket", metavar="PATH", help=f"where git's own cache client finds it  [{DEFAULT_SOCKET}]"
)
@click.option(
    "--gh-socket", metavar="PATH", help="where gh finds it, as its http_unix_socket  [none]"
)
@click.pass_context
def sidecar_command(ctx: click.Context, socket: str | None, gh_socket: str | None) -> None:
    """Hold the workspace's secret and its tokens, and answer git and gh over unix sockets.

    Runs in the foreground, as a user that the agent is not, and is configured as the helper is;
    GIT_CREDENTIAL_RELAY_ALLOW_UIDS says who may ask. One line on stderr says when it is ready.
    SIGHUP, or an edit, has the configuration read again; SIGTERM ends it when all are answered.
    """
    from git_credential_relay.relay.sidecar.run import run

    config = configuration(ctx)
    run(
        os.environ,
        ctx.find_object(dict) or {},
        socket or config.socket or DEFAULT_SOCKET,
        gh_socket or config.path(PREFIX + "GH_SOCKET"),
        traces=config.debug,
    )
