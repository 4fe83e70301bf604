"""The broker's commands: their help, and what they load for it."""

import subprocess
import sys

import pytest

from git_credential_relay.cli.broker import COMMANDS
from git_credential_relay.main import main

HELP = [
    ("serve", ["--config FILE", "--listen ADDR", "--cache-url URL", "SIGHUP"]),
    ("check", ["--config FILE", "--live", "--must-refuse HOST/OWNER/NAME", "--format [text|json]"]),
    ("workspace", ["create", "show", "list", "rotate", "delete"]),
    ("audit", ["who-used", "tail"]),
    ("audit who-used", ["HASH", "hashed_token", "--config FILE", "--format [text|json]"]),
    ("audit tail", ["-n", "--follow"]),
    ("key", ["new", "rotate", "encryption_key_file"]),
    ("key new", ["new key"]),
    ("key rotate", ["--config FILE"]),
]


@pytest.mark.parametrize(("command", "expected"), HELP)
def test_help_of_each_command(capsys, command, expected):
    """Each command says what it does and shows its options."""
    exit_code = main(["broker", *command.split(), "--help"])
    out, err = capsys.readouterr()

    assert (exit_code, err) == (0, "")
    assert out.startswith(f"Usage: git-credential-relay broker {command} [OPTIONS]")
    assert [part for part in expected if part not in " ".join(out.split())] == []


def test_help_is_tested_for_every_command():
    """No command is missing in the table above."""
    assert [command for command, _ in HELP if " " not in command] == list(COMMANDS)


def test_the_group_lists_its_commands(capsys):
    """`broker` alone shows each command with its line."""
    assert main(["broker"]) == 0
    words = " ".join(capsys.readouterr().out.split())

    assert [line for name, (_, line) in COMMANDS.items() if f" {name} {line}" not in words] == []


def test_help_needs_none_of_the_extras():
    """Nobody waits for a web server and a database to read a page of help."""
    program = (
        "import sys\n"
        "from git_credential_relay.main import main\n"
        "for command in ('serve', 'check', 'workspace', 'audit', 'key'):\n"
        "    assert main(['broker', command, '--help']) == 0\n"
        "heavy = {'starlette', 'uvicorn', 'sqlalchemy', 'msgspec', 'cryptography', 'jwt'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "arguments", [["broker", "serv"], ["broker", "audit", "who-used"], ["broker", "key", "x"]]
)
def test_a_wrong_call_is_one_line(capsys, arguments):
    """Exit code 2 and the code `usage`."""
    assert main(arguments) == 2
    out, err = capsys.readouterr()

    assert (out, err.count("\n")) == ("", 1)
    assert "[usage]" in err
