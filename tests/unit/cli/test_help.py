"""--help, --version, unknown words and usage errors."""

import os
import pty
import subprocess

import pytest

from git_credential_relay import __version__
from git_credential_relay.cli import COMMANDS
from git_credential_relay.main import main, split_flags
from git_credential_relay.settings import SETTINGS
from tests.fakes.program import EXECUTABLE, run_program

P = "git-credential-relay: "


def test_group_help_shows_every_command_and_every_setting(capsys):
    """--help of the program lists all commands with their line and all settings with their
    variable."""
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    words = " ".join(text.split())

    for name, (_, line) in COMMANDS.items():
        assert f" {name} {line}" in words
    for setting in SETTINGS:
        assert setting.flag in words
        variable = setting.name + ("_FILE" if setting.is_secret else "")
        assert f"[{variable}]" in words or f"[{variable}=1]" in words


HELP = [
    ("get", ["Read git's request from stdin", "exit code 0"]),
    ("store", ["Do nothing"]),
    ("erase", ["Drop the token in git's request"]),
    ("capability", ["git >= 2.46"]),
    ("token", ["--host", "--repo", "--use [git|api]", "--format [raw|json|env]"]),
    ("exec", ["git-credential-relay exec -- glab mr list", "--host", "--repo", "127"]),
    ("config", ["where it comes from"]),
    ("login", ["--cloud-api-url", "--workspace-id", "keyring"]),
    ("logout", ["Forget the workspace's secret"]),
    ("install", ["--root DIR", "--global", "--host HOST", "--dry-run", "--mode [direct|sidecar]"]),
    ("uninstall", ["--root DIR", "--global", "--dry-run"]),
    ("doctor", ["--json", "--repo URL", "--offline", "--fix"]),
    ("sidecar", ["--socket PATH", "--gh-socket PATH", "GIT_CREDENTIAL_RELAY_ALLOW_UIDS", "SIGHUP"]),
    ("why", ["[URL]", "remotes of the current directory", "exit code is 0"]),
    ("status", ["--json", "--watch", "Ctrl-C"]),
    ("completion", ["{bash|zsh|fish}"]),
    ("broker", ["serve", "check", "workspace", "audit", "key", "git-credential-relay[broker]"]),
    ("demo", ["loopback"]),
]


@pytest.mark.parametrize(("command", "expected"), HELP)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_of_each_command_loads(capsys, command, expected, flag):
    """Each command has a help that says what it does and shows its options."""
    exit_code = main([command, flag])
    out, err = capsys.readouterr()

    assert (exit_code, err) == (0, "")
    assert out.startswith(f"Usage: git-credential-relay {command} [OPTIONS]")
    assert [part for part in expected if part not in " ".join(out.split())] == []


def test_help_is_tested_for_every_command():
    """No command is missing in the table above."""
    assert [command for command, _ in HELP] == list(COMMANDS)


def test_executable_without_arguments_shows_its_help():
    """A person who types the bare name sees the help."""
    bare, helped = run_program(), run_program("--help")

    assert (bare.returncode, bare.stderr) == (0, "")
    assert bare.stdout.split() == helped.stdout.split()


def test_version():
    """--version says name and version."""
    done = run_program("--version")

    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        f"git-credential-relay, version {__version__}\n",
        "",
    )


@pytest.mark.parametrize("arguments", [["approve"], ["get2"], ["--deadline", "5", "renew"]])
def test_operation_of_a_later_git_is_silence(arguments):
    """A word we do not know, called as git calls a helper, is answered by nothing at all."""
    done = run_program(*arguments, stdin="protocol=https\nhost=github.com\n\n")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_person_who_mistypes_is_told():
    """At a terminal an unknown word is a mistake, and said in one line."""
    controller, terminal = pty.openpty()
    try:
        done = subprocess.run(
            [EXECUTABLE, "tokn"],
            stdin=terminal,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    finally:
        os.close(controller)
        os.close(terminal)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{P}error: No such command 'tokn'")
    assert "[usage] (hint: git-credential-relay --help;" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(["--bogus"], "No such option '--bogus'", id="unknown option"),
        pytest.param(["--bogus", "get"], "No such option '--bogus'", id="in front of get"),
        pytest.param(["--deadline"], "--deadline needs a value", id="no value"),
        pytest.param(
            ["--workspace-token", "x", "get"],
            "No such option '--workspace-token'",
            id="a secret as an argument",
        ),
        pytest.param(["get", "more"], "Got unexpected extra argument (more)", id="get and more"),
        pytest.param(["token", "--format", "xml"], "Invalid value for '--format'", id="format"),
        pytest.param(["token", "--use"], "Option '--use' requires an argument", id="use"),
        pytest.param(["token", "stray"], "Got unexpected extra argument (stray)", id="stray"),
        pytest.param(["config", "--bogus"], "No such option '--bogus'", id="command's option"),
    ],
)
def test_usage_error_is_one_line(capsys, arguments, expected):
    """A wrong call ends with exit code 2 and one line that says what is wrong, has the code
    `usage`, and is no traceback."""
    exit_code = main(arguments)
    out, err = capsys.readouterr()

    assert (exit_code, out) == (2, "")
    assert err.startswith(f"{P}error: {expected}")
    assert "[usage]" in err
    assert err.count("\n") == 1


