"""`broker serve`: the broker itself."""

from __future__ import annotations

import os
from pathlib import Path

import click

from git_credential_relay.cli.broker.options import broker_extra, config_option


@click.command("serve")
@config_option
@click.option("--listen", metavar="ADDR", help="host:port, in place of the configuration's")
@click.option("--cache-url", metavar="URL", help="a Valkey or Redis that several brokers share")
@click.pass_context
def serve_command(
    ctx: click.Context, config_path: Path, listen: str | None, cache_url: str | None
) -> None:
    """Answer requests for tokens until SIGTERM or SIGINT, and then finish what is under way.

    SIGHUP reads the configuration and the certificate again. Logs are JSON on stderr; -v in
    front of `broker` adds a line for each request.
    """
    flags = ctx.find_object(dict) or {}
    is_verbose = bool(flags.get("GIT_CREDENTIAL_DEBUG") or os.environ.get("GIT_CREDENTIAL_DEBUG"))
    with broker_extra():
        from git_credential_relay.broker.serve import serve

        serve(config_path, listen, cache_url, is_verbose=is_verbose)
