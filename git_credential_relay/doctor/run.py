"""All checks in their order, each with what it looks at."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping

from git_credential_relay.config import Config
from git_credential_relay.credential.forge import GITHUB, Forge, Target
from git_credential_relay.doctor.addresses import forge_at
from git_credential_relay.doctor.checks import (
    api,
    authorization,
    configuration,
    credential,
    embedded,
    environment,
    files,
    gh,
    helpers,
    push,
    remotes,
    switches,
    versions,
)
from git_credential_relay.doctor.git import Git
from git_credential_relay.doctor.gitconfig import Entry
from git_credential_relay.doctor.report import Check, fail, skip
from git_credential_relay.doctor.scene import Scene, gather
from git_credential_relay.doctor.urlmatch import Url, parse_url
from git_credential_relay.errors import NoCredentialError, RelayError, SourceError, unforeseen
from git_credential_relay.executables import find_program
from git_credential_relay.relay.deadline import Clock
from git_credential_relay.relay.workspace import workspace_secret
from git_credential_relay.secret import Secret
from git_credential_relay.trace import Trace


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
    found = [*repairs, *_whole(_local(scene)), *_whole(_remote(scene, is_offline=is_offline))]
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


def _local(scene: Scene) -> Iterator[Check]:
    environ, entries = scene.environ, scene.entries
    yield configuration.check_configuration(scene.config, scene.config_error)
    yield versions.check_git(scene.git, scene.version, scene.version_text)
    if scene.git is not None and scene.listing is not None:
        yield from versions.check_other_gits(scene.git, entries)
        yield from files.check_system_config(scene.listing, entries)
        if scene.listing.code == 0:
            yield from _wiring(scene, scene.git)
    yield from files.check_secret_files(environ, scene.config)
    yield files.check_cache(scene.config)
    yield from _gh(scene)


def _wiring(scene: Scene, git: Git) -> Iterator[Check]:
    entries = scene.entries
    yield from files.check_launchers(entries)
    yield remotes.check_repository(scene.repository, scene.no_repository)
    yield from remotes.check_addresses(scene.addresses, entries, scene.forges)
    yield from embedded.check_embedded(_all_entries(scene))
    for url in scene.urls:
        yield from _one_host(scene, git, url)


def _one_host(scene: Scene, git: Git, url: Url) -> Iterator[Check]:
    environ, entries = scene.environ, scene.entries
    system, own = git.usual_entries()
    surroundings = list(environment.check_environment(environ, entries, system, own, url))
    order = list(helpers.check_helpers(entries, url))
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
    yield gh.check_gh(path)
    yield gh.check_version(real, version, words)
    yield from gh.check_environment(scene.environ)
    yield from gh.check_hosts(scene.environ, version)


def _remote(scene: Scene, *, is_offline: bool) -> Iterator[Check]:
    names = (api.API, api.CLOCK, credential.CREDENTIAL, credential.FALLBACK, push.PUSH)
    if is_offline or scene.config is None:
        code = "offline" if is_offline else "bad-configuration"
        words = "not asked for" if is_offline else "the configuration cannot be loaded"
        yield from (skip(name, code, words) for name in names)
        return
    yield from _online(scene, scene.config)


def _online(scene: Scene, config: Config) -> Iterator[Check]:
    clock, trace = Clock(), Trace(sys.stderr.write if config.debug else None)
    target = scene.target
    reason = _not_askable(config)
    asked = None
    if reason is not None:
        yield skip(api.API, *reason)
        yield skip(api.CLOCK, *reason)
    else:
        asked = api.ask(config, target or _any_target(config), clock, trace)
        for secret in asked.secrets:
            scene.note_secret(secret)
        yield api.check_api(asked, config.api_url or "")
        yield from api.check_clock(asked)
    if target is None:
        url = parse_url(scene.url)
        words = f"we do not answer for {url.address if url else 'this address'}"
        yield skip(credential.CREDENTIAL, "host-not-ours", words)
        yield skip(push.PUSH, "host-not-ours", words)
        return
    got = credential.acquire(config, target, asked, clock, trace)
    if not isinstance(got, NoCredentialError):
        scene.note_secret(got.password)
    yield from credential.check_credential(
        target,
        got,
        asked,
        now=clock.now(),
        min_lifetime=config.min_lifetime,
        is_named=bool(scene.addresses),
    )
    yield from credential.check_fallback(config, target, clock)
    if isinstance(got, NoCredentialError):
        yield push.not_probed("no-credential", "there is no credential to push with")
    elif target.repository is None:
        yield push.not_probed("no-repository", "no repository is named; --repo URL names one")
    else:
        try:
            yield from push.check_push(target, push.probe(config, target, got, clock))
        except RelayError as error:
            yield fail(push.PUSH, error.code, error.message)


def _not_askable(config: Config) -> tuple[str, str] | None:
    """Why the API cannot be asked, as a code and in words; None when it can."""
    try:
        workspace_secret(config)
    except SourceError as error:
        return "not-configured", error.message
    except RelayError:
        return "bad-configuration", "the workspace's secret cannot be read"
    return None


def _any_target(config: Config) -> Target:
    """Something to ask for where only the API's answering matters."""
    return Target(next(iter(config.forges), Forge(GITHUB, "https", "github.com")), None)
