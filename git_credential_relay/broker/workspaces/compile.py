"""From a document to what requests are decided by. Pure, but for one line in the log."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from git_credential_relay.broker.config.load import ForgeEntry, find_forge
from git_credential_relay.broker.identity.rules import compile_identity
from git_credential_relay.broker.policy import Grant, compile_grant, compile_policy
from git_credential_relay.broker.workspace import API, AcceptedSecret, Workspace
from git_credential_relay.broker.workspaces.document import GrantDocument, WorkspaceDocument
from git_credential_relay.credential.forge import FORGEJO, GITHUB, GITLAB, STATIC, Forge
from git_credential_relay.credential.url import is_loopback, normalise_host, split_url
from git_credential_relay.errors import ConfigError, ProtocolError
from git_credential_relay.secret import Secret

# The kinds of hosts that everybody knows: a user's own token works there without a [[forge]].
_KNOWN = {"github.com": GITHUB, "gitlab.com": GITLAB, "codeberg.org": FORGEJO}
_USERNAME = "x-access-token"
_USERNAMES = {"bitbucket.org": "x-token-auth"}

_log = logging.getLogger(__name__)


def compile_workspace(
    id: str, revision: int, document: WorkspaceDocument, forges: Sequence[ForgeEntry]
) -> Workspace:
    """The workspace of a stored document.

    A grant that no longer means anything (its forge has left the configuration) is left out:
    grants only ever add, so the workspace can do less, and nothing else.
    """
    grants = []
    for grant in document.grants:
        try:
            grants.append(compile_document(grant, forges))
        except ConfigError as error:
            _log.warning("workspace %s: a grant does not count: %s", id, error.message)
    return Workspace(
        id,
        compile_policy(grants),
        tuple(
            AcceptedSecret(bytes.fromhex(secret.sha256), secret.expires_at)
            for secret in document.secrets
        ),
        document.session_hmac,
        tuple(compile_identity(identity.model()) for identity in document.identities),
        API,
        revision,
    )


def compile_document(grant: GrantDocument, forges: Iterable[ForgeEntry]) -> Grant:
    """The compiled form of a grant. Raises ConfigError."""
    forge = forge_of(grant, forges)
    return compile_grant(
        forge,
        repositories=grant.repositories,
        permissions=grant.permissions,
        uses=grant.uses,
        read_only=grant.read_only,
        repository_ids=grant.repository_ids,
        integration=grant.integration,
        access_level=grant.access_level,
        token=Secret(grant.token) if grant.token else None,
        username=_username(grant, forge) if grant.token else None,
    )


def forge_of(grant: GrantDocument, forges: Iterable[ForgeEntry]) -> Forge:
    """The forge that a grant is for. Raises ConfigError where the configuration knows none.

    With a token of its own a grant may be for any host, reached by https.
    """
    if grant.token is None or grant.integration is not None:
        return find_forge(forges, grant.host, grant.integration).forge
    try:
        return find_forge(forges, grant.host, None).forge
    except ConfigError:
        return _foreign_forge(grant)


def is_probable(forge: Forge, forges: Iterable[ForgeEntry]) -> bool:
    """Whether the broker may try a user's own token at this forge.

    Only where the operator or everybody knows the host: a git URL from outside must not choose
    which addresses the broker connects to.
    """
    return forge.host in _KNOWN or any(entry.forge.url == forge.url for entry in forges)


def _foreign_forge(grant: GrantDocument) -> Forge:
    try:
        scheme, host, root = split_url(grant.url or f"https://{grant.host}")
        if normalise_host(grant.host, scheme) != host:
            raise ConfigError(f"host is {grant.host}, but url says {host}")
    except ProtocolError as error:
        raise ConfigError(f"not a host: {error.message}") from error
    if scheme == "http" and not is_loopback(host):
        raise ConfigError(f"plain http to {host} would send the token in the clear")
    return Forge(_KNOWN.get(host, STATIC), scheme, host, root)


def _username(grant: GrantDocument, forge: Forge) -> str:
    if grant.username is not None:
        return grant.username
    if forge.kind == FORGEJO:
        # A wrong one beside the right token is a 401 that says nothing.
        raise ConfigError("Forgejo wants the login that the token belongs to", hint="username")
    return forge.username or _USERNAMES.get(forge.host, _USERNAME)
