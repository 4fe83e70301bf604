"""`demo`: the whole thing on loopback."""

from __future__ import annotations

import sys

import click

from git_credential_relay.cli.broker.options import check_broker_extra


@click.command("demo")
@click.pass_context
def demo_command(ctx: click.Context) -> None:
    """Watch real git clone and push with tokens that expire between the pushes.

    Everything runs on loopback, in a temporary directory: the broker, a GitHub and a GitLab, and
    a bare agent environment; then a sidecar, and an agent beside it who has no secret (as another
    user when you are root). The exit code is 1 when a step is not as promised.

    It needs the extra `broker`: pip install 'git-credential-relay[broker]'.
    """
    # The broker of the story is a process of its own: that its libraries are missing is better
    # said before anything runs.
    check_broker_extra()
    from git_credential_relay.demo import story

    ctx.exit(0 if story.run(sys.stdout) else 1)
