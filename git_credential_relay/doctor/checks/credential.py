"""What git and gh would be given here, and by whom."""

from __future__ import annotations

from collections.abc import Iterator

from git_credential_relay.config import Config
from git_credential_relay.credential.credential import Credential
from git_credential_relay.credential.forge import Target
from git_credential_relay.doctor.checks.api import NOT_AT_SIDECAR, Asked
from git_credential_relay.doctor.report import Check, fail, ok, skip, warn
from git_credential_relay.errors import (
    NOT_SERVED,
    NOT_SET_UP,
    DeadlineExceededError,
    NoCredentialError,
    RelayError,
    SidecarError,
)
from git_credential_relay.relay.acquire import Acquirer
from git_credential_relay.relay.cache.choose import choose_cache
from git_credential_relay.relay.cache.memory import MemoryCache
from git_credential_relay.relay.cache_socket.client import SidecarClient
from git_credential_relay.relay.client.api import RelayClient
from git_credential_relay.relay.client.payloads import Granted
from git_credential_relay.relay.deadline import Clock, Deadline
from git_credential_relay.relay.workspace import workspace_secret
from git_credential_relay.trace import Trace

CREDENTIAL = "credential"
FALLBACK = "fallback"
# How a credential of the API's names its source: fresh, kept from an earlier answer, and by way
# of a sidecar.
API_SOURCES = ("relay API", "cache", "sidecar")


def acquire(
    config: Config, target: Target, asked: Asked | None, clock: Clock, trace: Trace
) -> Credential | NoCredentialError:
    """What a `get` for `target` gives now; the API is not asked a second time for it."""

    def fetch(target: Target, deadline: Deadline, refused_sha256: str | None) -> Credential:
        if asked is not None and asked.credential is not None:
            return asked.credential
        raise (asked.error if asked else None) or DeadlineExceededError("the API was not asked")

    acquirer = Acquirer(config, choose_cache(config, trace), fetch, clock, trace)
    try:
        return acquirer.acquire(target)
    except NoCredentialError as error:
        return error


def acquire_through(
    config: Config, socket: str, target: Target, clock: Clock, trace: Trace
) -> Credential | NoCredentialError:
    """What a `get` for `target` gives now where the sidecar at `socket` is asked first."""

    def fetch(target: Target, deadline: Deadline, refused_sha256: str | None) -> Credential:
        client = RelayClient(config, lambda: workspace_secret(config), clock, trace)
        try:
            return client.fetch(target, deadline, refused_sha256)
        finally:
            client.close()

    sidecar = SidecarClient(socket, clock)
    acquirer = Acquirer(config, MemoryCache(), fetch, clock, trace, sidecar)
    try:
        return acquirer.acquire(target)
    except NoCredentialError as error:
        return error


def sidecar_error(got: Credential | NoCredentialError) -> RelayError | None:
    """What the sidecar said where it gave nothing."""
    return got.tried[0][1] if isinstance(got, NoCredentialError) else None


def check_credential(
    target: Target,
    got: Credential | NoCredentialError,
    asked: Asked | None,
    *,
    now: float,
    min_lifetime: float,
    is_named: bool,
) -> Iterator[Check]:
    """Who gets what for this repository, for how long; a token only as its hash.

    Without `is_named` nobody has said that it is this host they want to push to.
    """
    if isinstance(got, NoCredentialError):
        yield _nobody(target, got, asked.error if asked else None, is_named=is_named)
        return
    granted = asked.granted if asked else None
    told = f"{target}: {_told(got, asked, now)}"
    left = None if got.expires_at is None else got.expires_at - now
    if got.source not in API_SOURCES:
        yield warn(CREDENTIAL, "fallback-answers", f"{told}; a local source, not the API, answers")
    elif _lacks(granted, target):
        yield fail(
            CREDENTIAL,
            "repository-not-granted",
            f"{told}; the token is not for {target.repository}",
        )
    elif left is not None and left < min_lifetime:
        yield warn(CREDENTIAL, "short-lived", f"{told}; less than the {min_lifetime:g} s asked for")
    else:
        yield ok(CREDENTIAL, told)


def _nobody(
    target: Target, got: NoCredentialError, error: RelayError | None, *, is_named: bool
) -> Check:
    """That nobody has a credential; `error` is why API or sidecar, if one was asked, has none."""
    code = error.code if error is not None else None
    if code in NOT_SERVED or code == NOT_AT_SIDECAR:
        whose = "the sidecar" if code == NOT_AT_SIDECAR else "the API"
        words = f"{whose} has nothing for {target.forge.host}, and no local source answers"
        if is_named:
            return fail(CREDENTIAL, "host-not-served", words)
        return warn(CREDENTIAL, "host-not-served", words)
    if isinstance(error, SidecarError):
        return skip(CREDENTIAL, "see-sidecar", "no sidecar answers, nor does a local source")
    if error is not None:
        return skip(CREDENTIAL, "see-api", "the API failed, and no local source answers")
    tried = ", ".join(f"{name}: {trouble.message}" for name, trouble in got.tried)
    return fail(CREDENTIAL, "no-credential", f"nobody has a credential for {target}: {tried}")


def _told(credential: Credential, asked: Asked | None, now: float) -> str:
    parts = [f"user {credential.username}", f"from {credential.source}"]
    if credential.expires_at is None:
        parts.append("expiry unknown")
    else:
        parts.append(f"{max(0, int(credential.expires_at - now)) // 60} min left")
    parts.append(f"sha256 {credential.token_sha256}")
    granted = asked.granted if asked else None
    if asked is None or granted is None or credential.source not in API_SOURCES:
        return ", ".join(parts)
    newest = asked.credential.token_sha256 if asked.credential else None
    # A kept token may be older than what the workspace may have now.
    now_only = "" if newest == credential.token_sha256 else "a new one would be for "
    if granted.repositories is not None:
        parts.append(f"{now_only}repositories {', '.join(granted.repositories[:8]) or 'none'}")
    if granted.permissions is not None:
        named = [f"{name}={value}" for name, value in sorted(granted.permissions.items())]
        parts.append(f"permissions {', '.join(named[:12]) or 'none'}")
    return ", ".join(parts)


def _lacks(granted: Granted | None, target: Target) -> bool:
    if granted is None or granted.repositories is None or target.repository is None:
        return False
    wanted = target.repository.lower()
    # Some APIs name them without their owner.
    return not any(
        wanted in (n.lower(), f"{wanted.partition('/')[0]}/{n.lower()}")
        for n in granted.repositories
    )


def check_fallback(config: Config, target: Target, clock: Clock) -> Iterator[Check]:
    """Which local sources would answer without the API, in their order."""
    from git_credential_relay.relay.fallback import LocalSources

    sources = LocalSources(config, Deadline(config.deadline, clock))
    found: list[str] = []
    broken: list[tuple[str, RelayError]] = []
    for name in config.fallback:
        if not sources.serves(name, target.forge):
            continue
        try:
            sources.find(name, target.forge)
        except RelayError as error:
            if error.code not in NOT_SET_UP:
                broken.append((name, error))
        else:
            found.append(name)
    for name, trouble in broken:
        yield warn(FALLBACK, "fallback-broken", f"{name}: {trouble.message} [{trouble.code}]")
    if found:
        yield ok(FALLBACK, f"without the API {' then '.join(found)} would answer")
    elif not broken:
        yield ok(FALLBACK, f"none: without the API nobody answers for {target.forge.host}")
