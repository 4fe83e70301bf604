"""The checks that ask somebody for a token: the relay API or the sidecar, and the forge."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from git_credential_relay.config import Config
from git_credential_relay.credential.credential import Credential
from git_credential_relay.credential.forge import GITHUB, Forge, Target
from git_credential_relay.doctor.checks import api, credential, push
from git_credential_relay.doctor.meeting import Met, meet
from git_credential_relay.doctor.report import Check, fail, skip
from git_credential_relay.doctor.scene import Scene
from git_credential_relay.doctor.urlmatch import parse_url
from git_credential_relay.errors import NoCredentialError, RelayError, SourceError
from git_credential_relay.relay.deadline import Clock
from git_credential_relay.relay.workspace import workspace_secret
from git_credential_relay.trace import Trace

Got = Credential | NoCredentialError


def check_remote(scene: Scene, met: Met | None, *, is_offline: bool) -> Iterator[Check]:
    """What the API, the sidecar that was `met`, and the forge say."""
    names = (api.API, api.CLOCK, credential.CREDENTIAL, credential.FALLBACK, push.PUSH)
    if is_offline or scene.config is None:
        code = "offline" if is_offline else "bad-configuration"
        words = "not asked for" if is_offline else "the configuration cannot be loaded"
        yield from (skip(name, code, words) for name in names)
    elif met is not None:
        yield from _through_sidecar(scene, scene.config, met)
    else:
        yield from _directly(scene, scene.config)


def _directly(scene: Scene, config: Config) -> Iterator[Check]:
    clock, trace = Clock(), _trace(config)
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
        yield from _not_ours(scene)
        return
    got = credential.acquire(config, target, asked, clock, trace)
    yield from _judge(scene, config, target, got, asked, clock)


def _through_sidecar(scene: Scene, config: Config, met: Met) -> Iterator[Check]:
    """As git would: by the sidecar, whose own account of the API is told after it was asked."""
    clock, target = Clock(), scene.target
    yield skip(api.CLOCK, "not-asked", "clocks are the sidecar's affair")
    if target is None:
        yield api.check_sidecar_api(met)
        yield from _not_ours(scene)
        return
    got = credential.acquire_through(config, met.path, target, clock, _trace(config))
    error = credential.sidecar_error(got)
    yield api.check_sidecar_api(meet(met.path, clock), error)
    asked = api.Asked(error=error) if error is not None else None
    yield from _judge(scene, config, target, got, asked, clock)


def _judge(
    scene: Scene, config: Config, target: Target, got: Got, asked: api.Asked | None, clock: Clock
) -> Iterator[Check]:
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


def _not_ours(scene: Scene) -> Iterator[Check]:
    url = parse_url(scene.url)
    words = f"we do not answer for {url.address if url else 'this address'}"
    yield skip(credential.CREDENTIAL, "host-not-ours", words)
    yield skip(push.PUSH, "host-not-ours", words)


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


def _trace(config: Config) -> Trace:
    return Trace(sys.stderr.write if config.debug else None)
