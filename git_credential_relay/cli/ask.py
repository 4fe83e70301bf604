"""`why` and `status`: what the sidecar tells about itself."""

from __future__ import annotations

import os
import sys
import time

import click

from git_credential_relay.cli.app import configuration
from git_credential_relay.credential.attributes import Attributes
from git_credential_relay.doctor.urlmatch import parse_url
from git_credential_relay.errors import ConfigError, SidecarError
from git_credential_relay.messages import error_lines
from git_credential_relay.relay.cache_socket.client import SidecarClient
from git_credential_relay.relay.cache_socket.message import STATUS, WHY
from git_credential_relay.relay.deadline import Clock
from git_credential_relay.relay.inquiry import inquire
from git_credential_relay.relay.remotes import parse_address, read_addresses
from git_credential_relay.settings import DEFAULT_SOCKET

WATCH_SECONDS = 2.0
# A work tree with more is no work tree that somebody asks about by standing in it.
MAX_REMOTES = 20
_CLEAR = "\033[H\033[2J"


@click.command("why")
@click.argument("url", required=False)
@click.pass_context
def why_command(ctx: click.Context, url: str | None) -> None:
    """Say what went wrong last, and whether it is over, for the repository at URL.

    Git's own client is silent when the sidecar has no credential for it; here is the reason.
    Without URL it is about the remotes of the current directory; where nobody has asked for one
    of those, about the latest trouble there was. The exit code is 0 when there is an answer.
    """
    about = about_url(url) if url is not None else _about_remotes()
    click.echo(inquire(_client(ctx), WHY, about), nl=False)


@click.command("status")
@click.option("--json", "is_json", is_flag=True, help="as one JSON object")
@click.option("--watch", "watches", is_flag=True, help="again every two seconds, until Ctrl-C")
@click.pass_context
def status_command(ctx: click.Context, is_json: bool, watches: bool) -> None:
    """Show the sidecar's workspaces, how the relay API is met, and each token's life.

    With --watch a sidecar that is away is said to be, and asked again.
    """
    client, about = _client(ctx), [("format", "json")] if is_json else []
    if not watches:
        click.echo(inquire(client, STATUS, about), nl=False)
        return
    clears = not is_json and sys.stdout.isatty()
    try:
        while True:
            _show(client, about, clears=clears)
            time.sleep(WATCH_SECONDS)
    except KeyboardInterrupt:
        pass  # how a person ends it


def about_url(url: str) -> Attributes:
    """The attributes that name the repository at `url`. Raises ConfigError for what is no URL.

    As doctor does, an ssh address is taken for the same repository over https; whoever is in
    the address is left out.
    """
    place = _place(url)
    if place is None or not all(part.isprintable() for part in place):
        raise ConfigError(
            "why takes the URL of a repository",
            code="usage",
            hint="give it as https://host/owner/name",
        )
    attributes = zip(("protocol", "host", "path"), place, strict=True)
    return [(name, value) for name, value in attributes if value]


def _place(url: str) -> tuple[str, str, str] | None:
    parts = parse_url(url)
    if parts is not None and parts.scheme in ("http", "https"):
        return parts.scheme, parts.address, parts.path
    address = parse_address(url)
    return ("https", address.host, address.path) if address is not None else None


def _about_remotes() -> Attributes:
    places = [f"{address.host}/{address.path}" for address in read_addresses(os.environ)]
    shown = [place for place in dict.fromkeys(places) if place.isprintable()]
    return [("remote[]", place) for place in shown[:MAX_REMOTES]]


def _show(client: SidecarClient, about: Attributes, *, clears: bool) -> None:
    try:
        answer = inquire(client, STATUS, about)
    except SidecarError as error:
        click.echo("\n".join(error_lines(error)), err=True)
    else:
        click.echo((_CLEAR if clears else "") + answer, nl=False)


def _client(ctx: click.Context) -> SidecarClient:
    return SidecarClient(configuration(ctx).socket or DEFAULT_SOCKET, Clock())
