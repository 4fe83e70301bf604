"""`broker serve`: the broker itself."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import click
from click.core import ParameterSource

from git_credential_relay.cli.broker.options import (
    broker_extra,
    check_broker_extra,
    config_option,
)


@click.command("serve")
@config_option
@click.option("--listen", metavar="ADDR", help="host:port, in place of the configuration's")
@click.option("--cache-url", metavar="URL", help="a Valkey or Redis that several brokers share")
@click.option(
    "--playground",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="a broker to try out: write its files into DIR, and run a small GitHub beside it",
)
@click.pass_context
def serve_command(
    ctx: click.Context,
    config_path: Path,
    listen: str | None,
    cache_url: str | None,
    playground: Path | None,
) -> None:
    """Answer requests for tokens until SIGTERM or SIGINT, and then finish what is under way.

    SIGHUP reads the configuration and the certificate again. Logs are JSON on stderr; -v in
    front of `broker` adds a line for each request.
    """
    flags = ctx.find_object(dict) or {}
    is_verbose = bool(flags.get("GIT_CREDENTIAL_DEBUG") or os.environ.get("GIT_CREDENTIAL_DEBUG"))
    with _configuration(ctx, config_path, listen, playground) as path, broker_extra():
        from git_credential_relay.broker.server.serve import serve

        serve(path, listen, cache_url, is_verbose=is_verbose)


@contextlib.contextmanager
def _configuration(
    ctx: click.Context, config_path: Path, listen: str | None, playground: Path | None
) -> Iterator[Path]:
    """The file to serve; the playground it is part of runs as long as the context."""
    if playground is None:
        yield config_path
        return
    if ctx.get_parameter_source("config_path") is not ParameterSource.DEFAULT:
        raise click.UsageError("--playground DIR brings a --config of its own: DIR/broker.toml")
    check_broker_extra()
    from git_credential_relay.demo.playground import open_playground

    with open_playground(playground) as opened:
        click.echo(opened.explain(listen), err=True, nl=False)
        yield opened.config.path
