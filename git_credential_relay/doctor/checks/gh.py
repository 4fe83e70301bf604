"""Which gh an agent runs, and what it finds before it finds our token."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from git_credential_relay.doctor.checks.gh_socket import OWN_DIRECTORY
from git_credential_relay.doctor.checks.helpers import away_command, install_command
from git_credential_relay.doctor.git import Version, run, version_in
from git_credential_relay.doctor.helper_commands import PROGRAM
from git_credential_relay.doctor.report import Check, fail, ok, skip, warn
from git_credential_relay.env_file import read_text
from git_credential_relay.errors import ConfigError
from git_credential_relay.executables import DEFAULT_PATH, find_program, is_launcher
from git_credential_relay.relay.gh.config_dir import own_directory
from git_credential_relay.relay.variables import own_tokens

GH = "gh"
VERSION = "gh-version"
HOSTS = "gh-hosts"
ENVIRONMENT = "gh-environment"

# The first version that has it, and what the ones before lack. GH_PATH: cli/cli#7025.
_GH_LACKS: tuple[tuple[Version, str], ...] = (
    ((2, 24), "it ignores GH_PATH, so its own git commands go past the gh in front"),
    ((2, 63), "it may give a token to a submodule's foreign host (CVE-2024-53858)"),
    ((2, 93), "`gh attestation` may give a token away (CVE-2026-48501)"),
)
# From here on gh rewrites hosts.yml when it starts, and no command runs if that fails.
_MIGRATES_SINCE = (2, 40)
# Seen not to any more; which version before it was the last to do so is not known.
_MIGRATES_NO_MORE_SINCE = (2, 102)
_OWN_TOKENS = ("GH_TOKEN", "GITHUB_TOKEN")
# gh offers these to every host that is not github.com, whosever it is.
_UNBOUND_TOKENS = ("GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN")
_PLACEHOLDERS = ("placeholder", "held-by-the-sidecar", "null", "seed-me", "")


def check_gh(path: str | None, socket: str | None = None) -> Check:
    """Whether the gh that runs is ours, with the real one behind it."""
    found = _all_gh(path)
    real = find_program("gh", path)
    if not found:
        return skip(GH, "no-gh", "there is no gh on PATH")
    if is_launcher(found[0]):
        if real is None:
            return warn(GH, "gh-missing", f"{found[0]} is ours, with no real gh behind it")
        return ok(GH, f"{found[0]} is ours, in front of {real}")
    behind = [os.path.dirname(program) for program in found if is_launcher(program)]
    if behind:
        return warn(
            GH,
            "gh-behind",
            f"{found[0]} is found before ours in {behind[0]}",
            f'export PATH={shlex.quote(behind[0])}:"$PATH"',
        )
    words = f"{found[0]} runs without a token of ours"
    return warn(GH, "gh-not-ours", words, install_command("--gh", socket=socket))


def _all_gh(path: str | None) -> list[str]:
    """Every gh on PATH, that which a shell would run first; relative directories do not count."""
    directories = [d for d in (path or DEFAULT_PATH).split(os.pathsep) if d.startswith("/")]
    found = (shutil.which("gh", path=directory) for directory in directories)
    return [program for program in found if program is not None]


def gh_version(program: str | None, environ: Mapping[str, str]) -> tuple[Version | None, str]:
    """The version of the real gh, and how it says it."""
    if program is None:
        return None, ""
    try:
        # In its own directory it might first migrate, over the network, what lies there.
        with tempfile.TemporaryDirectory(prefix=f"{PROGRAM}-") as empty:
            own = {"GH_CONFIG_DIR": empty, "GH_NO_UPDATE_NOTIFIER": "1"}
            own["GH_TELEMETRY"] = "0"  # for which newer ones keep a name of the device at home
            done = run([program, "--version"], {**environ, **own})
    except OSError:
        return None, "there is nowhere to run it safely"
    words = done.out.decode("utf-8", "replace").partition("\n")[0]
    return version_in(done.out), words or done.err


def check_version(program: str | None, version: Version | None, words: str) -> Check:
    """What the real gh lacks."""
    if program is None:
        return skip(VERSION, "no-gh", "there is no gh on PATH")
    if version is None:
        return warn(VERSION, "gh-broken", f"{program} does not tell its version: {words}")
    lacks = [lack for since, lack in _GH_LACKS if version < since]
    if lacks:
        return warn(VERSION, "gh-outdated", f"{program} is {words}: {'; '.join(lacks)}")
    return ok(VERSION, f"{program} is {words}")


def check_environment(environ: Mapping[str, str]) -> Iterator[Check]:
    """Tokens in the environment, which gh uses before it asks anybody.

    Not those that we put there. And a gh of ours sets GH_TOKEN, which gh prefers to GITHUB_TOKEN.
    """
    found = _all_gh(environ.get("PATH"))
    names = _OWN_TOKENS[:1] if found and is_launcher(found[0]) else _OWN_TOKENS
    ours = own_tokens(environ)
    own = [name for name in names if environ.get(name) and name not in ours]
    unbound = [name for name in _UNBOUND_TOKENS if environ.get(name)]
    if unbound:
        yield fail(
            ENVIRONMENT,
            "unbound-token",
            f"{', '.join(unbound)}: gh gives it to any host that is not github.com",
            f"unset {' '.join(unbound)}",
        )
    if own:
        yield warn(
            ENVIRONMENT,
            "token-in-environment",
            f"{', '.join(own)}: gh uses it in place of a fresh one, until it has expired",
            f"unset {' '.join(own)}",
        )
    if not (own or unbound):
        yield ok(ENVIRONMENT, "no token that is in the way")


def check_hosts(environ: Mapping[str, str], version: Version | None) -> Iterator[Check]:
    """What earlier set-ups left in gh's own files."""
    directory = Path(own_directory(environ))
    if not directory.is_absolute():
        yield skip(HOSTS, "no-home", "there is no home directory")
        return
    if str(directory).endswith(OWN_DIRECTORY):
        yield ok(HOSTS, f"{directory} is ours, and leads gh to the sidecar")
        return
    found = []
    for path in (directory / "hosts.yml", directory / "config.yml"):
        if path.is_file():
            found += list(_look_at(path, directory, version))
    yield from found or [ok(HOSTS, f"nothing in {directory} is in our way")]


