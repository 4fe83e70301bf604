"""`broker key`: the key that secrets at rest are encrypted with."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from git_credential_relay.cli.broker.options import broker_extra, config_option


@click.group("key")
def key_command() -> None:
    """Make and change the key that secrets at rest are encrypted with.

    To change it: add a new key below the old one in encryption_key_file and restart every broker,
    which can read both from then on; move it to the first line and restart them again, run
    `broker key rotate`, and take the old line away.
    """


@key_command.command("new")
def new_command() -> None:
    """Print a new key, for a line of encryption_key_file."""
    with broker_extra():
        from git_credential_relay.broker.store.cipher import new_key
    click.echo(new_key())


@key_command.command("rotate")
@config_option
def rotate_command(config_path: Path) -> None:
    """Encrypt everything in the database anew, with the first key of encryption_key_file."""
    with broker_extra():
        from git_credential_relay.broker.config.load import load_config
        from git_credential_relay.broker.store.cipher import load_cipher
        from git_credential_relay.broker.store.engine import resolve_database_url
        from git_credential_relay.broker.store.store import Store
    config = load_config(config_path)
    store = Store.open(resolve_database_url(config), load_cipher(config))
    try:
        count = asyncio.run(store.reencrypt())
    finally:
        store.close()
    click.echo(f"{count} values are encrypted with the first key now")
