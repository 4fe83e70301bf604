"""Asks the forges: for what the grants name, and for what must be refused. Mints nothing."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from git_credential_relay.broker.check.findings import Finding, Findings
from git_credential_relay.broker.check.offline import narrow, open_sources
from git_credential_relay.broker.config.load import BrokerConfig, split_host
from git_credential_relay.broker.config.model import GitLabModel
from git_credential_relay.broker.errors import BrokerError, ForgeUnavailableError
from git_credential_relay.broker.policy import Allowed, Grant
from git_credential_relay.broker.sources.interface import TokenSource, Verified
from git_credential_relay.broker.sources.registry import Sources
from git_credential_relay.broker.store.cipher import load_cipher
from git_credential_relay.broker.store.engine import resolve_database_url
from git_credential_relay.broker.store.store import Store
from git_credential_relay.broker.workspace import Workspace
from git_credential_relay.credential.forge import STATIC
from git_credential_relay.errors import ConfigError, ProtocolError, RelayError

PROBE_SECONDS = 20.0
# What "no" looks like. Trouble at the forge is neither yes nor no, and a forge that does not know
# the integration has said nothing about the repository.
_REFUSALS = frozenset({403, 404, 422})
_OWN_FAULTS = frozenset(
    {
        "FORGE_APP_REJECTED", "FORGE_TOKEN_REJECTED", "FORGE_TOKEN_EXPIRED",
        "FORGE_TOKEN_UNREADABLE", "FORGE_MUST_CHANGE_PASSWORD", "FORGE_TOO_OLD",
        "FORGE_OAUTH_RECONNECT", "FORGE_OAUTH_REFUSED", "FORGE_IP_NOT_ALLOWED", "FORGE_TLS",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Refused:
    """A repository that nobody may get: `host` as the forge's, `path` is owner/name."""

    host: str
    path: str


def parse_refused(text: str) -> Refused:
    """`host/owner/name`. Raises ConfigError."""
    host, slash, path = text.removeprefix("https://").partition("/")
    try:
        host = split_host(host, "https")
    except ProtocolError:
        host = ""
    if not host or not slash or "/" not in path.strip("/"):
        raise ConfigError(f"not a repository: {text}", code="usage", hint="host/owner/name")
    return Refused(host, path.strip("/"))


async def probe(config: BrokerConfig, must_refuse: Iterable[Refused]) -> list[Finding]:
    """What the forges say. The configuration has been checked before."""
    findings = Findings(config)
    # Of OAuth's pairs the database holds the newest; no other source asks it for anything.
    store = await asyncio.to_thread(Store.open, resolve_database_url(config), load_cipher(config))
    try:
        sources = open_sources(findings, store)
        findings.all.clear()  # said by the check before
        try:
            await _probe_grants(findings, sources)
            for refused in must_refuse:
                await _probe_refused(findings, sources, refused)
            await _probe_invented(findings, sources)
        finally:
            await sources.aclose()
    finally:
        store.close()
    return findings.all


async def _probe_grants(findings: Findings, sources: Sources) -> None:
    seen = set()
    for workspace, grant, repository in _named(findings.config):
        try:
            allowed = narrow(workspace, grant, repository, sources)
        except RelayError:
            continue  # said by the check before
        source = sources.for_allowed(allowed) if allowed else None
        if allowed is None or source is None:
            continue
        key = (source.name, repository, tuple(sorted(allowed.scope.permissions.items())))
        if key not in seen:
            seen.add(key)
            await _probe_grant(findings, source, allowed, repository)


async def _probe_grant(
    findings: Findings, source: TokenSource, allowed: Allowed, repository: str
) -> None:
    name = f"{source.host}/{repository}"
    try:
        verified = await _verify(source, repository, allowed)
    except BrokerError as error:
        findings.fail(name, error)
        return
    if verified.missing:
        reasons = "; ".join(f"{what}: {why}" for what, why in sorted(verified.missing.items()))
        findings.fail(
            name,
            ConfigError(
                f"{source.name} cannot give all that is granted: {reasons}",
                code="permission-missing",
                hint="give it to the integration at the forge, or take it out of the grant",
            ),
        )
    else:
        findings.ok(name, f"{source.name} can give what is granted")


