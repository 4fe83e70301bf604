"""argv → one of git's operations, the gh shim, or the click commands; each loads only its own.

The only place that ends the process and that writes errors to stderr.
"""

from __future__ import annotations

import os
import sys

from git_credential_relay.errors import ConfigError, RelayError, unforeseen
from git_credential_relay.settings import setting_for_flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from git_credential_relay.config import Config

OPERATIONS = ("get", "store", "erase", "capability")
EXIT_INTERRUPTED = 130


def launch() -> NoReturn:
    """Run the program: the entry point of `git-credential-relay`."""
    _end(main())


def launch_gh() -> NoReturn:
    """Run the real gh with a fresh token: the entry point of the `gh` that stands in front."""
    _end(_guarded(_gh))


def launch_gh_credential_relay() -> NoReturn:
    """Answer agent-relay's protocol for gh: the entry point of `gh-credential-relay`."""
    _end(_guarded(_gh_credential_relay))


def _end(code: int) -> NoReturn:
    """End the process at once.

    Taking the interpreter down in good order costs a tenth of a warm `get`, and would wait for
    nothing that matters.
    """
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        code = code or 1
    os._exit(code)


def main(argv: list[str] | None = None) -> int:
    """Run the program; the exit code is that of errors.py, 0 for what is not ours."""
    return _guarded(lambda: _program(sys.argv[1:] if argv is None else argv))


def _guarded(run: Callable[[], int]) -> int:
    """The exit code of `run`, whatever happens in it."""
    if sys.__stdin__ is None or sys.__stdout__ is None or sys.__stderr__ is None:
        _replace_closed_streams()
    try:
        return run()
    except RelayError as error:
        return report(error)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever asked has gone; Python would complain once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except Exception as error:  # noqa: BLE001 - never a traceback: it may hold a token
        return report(unforeseen(error))


def _program(arguments: list[str]) -> int:
    flags, rest = split_flags(arguments)
    if len(rest) == 1 and rest[0] in OPERATIONS:
        return _operation(rest[0], flags)
    return _command(arguments, rest)


def _gh() -> int:
    _forbid_core_dumps()
    from git_credential_relay.relay.gh import shim

    return shim.run(sys.argv)


def _gh_credential_relay() -> int:
    _forbid_core_dumps()
    from git_credential_relay.relay.gh import credential_relay

    return credential_relay.run(sys.argv[1:])


def report(error: RelayError) -> int:
    """Tell `error` on stderr; its exit code."""
    from git_credential_relay.messages import error_lines

    sys.stderr.write("".join(f"{line}\n" for line in error_lines(error)))
    return error.exit_code


def split_flags(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """The settings given as flags in front of the operation, and what follows them.

    Raises ConfigError for a setting's flag without a value.
    """
    flags: dict[str, str] = {}
    rest = list(arguments)
    while rest and rest[0].startswith("-"):
        name, equals, value = rest[0].partition("=")
        if name in ("-v", "--verbose") and not equals:
            flags["GIT_CREDENTIAL_DEBUG"] = "1"
            del rest[0]
            continue
        found = setting_for_flag(name)
        if found is None:
            break
        if not equals:
            if len(rest) < 2:
                raise ConfigError(f"{name} needs a value", code="usage")
            value = rest.pop(1)
        flags[found.flag_name] = value
        del rest[0]
    return flags, rest


def _replace_closed_streams() -> None:
    """Put /dev/null where the caller closed a standard stream.

    The next file or socket we open would take its number, and receive what is meant for git.
    """
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(fd)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _forbid_core_dumps() -> None:
    """A core dump would lie in the work tree, with the secrets in it, ready to be committed."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def _operation(operation: str, flags: dict[str, str]) -> int:
    if operation == "store":
        return 0  # git calls it after every success; what we gave out we have
    _forbid_core_dumps()
    from git_credential_relay.relay import helper
    from git_credential_relay.relay.compose import build_acquirer

    helper.run(
        operation,
        lambda limit: os.read(0, limit),
        _write,
        lambda: _load_config(flags),
        build_acquirer,
    )
    return 0


def _load_config(flags: dict[str, str]) -> Config:
    from git_credential_relay.config import load_from_process

    return load_from_process(flags)


def _write(data: bytes) -> None:
    """One write, so that nobody sees half an answer; the rest only if a pipe was full."""
    while data:
        data = data[os.write(1, data) :]


def _command(arguments: list[str], rest: list[str]) -> int:
    from git_credential_relay.cli import COMMANDS

    is_word = len(rest) == 1 and not rest[0].startswith("-")
    if is_word and rest[0] not in COMMANDS and not _is_person():
        return 0  # an operation of a later git: helpers ignore what they do not know
    _forbid_core_dumps()
    from git_credential_relay.cli import app

    return app.run(arguments)


def _is_person() -> bool:
    try:
        return os.isatty(0)
    except OSError:
        return False
