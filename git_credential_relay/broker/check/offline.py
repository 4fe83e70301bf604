"""What is wrong with a configuration, found without starting anything and without any network."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from git_credential_relay.broker.addresses import parse_networks
from git_credential_relay.broker.check.findings import FAIL, Finding, Findings
from git_credential_relay.broker.config.load import BrokerConfig, ForgeEntry, grant_of, load_config
from git_credential_relay.broker.config.model import IssuerModel, WorkspaceModel
from git_credential_relay.broker.errors import BrokerError
from git_credential_relay.broker.identity.admin import AdminGate
from git_credential_relay.broker.identity.issuers import compile_issuers
from git_credential_relay.broker.identity.jwks import parse_jwks
from git_credential_relay.broker.identity.tokens import TokenVerifier
from git_credential_relay.broker.policy import Allowed, Grant
from git_credential_relay.broker.sources.hooks import SourceHooks
from git_credential_relay.broker.sources.registry import FACTORIES, Sources
from git_credential_relay.broker.store.cipher import KEY_FILE, Cipher, load_cipher, new_key
from git_credential_relay.broker.store.engine import find_sqlite_file, resolve_database_url
from git_credential_relay.broker.store.store import Store
from git_credential_relay.broker.tls import find_tls
from git_credential_relay.broker.workspace import Workspace
from git_credential_relay.errors import ConfigError, RelayError

# Read when the database holds no pair of tokens yet; afterwards it may be gone.
_SEED = "refresh_token_file"


def check_config(path: Path) -> list[Finding]:
    """Everything that can be found in the configuration and the files it names."""
    try:
        config = load_config(path)
    except ConfigError as error:
        return [Finding("configuration", FAIL, error.code, error.message, error.hint)]
    findings = Findings(config)
    findings.ok("configuration", str(config.path))
    _check_service(findings)
    _check_state(findings)
    _check_callers(findings)
    with _scratch_store(config) as store:
        sources = _check_forges(findings, store)
        for index, workspace in enumerate(config.model.workspace):
            _check_workspace(findings, workspace, index, sources)
        asyncio.run(sources.aclose())
    return findings.all


def open_sources(findings: Findings, store: Store | None) -> Sources:
    """The sources that can be made; of the others it is told why not."""
    config, hooks = findings.config, SourceHooks()
    made = []
    for index, entry in enumerate(config.forges):
        try:
            source = FACTORIES[type(entry.model)](entry, config, store, hooks)
        except RelayError as error:
            findings.fail(f"forge {entry.name}", error, f"$.forge[{index}]")
        else:
            made.append((entry, "", source))
    return Sources(made, store, hooks)


def _check_service(findings: Findings) -> None:
    config, model = findings.config, findings.config.model

    def tls() -> str:
        return f"{model.listen}, " + ("without TLS" if find_tls(config) is None else "with TLS")

    def proxies() -> None:
        parse_networks(model.trusted_proxies)

    findings.warn_if_public("listen", model.tls_key_file)
    findings.attempt("listen", "$.tls_certificate_file", tls)
    findings.attempt("trusted_proxies", "$.trusted_proxies", proxies)


def _check_state(findings: Findings) -> None:
    config, model = findings.config, findings.config.model

    def database() -> str:
        file = find_sqlite_file(resolve_database_url(config))
        if file is None:
            return "PostgreSQL"
        _check_writable("database", file)
        return str(file)

    def key() -> str:
        file = find_sqlite_file(resolve_database_url(config))
        if model.encryption_key_file is None and file is not None:
            own = file.parent / KEY_FILE
            if not own.exists() and not file.exists():
                return f"{own} is made at the first start"
        load_cipher(config)
        return "can be used"

    def audit() -> str:
        file = config.resolve(model.audit_file)
        _check_writable("audit_file", file)
        return str(file)

    findings.attempt("database", "$.database", database)
    if not findings.has_failed("database"):
        findings.attempt("encryption key", "$.encryption_key_file", key)
    findings.attempt("audit log", "$.audit_file", audit)


def _check_callers(findings: Findings) -> None:
    config, model = findings.config, findings.config.model

    def all_issuers() -> None:
        compile_issuers(model.issuer, config.resolve)

    def admin() -> str:
        AdminGate(config, TokenVerifier(()), time.time)
        if model.admin is None:
            return "nobody may manage workspaces: there is no [admin]"
        return "may manage workspaces"

    def session() -> str | None:
        if model.session_secret_file is not None:
            config.read_secret(model.session_secret_file)
            findings.warn_if_public("session secret", model.session_secret_file)
            return "can be read"
        users = [w.id for w in config.workspaces.values() if w.session_hmac]
        if users:
            raise ConfigError(
                f"session_hmac of {', '.join(users)} needs session_secret_file",
                hint="session_secret_file, or take session_hmac away",
            )
        return None

    for index, issuer in enumerate(model.issuer):
        check = partial(_issuer, config, issuer)
        findings.attempt(f"issuer {issuer.url}", f"$.issuer[{index}]", check)
    if not findings.has_failed("issuer "):
        findings.attempt("issuers", "$.issuer[0]", all_issuers)
    for workspace in model.workspace:
        findings.warn_if_public(f"workspace {workspace.id}", workspace.secret_file)
    if model.admin is not None:
        findings.warn_if_public("administrators", model.admin.secret_file)
    findings.attempt("administrators", "$.admin", admin)
    findings.attempt("session secret", "$.session_secret_file", session)


@contextmanager
def _scratch_store(config: BrokerConfig) -> Iterator[Store | None]:
    """An empty database for sources that do not come without; the broker's is left alone."""
    if not any(getattr(entry.model, "oauth", None) for entry in config.forges):
        yield None
        return
    with tempfile.TemporaryDirectory() as directory:
        store = Store.open(f"sqlite:///{directory}/scratch.db", Cipher([new_key()]))
        try:
            yield store
        finally:
            store.close()


