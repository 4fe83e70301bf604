"""Git's four operations as commands, for --help; main.py serves them without click."""

from __future__ import annotations

import click

from git_credential_relay.cli import COMMANDS


def _operation(name: str, text: str) -> click.Command:
    def refuse() -> None:
        # main.py answers every operation that is called as git calls it.
        raise click.UsageError(f"{name} takes no arguments; git writes its request to stdin")

    return click.Command(name, callback=refuse, short_help=COMMANDS[name][1], help=text)


get_command = _operation(
    "get",
    "Read git's request from stdin and answer it with a user name, a token and its expiry.\n\n"
    "Silent, with exit code 0, for every host that is not ours.",
)
store_command = _operation("store", "Do nothing: what we gave out is in our own cache.")
erase_command = _operation(
    "erase",
    "Drop the token in git's request from the cache; the next get asks for another one.",
)
capability_command = _operation(
    "capability", "Say which of git's credential capabilities are understood (git >= 2.46)."
)
