"""`doctor`: what works, what does not, and the command that mends it."""

from __future__ import annotations

import os

import click

from git_credential_relay.doctor.addresses import ssh_place
from git_credential_relay.doctor.report import as_json, as_text, is_healthy
from git_credential_relay.doctor.run import examine
from git_credential_relay.doctor.urlmatch import parse_url
from git_credential_relay.errors import ConfigError


@click.command("doctor")
@click.option("--json", "is_json", is_flag=True, help="the report as one JSON object")
@click.option("--repo", metavar="URL", help="a repository that is not checked out here")
@click.option("--offline", "is_offline", is_flag=True, help="no network and no token")
@click.option("--fix", "fixes", is_flag=True, help="take credentials out of remotes' addresses")
@click.pass_context
def doctor_command(
    ctx: click.Context, is_json: bool, repo: str | None, is_offline: bool, fixes: bool
) -> None:
    """Check git, gh, the configuration, the relay API and whether a push would be accepted.

    Looks at the repository in the current directory. The exit code is 1 when a check fails;
    warnings are allowed.
    """
    if repo is not None and parse_url(repo) is None and ssh_place(repo) is None:
        raise ConfigError(
            "--repo is not a URL", code="usage", hint="give it as https://host/owner/name"
        )
    # The variables themselves are looked at, so the configuration alone would not do.
    checks = examine(
        os.environ,
        ctx.find_object(dict) or {},
        _current_directory(),
        repo=repo,
        is_offline=is_offline,
        fixes=fixes,
    )
    click.echo(as_json(checks) if is_json else as_text(checks))
    ctx.exit(0 if is_healthy(checks) else 1)


def _current_directory() -> str:
    try:
        return os.getcwd()
    except OSError:
        return "/"  # it has been removed under us
