"""All checks in their order, each with what it looks at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from git_credential_relay.doctor.addresses import forge_at
from git_credential_relay.doctor.checks import (
    authorization,
    configuration,
    embedded,
    environment,
    files,
    gh,
    gh_socket,
    helpers,
    reach,
    remotes,
    sidecar,
    switches,
    versions,
)
from git_credential_relay.doctor.git import Git
from git_credential_relay.doctor.gitconfig import Entry
from git_credential_relay.doctor.meeting import Met, meet
from git_credential_relay.doctor.online import check_remote
from git_credential_relay.doctor.report import Check, fail, ok
from git_credential_relay.doctor.scene import Scene, gather
from git_credential_relay.doctor.urlmatch import Url
from git_credential_relay.errors import unforeseen
from git_credential_relay.executables import find_program
from git_credential_relay.relay.deadline import Clock
from git_credential_relay.secret import Secret


def examine(
    environ: Mapping[str, str],
    flags: Mapping[str, str],
    directory: str,
    *,
    repo: str | None = None,
    is_offline: bool = False,
    fixes: bool = False,
) -> list[Check]:
    """Every finding about `directory`, or about the repository at the URL `repo`.

    `is_offline` leaves out what needs a network or a token; `fixes` takes credentials out of
    addresses first.
    """
    scene = gather(environ, flags, directory, repo)
    repairs: list[Check] = []
    if fixes and scene.git is not None:
        repairs = list(embedded.strip(scene.git, _all_entries(scene)))
        secrets = scene.secrets
        scene = gather(environ, flags, directory, repo)
        scene.secrets += secrets
    met = meet(scene.socket, Clock()) if scene.socket is not None else None
    remote = check_remote(scene, met, is_offline=is_offline)
    found = [*repairs, *_whole(_local(scene, met)), *_whole(remote)]
    # Two hosts may give the same finding.
    return list(dict.fromkeys(check.safe(scene.secrets) for check in found))


def _whole(checks: Iterator[Check]) -> Iterator[Check]:
    """The checks, and instead of what nobody foresaw in one of them a failure that names it."""
    try:
        yield from checks
    except Exception as error:  # noqa: BLE001 - what has been found is worth telling
        defect = unforeseen(error)
        yield fail("doctor", defect.code, f"{defect.message}; {defect.hint}")


def _all_entries(scene: Scene) -> list[Entry]:
    return [*scene.entries, *(entry for found in scene.submodules.values() for entry in found)]


def _local(scene: Scene, met: Met | None) -> Iterator[Check]:
    environ, entries, socket = scene.environ, scene.entries, scene.socket
    yield configuration.check_configuration(scene.config, scene.config_error, socket)
    yield versions.check_git(scene.git, scene.version, scene.version_text, socket)
    if scene.git is not None and scene.listing is not None:
        yield from versions.check_other_gits(scene.git, entries, socket)
        yield from files.check_system_config(scene.listing, entries)
        if scene.listing.code == 0:
            yield from _wiring(scene, scene.git)
    yield from files.check_secret_files(environ, scene.config)
    yield files.check_cache(scene.config, socket)
    yield from _sidecar(scene, met)
    yield from _gh(scene)


def _sidecar(scene: Scene, met: Met | None) -> Iterator[Check]:
    if met is None:
        yield ok(sidecar.SIDECAR, "none is configured: each git command answers for itself")
        return
    user = sidecar.User.current()
    yield from sidecar.check_sidecar(met, scene.git_sockets, user)
    yield sidecar.check_place(met.path, met.uid, user)
    yield reach.check_reach(scene.config, met, user)
    if scene.git is not None:
        yield sidecar.check_client(scene.git, met)
    yield sidecar.check_trouble(met, scene.target, Clock().now())


def _wiring(scene: Scene, git: Git) -> Iterator[Check]:
    entries = scene.entries
    yield from files.check_launchers(entries, scene.socket)
    yield remotes.check_repository(scene.repository, scene.no_repository)
    yield from remotes.check_addresses(scene.addresses, entries, scene.forges, scene.socket)
    yield from embedded.check_embedded(_all_entries(scene))
    for url in scene.urls:
        yield from _one_host(scene, git, url)


def _one_host(scene: Scene, git: Git, url: Url) -> Iterator[Check]:
    environ, entries = scene.environ, scene.entries
    system, own = git.usual_entries()
    surroundings = list(
        environment.check_environment(environ, entries, system, own, url, scene.socket)
    )
    order = list(helpers.check_helpers(entries, url, scene.socket))
    is_wired = all(check.code != "not-wired" for check in order)
    is_explained = not is_wired and any(check.status == "fail" for check in surroundings)
    yield from surroundings
    yield from [environment.see_environment()] if is_explained else order
    forge = forge_at(scene.forges, url.address, url.scheme)
    yield switches.check_http_path(entries, url, is_wired=is_wired)
    yield switches.check_username(entries, url, forge.username if forge else None)
    yield switches.check_retries(entries, url, scene.version)
    yield from authorization.check_headers(entries, url)
    yield authorization.check_netrc(environ, url)


def _gh(scene: Scene) -> Iterator[Check]:
    path = scene.environ.get("PATH")
    real = find_program("gh", path)
    version, words = gh.gh_version(real, scene.environ)
    for token in gh.stored_tokens(scene.environ):
        scene.note_secret(Secret(token))
    yield gh.check_gh(path, scene.socket)
    yield gh.check_version(real, version, words)
    yield from gh.check_environment(scene.environ)
    yield from gh.check_hosts(scene.environ, version)
    yield gh_socket.check_gh_socket(scene.config, scene.environ)
