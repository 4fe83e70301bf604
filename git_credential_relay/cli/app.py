"""The click application: the group, its options for every setting, its lazy commands."""

from __future__ import annotations

import sys

import click

from git_credential_relay import __version__
from git_credential_relay.cli import COMMANDS
from git_credential_relay.cli.lazy import LazyGroup
from git_credential_relay.config import Config, load_from_process
from git_credential_relay.errors import ConfigError
from git_credential_relay.messages import PROGRAM
from git_credential_relay.settings import SETTINGS


class _Commands(LazyGroup):
    package = "git_credential_relay.cli"
    table = COMMANDS


def _setting_options() -> list[click.Parameter]:
    options: list[click.Parameter] = []
    for setting in SETTINGS:
        if setting.flag == "--verbose":
            continue  # a switch, unlike the others
        what = f"{setting.meaning} (a file with it)" if setting.is_secret else setting.meaning
        options.append(
            click.Option(
                [setting.flag, setting.flag_name],
                help=f"{what}  [{setting.flag_name}]",
                metavar="FILE" if setting.is_secret else "VALUE",
            )
        )
    return options


@click.command(
    cls=_Commands,
    name=PROGRAM,
    params=[
        click.Option(
            ["-v", "--verbose", "GIT_CREDENTIAL_DEBUG"],
            is_flag=True,
            help="a trace without secrets on stderr  [GIT_CREDENTIAL_DEBUG=1]",
        ),
        *_setting_options(),
    ],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "--version", prog_name=PROGRAM)
@click.pass_context
def application(ctx: click.Context, /, **settings: str | bool | None) -> None:
    """Fresh, short-lived credentials for git and gh, fetched at the moment of use.

    Git runs it as a credential helper; the commands are for people and scripts. Every option
    here is also an environment variable and a line in relay.env.
    """
    ctx.obj = {
        name: "1" if value is True else str(value) for name, value in settings.items() if value
    }


def configuration(ctx: click.Context) -> Config:
    """The configuration for a command: its group's options over environment and files."""
    flags = ctx.find_object(dict)
    return load_from_process(flags or {})


def run(arguments: list[str]) -> int:
    """Run the commands; the exit code. RelayErrors pass through to the caller."""
    try:
        result = application.main(arguments, prog_name=PROGRAM, standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        sys.stdout.write(error.format_message() + "\n")
        return 0
    except click.Abort:
        return 130
    except click.ClickException as error:
        raise ConfigError(
            error.format_message().rstrip(".").replace("\n", " "),
            code="usage",
            hint=f"{PROGRAM} --help",
        ) from error
    return result if isinstance(result, int) else 0
