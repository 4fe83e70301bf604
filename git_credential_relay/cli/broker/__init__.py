"""`broker`: the cloud side, for operators. Its commands are loaded when they are called."""

from __future__ import annotations

import click

from git_credential_relay.cli.lazy import LazyGroup

# name → module of this package and one line of help
COMMANDS = {
    "serve": ("serve", "answer requests for tokens until a signal ends it"),
    "check": ("check", "say what is wrong with a configuration, and with the forges in it"),
    "workspace": ("workspace", "make, show and delete workspaces through a running broker"),
    "audit": ("audit", "read who was given which token"),
    "key": ("key", "make and change the key that secrets at rest are encrypted with"),
}


class _Commands(LazyGroup):
    package = "git_credential_relay.cli.broker"
    table = COMMANDS


@click.command("broker", cls=_Commands)
def broker_command() -> None:
    """Run and look after the broker: the cloud API that decides, mints and records.

    It needs the extra `broker`: pip install 'git-credential-relay[broker]'.
    """