def test_bad_configuration_is_one_line():
    """A bad value met by an operation of git's is one line with its code and exit code 2."""
    done = run_program("get", stdin="protocol=https\nhost=github.com\n\n", CLOUD_API_URL="ftp://x")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"{P}error: CLOUD_API_URL in the environment: not an http or https URL [bad-config]"
        " (hint: correct CLOUD_API_URL; trying again before that will not help)\n"
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ({}, [])),
        (["get"], ({}, ["get"])),
        (["--deadline", "5", "get"], ({"GIT_CREDENTIAL_RELAY_DEADLINE": "5"}, ["get"])),
        (["--deadline=5", "get"], ({"GIT_CREDENTIAL_RELAY_DEADLINE": "5"}, ["get"])),
        (["--deadline=", "get"], ({"GIT_CREDENTIAL_RELAY_DEADLINE": ""}, ["get"])),
        (["--gh-host", "a=b", "get"], ({"GH_HOST": "a=b"}, ["get"])),
        (["--gh-host=a=b", "get"], ({"GH_HOST": "a=b"}, ["get"])),
        (["--deadline", "1", "--deadline", "2"], ({"GIT_CREDENTIAL_RELAY_DEADLINE": "2"}, [])),
        (["-v", "--verbose", "get"], ({"GIT_CREDENTIAL_DEBUG": "1"}, ["get"])),
        (["--workspace-token-file", "/s", "get"], ({"WORKSPACE_TOKEN_FILE": "/s"}, ["get"])),
        (["get", "--deadline", "5"], ({}, ["get", "--deadline", "5"])),
        (["--help"], ({}, ["--help"])),
        (["--bogus", "--deadline", "5"], ({}, ["--bogus", "--deadline", "5"])),
    ],
    ids=str,
)
def test_settings_in_front_of_an_operation(arguments, expected):
    """Settings may stand in front of the operation in git's configuration, as two words or with
    `=`; what follows the first other word is not ours to read."""
    assert split_flags(arguments) == expected


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.flag)
def test_both_readers_of_flags_know_the_same_ones(capsys, setting):
    """What git's operations accept in front of them, the commands accept as well."""
    values = [] if setting.flag == "--verbose" else [""]
    flags, rest = split_flags([setting.flag, *values, "get"])

    assert (list(flags), rest) == (
        [setting.name + ("_FILE" if setting.is_secret else "")],
        ["get"],
    )
    assert main([setting.flag, *values, "get", "--help"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("capability", "version 0\ncapability authtype\ncapability state\n"),
        ("store", ""),
    ],
)
def test_operations_that_need_no_configuration(operation, expected):
    """What git asks around a push is answered even when the configuration is wrong."""
    done = run_program(operation, CLOUD_API_URL="ftp://x")

    assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")


@pytest.mark.parametrize("arguments", [["config"], ["--help"], ["capability"]], ids=str)
def test_reader_that_has_gone_gets_no_traceback(arguments):
    """When whoever asked has closed the pipe, there is no traceback."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [EXECUTABLE, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=30,
        )
    finally:
        os.close(writer)

    assert (done.returncode, done.stderr) == (1, "")


def test_mistyped_command_with_arguments_is_an_error():
    """Git calls a helper with one word; anything else was typed by somebody who must know."""
    done = run_program("tokn", "--repo", "a/b")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("git-credential-relay: error: No such command 'tokn'")
