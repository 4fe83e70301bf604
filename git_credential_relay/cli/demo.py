"""`demo`: the whole thing on loopback."""

from __future__ import annotations

import sys

import click


@click.command("demo")
@click.pass_context
def demo_command(ctx: click.Context) -> None:
    """Watch real git clone and push with tokens that expire between the pushes.

    Everything runs on loopback, in a temporary directory: a forge, a small cloud API and a
    bare agent environment. The exit code is 1 when a step is not as promised.
    """
    from git_credential_relay.demo import story

    ctx.exit(0 if story.run(sys.stdout) else 1)
