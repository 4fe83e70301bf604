"""Becoming another program: the same process, with the environment and signals it was given."""

from __future__ import annotations

# `signal` wraps this in enums, which would cost a warm start a fifth more.
import _signal  # type: ignore[import-not-found]
import os

from git_credential_relay.errors import CommandNotFoundError, CommandNotRunError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

# What leads programs to the user's files, where HOME does not.
_DIRECTORIES = (
    "GH_CONFIG_DIR",
    "GLAB_CONFIG_DIR",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
)


def given_environment() -> dict[str, str]:
    """The environment this process was started with, without what Python added to it.

    In the C locale Python sets LC_CTYPE for itself and its children (PEP 538); a program that
    we become would format and sort differently from one run without us.
    """
    environ = dict(os.environ)
    if environ.get("LC_CTYPE") in ("C.UTF-8", "C.utf8", "UTF-8"):
        try:
            with open("/proc/self/environ", "rb") as file:
                if b"\0LC_CTYPE=" not in b"\0" + file.read():
                    del environ["LC_CTYPE"]
        except OSError:
            pass  # no /proc: then the variable stays
    return environ


def keep_to_home(environ: dict[str, str]) -> None:
    """Have programs look for the user's files in the user's home and nowhere else.

    Without HOME, or with a relative path in `environ`, gh takes its settings, aliases and
    extensions from the directory it stands in. That may be a work tree, and whoever wrote what is
    in it would run commands with our token.
    """
    for name in _DIRECTORIES:
        if environ.get(name) and not os.path.isabs(environ[name]):
            del environ[name]
    if not os.path.isabs(environ.get("HOME", "")):
        environ["HOME"] = _home()


def _home() -> str:
    """The user's home in the system's list of users; `/` for somebody who is not in it."""
    import pwd  # only where HOME is missing

    try:
        home = pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return "/"
    return home if os.path.isabs(home) else "/"


def use_default_signals() -> None:
    """Let signals do what they do to any program; Python's own choices survive an exec.

    It ignores SIGPIPE and SIGXFSZ, and would make an exit code out of Ctrl-C. Whatever the
    caller ignored (`nohup`, a shell's `&`) stays ignored.
    """
    for number in (_signal.SIGPIPE, _signal.SIGXFSZ):
        _signal.signal(number, _signal.SIG_DFL)
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)


def become(program: str, argv: Sequence[str], environ: Mapping[str, str]) -> NoReturn:
    """Replace this process by `program`, a path or a name to look for on the PATH of `environ`.

    Exit code, signals, terminal and standard streams are then those of the program. Raises
    CommandNotRunError when it cannot be run.
    """
    use_default_signals()
    try:
        os.execvpe(program, list(argv), dict(environ))  # noqa: S606 - no shell on purpose
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CommandNotFoundError(f"{program}: command not found") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise CommandNotRunError(f"{program}: cannot be run: {reason}") from error
