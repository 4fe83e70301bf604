"""`why` and `status`: what the sidecar tells about itself."""

from __future__ import annotations

import time

import click

from git_credential_relay.cli.app import configuration
from git_credential_relay.credential.attributes import Attributes
from git_credential_relay.relay.cache_socket.client import PROMPT_SECONDS, SidecarClient
from git_credential_relay.relay.cache_socket.message import GET, STATUS, WHY
from git_credential_relay.relay.deadline import Clock
from git_credential_relay.settings import DEFAULT_SOCKET

_CLEAR = "\033[H\033[2J"


@click.command("why")
@click.argument("url", required=False)
@click.pass_context
def why_command(ctx: click.Context, url: str | None) -> None:
    """Say what went wrong last, for the repository at URL or at all.

    Git's own client is silent when the sidecar has no credential for it; here is the reason.
    """
    about: Attributes = [("url", url)] if url else []
    click.echo(_ask(ctx, [("relay", WHY), *about]), nl=False)


@click.command("status")
@click.option("--json", "is_json", is_flag=True, help="as one JSON object")
@click.option("--watch", "watches", is_flag=True, help="again every two seconds")
@click.pass_context
def status_command(ctx: click.Context, is_json: bool, watches: bool) -> None:
    """Show the sidecar's workspaces, how the relay API is met, and each token's life."""
    question: Attributes = [("relay", STATUS), *([("format", "json")] if is_json else [])]
    click.echo(_ask(ctx, question), nl=False)
    while watches:
        time.sleep(2)
        answer = _ask(ctx, question)
        click.echo((_CLEAR if not is_json else "") + answer, nl=False)


def _ask(ctx: click.Context, question: Attributes) -> str:
    path = configuration(ctx).socket or DEFAULT_SOCKET
    answer = SidecarClient(path, Clock()).ask(GET, question, PROMPT_SECONDS)
    return answer.decode("utf-8", "replace")
