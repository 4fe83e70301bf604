"""`config`: every setting, its value and where that comes from."""

from __future__ import annotations

import click

from git_credential_relay.cli.app import configuration
from git_credential_relay.config import Config
from git_credential_relay.errors import ConfigError
from git_credential_relay.secret import MASK, printable, redact
from git_credential_relay.settings import SETTINGS, Setting


@click.command("config")
@click.pass_context
def config_command(ctx: click.Context) -> None:
    """Show every setting with its value and where it comes from; secrets are masked.

    Checks the whole configuration on the way, without a network.
    """
    config = configuration(ctx)
    for setting in SETTINGS:
        value = config.value(setting.name)
        file = config.value(setting.name + "_FILE") if setting.is_secret else None
        if file is not None:
            click.echo(
                f"{setting.name}_FILE={file.text}  # {file.origin}{_trouble(config, setting)}"
            )
        elif value is not None:
            text = value.text
            if setting.name.endswith("_PROXY") and "@" in text:
                scheme, separator, _ = text.rpartition("://")
                # Whatever form its password has.
                text = f"{scheme}{separator}{MASK}@{text.rpartition('@')[2]}"
            shown = MASK if setting.is_secret else printable(redact(text))
            click.echo(f"{setting.name}={shown}  # {value.origin}")
        elif setting.default is not None:
            click.echo(f"{setting.name}={setting.default}  # default")
        else:
            click.echo(f"# {setting.name} is not set")
    click.echo(f"# hosts: {', '.join(f'{f.url} ({f.kind})' for f in config.forges)}")


def _trouble(config: Config, setting: Setting) -> str:
    """What is wrong with a secret's file; nothing when it can be read."""
    source = config.secret(setting.name)
    try:
        secret = source.read()
    except ConfigError as error:
        return f"; {error.message.removeprefix(f'{source.origin}: ')}"
    return "" if secret else "; the file is empty"
