"""From a request of the admin API to what is to be stored: checked here, verified elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import UNSET
from msgspec.structs import replace

from git_credential_relay.broker.config.load import BrokerConfig
from git_credential_relay.broker.errors import BadRequestError
from git_credential_relay.broker.identity.rules import compile_identity
from git_credential_relay.broker.workspaces.document import (
    GrantDocument,
    IdentityDocument,
    WorkspaceDocument,
    unmasked,
)
from git_credential_relay.broker.workspaces.git_url import find_forge_of, parse_git_url
from git_credential_relay.broker.workspaces.wire import ChangeRequest, CreateRequest
from git_credential_relay.credential.forge import STATIC, Forge
from git_credential_relay.credential.url import split_url
from git_credential_relay.errors import ConfigError

# What belongs to a git URL; a whole grant has its own.
_OF_URL = ("integration", "token", "username", "permissions", "uses")


def grants_of(request: CreateRequest, config: BrokerConfig) -> list[GrantDocument]:
    """The grants that a creation asks for. Raises BadRequestError."""
    if (request.git_url is None) == (request.grants is None):
        raise BadRequestError("either gitUrl or grants is needed, and not both")
    if request.git_url is not None:
        return [unmasked(_grant_of_url(request, request.git_url, config), ())]
    stray = [name for name in _OF_URL if getattr(request, name) is not None]
    if stray or request.read_only:
        raise BadRequestError(
            f"{', '.join(stray or ['readOnly'])} belongs into each of the grants",
            hint="or give gitUrl in place of grants",
        )
    return [unmasked(grant, ()) for grant in request.grants or ()]


def changed_grants(request: ChangeRequest, stored: Sequence[GrantDocument]) -> list[GrantDocument]:
    """The grants after a change, with stored tokens where there were masks.

    Raises BadRequestError.
    """
    grants = list(stored)
    if request.grants is not UNSET:
        grants = [unmasked(grant, stored) for grant in request.grants]
    if request.token is UNSET and request.username is UNSET:
        return grants
    if len(grants) != 1:
        raise BadRequestError("token and username are for a workspace of one grant; give grants")
    grant = grants[0]
    if request.token is not UNSET:
        # A mask in the token's place means the one that is there.
        new = replace(grant, token=request.token)
        grant = unmasked(new, stored)
    if request.username is not UNSET:
        grant = replace(grant, username=request.username)
    return [grant]


def check_identities(identities: Iterable[IdentityDocument], config: BrokerConfig) -> None:
    """Raise BadRequestError for an identity that means too much, or that nobody can prove."""
    known = {issuer.url for issuer in config.model.issuer}
    for identity in identities:
        try:
            compile_identity(identity.model())
        except ConfigError as error:
            raise BadRequestError(
                error.message, code="INVALID_IDENTITY", hint=error.hint
            ) from error
        if identity.issuer not in known:
            raise BadRequestError(
                "the identity's issuer is not in the broker's configuration",
                code="ISSUER_NOT_CONFIGURED",
                hint="add an [[issuer]] with its url",
            )


def check_document(document: WorkspaceDocument, config: BrokerConfig) -> None:
    """Raise BadRequestError for a workspace that nobody could use, or whose grants collide."""
    check_identities(document.identities, config)
    if document.session_hmac and config.model.session_secret_file is None:
        raise BadRequestError("sessionHmac needs session_secret_file in the broker's configuration")
    if not (document.secrets or document.identities or document.session_hmac):
        raise BadRequestError(
            "nobody could speak for the workspace",
            hint="let it have a secret, or give identities",
        )


def check_forges(forges: Iterable[Forge]) -> None:
    """Raise BadRequestError for two forges at one host: git's request names the host alone."""
    by_host: dict[str, Forge] = {}
    for forge in forges:
        other = by_host.setdefault(forge.host, forge)
        if (other.kind, other.url) != (forge.kind, forge.url):
            raise BadRequestError(
                f"two grants mean different forges at {forge.host}", code="INVALID_GRANT"
            )


def _grant_of_url(request: CreateRequest, text: str, config: BrokerConfig) -> GrantDocument:
    url = parse_git_url(text)
    forge = find_forge_of(url, config.forges)
    address = url.address if forge is None else forge.url
    scheme, host, root = split_url(address)
    at = forge or Forge(STATIC, scheme, host, root)
    grant = GrantDocument(
        host=host,
        repositories=[url.repository_at(at)],
        read_only=request.read_only,
        integration=request.integration,
        token=request.token,
        username=request.username,
        url=address if forge is None and request.token is not None else None,
    )
    if request.permissions is not None:
        grant = replace(grant, permissions=request.permissions)
    if request.uses is not None:
        grant = replace(grant, uses=request.uses)
    return grant