async def _verify(source: TokenSource, repository: str, allowed: Allowed | None) -> Verified:
    permissions = allowed.scope.permissions if allowed else {"contents": "read"}
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            return await source.verify(repository, permissions)
    except TimeoutError as error:
        raise ForgeUnavailableError(
            f"{source.name} has not answered within {PROBE_SECONDS:g} s"
        ) from error


async def _probe_refused(findings: Findings, sources: Sources, refused: Refused) -> None:
    name = f"must refuse {refused.host}/{refused.path}"
    allowing = [
        workspace.id
        for workspace in findings.config.workspaces.values()
        if _may_have(workspace, refused)
    ]
    if allowing:
        findings.fail(
            name,
            ConfigError(
                f"granted to {', '.join(allowing)}",
                code="not-refused",
                hint="narrow the repositories of the grant",
            ),
        )
        return
    findings.ok(name, "no workspace may have it")
    for source in sources.all():
        if source.host == refused.host and source.kind != STATIC:
            await _expect_refusal(findings, source, name, refused.path)


async def _probe_invented(findings: Findings, sources: Sources) -> None:
    """A repository that does not exist: whoever says yes to it says yes to everything."""
    nonce = f"relay-check-{secrets.token_hex(8)}"
    invented = {
        (grant.forge.host, f"{nonce}/{nonce}")
        for workspace in findings.config.workspaces.values()
        for grant in workspace.policy.grants
    }
    for host, path in sorted(invented):
        for workspace in findings.config.workspaces.values():
            if _may_have(workspace, Refused(host, path)):
                findings.fail(
                    f"workspace {workspace.id}",
                    ConfigError(f"may have any repository at {host}", code="not-refused"),
                )
    for source in sources.all():
        if source.kind != STATIC:
            owner = _owner_of(findings.config, sources, source) or nonce
            name = f"must refuse {source.host}/{owner}/{nonce}"
            await _expect_refusal(findings, source, name, f"{owner}/{nonce}")


async def _expect_refusal(findings: Findings, source: TokenSource, name: str, path: str) -> None:
    try:
        await _verify(source, path, None)
    except BrokerError as error:
        if error.status in _REFUSALS and error.code not in _OWN_FAULTS:
            findings.ok(name, f"{source.name} refuses it [{error.code}]")
        else:
            findings.fail(name, error)
        return
    findings.fail(
        name,
        ConfigError(
            f"{source.name} could mint for it",
            code="not-refused",
            hint="take the repository away from the integration at the forge",
        ),
    )


def _may_have(workspace: Workspace, refused: Refused) -> bool:
    try:
        return any(
            isinstance(workspace.policy.decide(refused.host, refused.path, use), Allowed)
            for use in ("git", "api")
        )
    except ProtocolError:
        return False


def _named(config: BrokerConfig) -> Iterator[tuple[Workspace, Grant, str]]:
    for workspace in config.workspaces.values():
        for grant in workspace.policy.grants:
            for pattern in grant.patterns:
                if pattern.is_exact:
                    yield workspace, grant, pattern.text


def _owner_of(config: BrokerConfig, sources: Sources, source: TokenSource) -> str | None:
    """An owner for whom this source mints: one whom a grant names, or its own entry."""
    for workspace in config.workspaces.values():
        for grant in workspace.policy.grants:
            for pattern in grant.patterns:
                owner = pattern.text.rpartition("/")[0]
                if sources.for_grant(grant.forge, owner, grant.integration) is source:
                    return owner
    [model] = [entry.model for entry in config.forges if entry.name == source.name]
    group = model.group if isinstance(model, GitLabModel) else None
    return group if isinstance(group, str) else next(iter(model.owners or ()), None)
