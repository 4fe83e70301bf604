"""`completion`: what a shell has to source to complete our commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from git_credential_relay.cli.app import application
from git_credential_relay.messages import PROGRAM

_VARIABLE = "_GIT_CREDENTIAL_RELAY_COMPLETE"


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> None:
    """Print the completion script of a shell.

    In ~/.bashrc: eval "$(git-credential-relay completion bash)", and likewise in ~/.zshrc. For
    fish: git-credential-relay completion fish | source
    """
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - for the type checker; click brings these three
    click.echo(kind(application, {}, PROGRAM, _VARIABLE).source())
