"""Variables that change which configuration git reads, and whom it asks in the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from git_credential_relay.doctor.checks.helpers import HELPERS, names_us
from git_credential_relay.doctor.gitconfig import COMMAND_VARIABLES, Entry, unset_command
from git_credential_relay.doctor.report import Check, fail, ok, skip, warn
from git_credential_relay.doctor.urlmatch import Url

ENVIRONMENT = "git-environment"


def check_environment(
    environ: Mapping[str, str],
    entries: Sequence[Entry],
    system: Sequence[Entry],
    usual_global: Sequence[Entry],
    url: Url,
    socket: str | None = None,
) -> Iterator[Check]:
    """Variables that make git read other configuration than the one that names us.

    `system` and `usual_global` are what the files say that git would read without them.
    """
    is_wired = names_us(entries, url, socket)
    redirected = [v for v in ("GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_SYSTEM") if environ.get(v)]
    if redirected and not is_wired and names_us(system, url, socket):
        yield fail(
            ENVIRONMENT,
            "system-config-ignored",
            f"{' and '.join(redirected)}: git does not read the system file that names us",
            f"unset {' '.join(redirected)}",
        )
    elif "GIT_CONFIG_GLOBAL" in environ and not is_wired and names_us(usual_global, url, socket):
        yield fail(
            ENVIRONMENT,
            "global-config-replaced",
            "GIT_CONFIG_GLOBAL: git does not read your own file that names us",
            "unset GIT_CONFIG_GLOBAL",
        )
    else:
        told = [*redirected, "GIT_CONFIG_GLOBAL", *COMMAND_VARIABLES]
        present = [variable for variable in told if variable in environ]
        yield ok(ENVIRONMENT, f"{', '.join(present) or 'no GIT_CONFIG_*'}: nothing in our way")
    asked = [variable for variable in ("GIT_ASKPASS", "SSH_ASKPASS") if environ.get(variable)]
    if asked:
        yield warn(
            ENVIRONMENT,
            "askpass",
            f"{', '.join(asked)}: a program that git asks when every helper is silent",
            f"unset {' '.join(asked)}",
        )
    programs = [e for e in entries if e.key == "core.askpass" and e.value]
    if programs:
        yield warn(
            ENVIRONMENT,
            "askpass",
            f"core.askPass in {programs[-1].origin}: git asks it when every helper is silent",
            unset_command(programs, entries),
        )


def see_environment() -> Check:
    """The helpers' order, where the environment already explains it."""
    return skip(HELPERS, "see-git-environment", "git does not read what names us")