def _look_at(path: Path, directory: Path, version: Version | None) -> Iterator[Check]:
    try:
        data = _load(path)
    except ConfigError as error:
        yield warn(HOSTS, "gh-unreadable", error.message)
        return
    away = away_command(str(path))
    hosts = data if path.name == "hosts.yml" else {"": data}
    for name, host in hosts.items():
        if not isinstance(host, dict):
            continue
        where = f"{path}{f' ({name})' if name else ''}"
        if "credential-helper" in host:
            yield warn(
                HOSTS,
                "gh-helper-key",
                f"{where}: gh has no key `credential-helper`; nobody runs what it names",
                f"sed -i '/^ *credential-helper:/d' {shlex.quote(str(path))}",
            )
        token = host.get("oauth_token")
        if not isinstance(token, str):
            continue
        if token in _PLACEHOLDERS:
            yield warn(HOSTS, "gh-placeholder", f"{where}: oauth_token is no token", away)
        elif _migrates(version) and not _is_migrated(host, directory):
            yield warn(
                HOSTS,
                "gh-unmigrated",
                f"{where}: gh migrates this file when it starts, and no command of it runs once"
                " the stored token has expired",
                away,
            )
        else:
            yield warn(
                HOSTS,
                "gh-stored-token",
                f"{where}: a stored token, which gh uses wherever ours is not",
                away,
            )


def _migrates(version: Version | None) -> bool:
    return version is not None and _MIGRATES_SINCE <= version < _MIGRATES_NO_MORE_SINCE


def _is_migrated(host: dict[object, object], directory: Path) -> bool:
    if "users" in host:
        return True
    try:
        return _load(directory / "config.yml").get("version") == "1"
    except ConfigError:
        return False


def _load(path: Path) -> dict[object, object]:
    import yaml  # only where there is such a file

    text = read_text(str(path), "gh")
    try:
        # Texts, lists and maps alone: a date in the file must not matter.
        data = yaml.load(text, yaml.BaseLoader)  # noqa: S506
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} is not YAML") from error
    return data if isinstance(data, dict) else {}


def stored_tokens(environ: Mapping[str, str]) -> list[str]:
    """Every token in gh's files, so that none of them gets into a report."""
    path = Path(own_directory(environ), "hosts.yml")
    if not path.is_file():
        return []
    try:
        hosts = _load(path)
    except ConfigError:
        return []
    found = []
    for host in hosts.values():
        fields = host if isinstance(host, dict) else {}
        found += [fields.get("oauth_token"), fields.get("token")]
    return [token for token in found if isinstance(token, str) and token not in _PLACEHOLDERS]
