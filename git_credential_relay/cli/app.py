"""The click application: the group, its options for every setting, its lazy commands."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from git_credential_relay import __version__
from git_credential_relay.cli import COMMANDS
from git_credential_relay.config import Config, load_from_process
from git_credential_relay.errors import ConfigError
from git_credential_relay.messages import PROGRAM
from git_credential_relay.settings import SETTINGS


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is called, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported; None when there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"git_credential_relay.cli.{COMMANDS[cmd_name][0]}")
        command = getattr(module, f"{cmd_name}_command")
        assert isinstance(command, click.Command)  # noqa: S101 - for the type checker
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_text) for name, (_, help_text) in COMMANDS.items()])


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
    cls=LazyGroup,
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
