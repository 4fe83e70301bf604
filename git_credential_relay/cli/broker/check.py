"""`broker check`: what is wrong with a configuration, and with the forges in it."""

from __future__ import annotations

import asyncio
from dataclasses import astuple
from pathlib import Path

import click

from git_credential_relay.cli.broker.options import broker_extra, config_option
from git_credential_relay.doctor.report import Check, as_json, as_text, is_healthy


@click.command("check")
@config_option
@click.option("--live", "is_live", is_flag=True, help="ask the forges too")
@click.option(
    "--must-refuse",
    "must_refuse",
    multiple=True,
    metavar="HOST/OWNER/NAME",
    help="a repository that nobody may get; implies --live, may be given again",
)
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True
)
@click.pass_context
def check_command(
    ctx: click.Context, config_path: Path, is_live: bool, must_refuse: tuple[str, ...], form: str
) -> None:
    """Check the configuration with the keys and secrets it names, without starting anything.

    With --live each forge is asked for the repositories that grants name, and for some that it
    must refuse; nothing is minted that lives on. The exit code is 1 when a check fails.
    """
    with broker_extra():
        from git_credential_relay.broker.check.findings import FAIL
        from git_credential_relay.broker.check.live import parse_refused, probe
        from git_credential_relay.broker.check.offline import check_config
        from git_credential_relay.broker.config.load import load_config
    refused = [parse_refused(text) for text in must_refuse]
    findings = check_config(config_path)
    is_usable = all(finding.status != FAIL for finding in findings)
    if (is_live or refused) and is_usable:
        findings += asyncio.run(probe(load_config(config_path), refused))
    checks = [Check(*astuple(finding)).safe(()) for finding in findings]
    click.echo(as_json(checks) if form == "json" else as_text(checks))
    ctx.exit(0 if is_healthy(checks) else 1)