def _check_forges(findings: Findings, store: Store | None) -> Sources:
    config = findings.config
    failed_before = {finding.name for finding in findings.all}
    sources = open_sources(findings, store)
    failed = {finding.name for finding in findings.all} - failed_before
    for index, entry in enumerate(config.forges):
        name = f"forge {entry.name}"
        if name not in failed:
            findings.attempt(name, f"$.forge[{index}]", partial(_forge, findings, entry))
    return sources


def _forge(findings: Findings, entry: ForgeEntry) -> str:
    for reference, is_seed in _secrets(msgspec.to_builtins(entry.model)):
        try:
            findings.config.read_secret(reference)
        except ConfigError as error:
            if not is_seed:
                raise
            findings.warn(f"forge {entry.name}", error.code, error.message, error.hint)
        findings.warn_if_public(f"forge {entry.name}", reference)
    return f"{entry.forge.kind} at {entry.forge.url}, API {entry.api_url}"


def _secrets(settings: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _secrets(value)
        elif name.endswith("_file") and name != "ca_file" and isinstance(value, str):
            yield value, name == _SEED


def _check_workspace(
    findings: Findings, model: WorkspaceModel, index: int, sources: Sources
) -> None:
    name, workspace = f"workspace {model.id}", findings.config.workspaces[model.id]
    for number, grant_model in enumerate(model.grant):
        grant = grant_of(grant_model, findings.config.forges)
        work = partial(_grant, findings.config, workspace, grant, sources)
        findings.attempt(name, f"$.workspace[{index}].grant[{number}]", work)
    if not model.grant:
        findings.warn(name, "no-grant", "it has no grant, and gets nothing")


def _grant(config: BrokerConfig, workspace: Workspace, grant: Grant, sources: Sources) -> str:
    for pattern in grant.patterns:
        owner = pattern.text.rpartition("/")[0]
        if not _is_served(config, grant, owner):
            raise ConfigError(
                f"no [[forge]] mints for {owner} at {grant.forge.host}",
                code="no-integration",
                hint="add it, or to the owners of one that is there",
            )
        if pattern.is_exact and sources.for_grant(grant.forge, owner, grant.integration):
            narrow(workspace, grant, pattern.text, sources)
    permissions = ", ".join(f"{n} = {level}" for n, level in sorted(grant.permissions.items()))
    names = ", ".join(pattern.text for pattern in grant.patterns)
    return f"{grant.forge.host}: {names} ({permissions}; {', '.join(sorted(grant.uses))})"


def _is_served(config: BrokerConfig, grant: Grant, owner: str) -> bool:
    # By the entries, not by the sources: of one that cannot be made that is told already.
    return any(
        entry.forge == grant.forge
        and grant.integration in (None, entry.name)
        and entry.serves(owner)
        for entry in config.forges
    )


def narrow(workspace: Workspace, grant: Grant, repository: str, sources: Sources) -> Allowed | None:
    """What the whole policy allows for a repository of a grant, in a form its source can give.

    Raises BrokerError where the source cannot. None where another grant hides this one.
    """
    decision = workspace.policy.decide(grant.forge.host, repository, min(grant.uses))
    if not isinstance(decision, Allowed):
        return None
    source = sources.for_allowed(decision)
    if source is None:
        raise BrokerError(f"no [[forge]] mints for {repository}", code="NO_INTEGRATION")
    source.narrow(decision.scope)
    return decision


def _issuer(config: BrokerConfig, model: IssuerModel) -> str:
    [issuer] = compile_issuers([model], config.resolve)
    try:
        if issuer.ca_file is not None:
            issuer.ca_file.read_bytes()
        if issuer.jwks_file is None:
            return f"keys from {issuer.jwks_uri or issuer.discovery_url}"
        keys = parse_jwks(issuer.jwks_file.read_bytes(), issuer.algorithms)
    except OSError as error:
        raise ConfigError(f"{error.filename}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{issuer.jwks_file} is no key set: {error}") from error
    if not keys.keys:
        raise ConfigError(f"{issuer.jwks_file} has no key for {', '.join(issuer.algorithms)}")
    return f"{len(keys.keys)} keys from {issuer.jwks_file}"


def _check_writable(what: str, path: Path) -> None:
    target = path if path.exists() else path.parent
    if not os.access(target, os.W_OK):
        reason = "is not writable" if target.exists() else "is not there"
        raise ConfigError(
            f"{what}: {target} {reason}",
            hint="make it a place where the user that runs the broker may write",
        )
