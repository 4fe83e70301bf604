"""The launchers of an image without Python: POSIX-sh programs with the paths of their place."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from importlib.resources import files

from git_credential_relay import __version__
from git_credential_relay.credential.forge import GITHUB, Forge
from git_credential_relay.executables import DEFAULT_PATH, DISPLACED, LAUNCHER_MARK
from git_credential_relay.wiring.entries import origins
from git_credential_relay.wiring.place import Place
from git_credential_relay.wiring.sidecar import Sidecar

# As GIT_CREDENTIAL_RELAY_GH_DEPTH is counted by the Python program in the same place.
MAX_DEPTH = 16
_HELPER = ("sidecar.sh", "helper.sh")
_GH = ("sidecar.sh", "gh_environment.sh", "gh_place.sh", "gh_credential.sh", "gh.sh")


def helper_program(place: Place, sidecar: Sidecar, forges: Iterable[Forge]) -> str:
    """The text of `git-credential-relay`: the second helper in git's list, and `why`."""
    constants = {
        **_common(place, sidecar),
        "GCR_ORIGINS": " ".join(origins(forges)),
        "GCR_VERSION": __version__,
    }
    return _program(_HELPER, constants)


def gh_program(place: Place, sidecar: Sidecar, forges: Iterable[Forge]) -> str:
    """The text of the `gh` that stands in front of the real one."""
    constants = {
        **_common(place, sidecar),
        "GCR_GH_SOCKET": sidecar.gh_socket or "",
        "GCR_GH_CONFIG_DIR": place.gh_config,
        "GCR_GITHUB_HOSTS": " ".join(github_hosts(forges)),
        "GCR_MAX_DEPTH": str(MAX_DEPTH),
    }
    return _program(_GH, constants)


def github_hosts(forges: Iterable[Forge]) -> list[str]:
    """The hosts among `forges` that gh is for."""
    hosts = [forge.host for forge in forges if forge.kind == GITHUB and forge.scheme == "https"]
    return list(dict.fromkeys(hosts))


def _common(place: Place, sidecar: Sidecar) -> dict[str, str]:
    return {
        "GCR_MARK": LAUNCHER_MARK.decode(),
        "GCR_DISPLACED": DISPLACED,
        "GCR_DEFAULT_PATH": DEFAULT_PATH,
        "GCR_GIT": place.git_inside,
        "GCR_SOCKET": sidecar.socket,
    }


def _program(parts: Iterable[str], constants: dict[str, str]) -> str:
    sources = files("git_credential_relay").joinpath("wiring", "sh")
    texts = [sources.joinpath(part).read_text(encoding="utf-8") for part in parts]
    # As in the unset of sidecar.sh: what came in exported would go out to gh with our value.
    lines = ["#!/bin/sh", f"unset {' '.join(constants)}"]
    lines += [f"{constant}={shlex.quote(value)}" for constant, value in constants.items()]
    return "\n\n".join(["\n".join(lines), *(text.rstrip("\n") for text in texts)]) + "\n"
