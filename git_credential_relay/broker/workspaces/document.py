"""What is kept of a workspace that the admin API made, and what of it is shown.

The store encrypts documents. A token never leaves one but masked, and a mask that comes back
stands for the token it was shown for, never for itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Meta, Struct, field
from msgspec.structs import replace

from git_credential_relay.broker.config.model import IdentityModel, Name, Text
from git_credential_relay.broker.errors import BadRequestError, StoreError
from git_credential_relay.credential.url import normalise_host
from git_credential_relay.errors import ProtocolError
from git_credential_relay.secret import MASK

# How Kilo's and other clients mask: any number of stars, perhaps the last characters after them.
_MASK_START = "****"
MAX_TOKEN = 8192
Token = Annotated[str, Meta(min_length=1, max_length=MAX_TOKEN, pattern=r"\A[!-~]+\Z")]
Id = Annotated[int, Meta(ge=0)]


class GrantDocument(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """A grant; the names are those of `[[workspace.grant]]`.

    `token` is the user's own, for a host where no integration is to mint, and `username` what
    goes with it. `url` is the address of a host that the configuration does not know.
    """

    host: Text
    repositories: Annotated[list[Text], Meta(min_length=1, max_length=500)]
    permissions: dict[str, str] = field(default_factory=lambda: {"contents": "write"})
    uses: list[str] = field(default_factory=lambda: ["git", "api"])
    read_only: bool = False
    repository_ids: dict[str, Id] = {}
    integration: Name | None = None
    access_level: Annotated[int, Meta(ge=10, le=50)] | None = None
    token: Token | None = None
    username: Text | None = None
    url: Text | None = None

    def __repr__(self) -> str:
        return f"GrantDocument({self.host}, {self.repositories})"


class IdentityDocument(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """Whose identity tokens speak for the workspace; as `[[workspace.identity]]`."""

    issuer: Text
    subject: str | None = None
    subject_pattern: str | None = None
    claims: dict[str, str | int | bool] = {}
    claim_patterns: dict[str, str] = {}

    def model(self) -> IdentityModel:
        """The form that the configuration has of it."""
        return IdentityModel(
            **{name: getattr(self, name) for name in IdentityModel.__struct_fields__}
        )


class SecretDocument(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """A workspace's secret, of which only the hash is kept. Times are Unix seconds."""

    sha256: str
    created_at: int
    expires_at: int | None = None

    def __repr__(self) -> str:
        return f"SecretDocument({self.created_at}, {self.expires_at})"


class WorkspaceDocument(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """All that is kept of a workspace but its id and revision."""

    grants: list[GrantDocument]
    identities: list[IdentityDocument] = []
    session_hmac: bool = False
    secrets: list[SecretDocument] = []


_decoder = msgspec.json.Decoder(WorkspaceDocument)
_encoder = msgspec.json.Encoder()


def encode_document(document: WorkspaceDocument) -> bytes:
    """The form in which the store keeps it."""
    return _encoder.encode(document)


def decode_document(stored: bytes) -> WorkspaceDocument:
    """What `encode_document` encoded. Raises StoreError for what a newer program wrote."""
    try:
        return _decoder.decode(stored)
    except msgspec.MsgspecError as error:
        # The text of the error names places in the document, and no values.
        raise StoreError(
            "the workspace's record cannot be read",
            code="WORKSPACE_UNREADABLE",
            hint="it was written by a newer version of the broker",
            retryable=False,
            reason=str(error),
        ) from error


def is_masked(value: str | None) -> bool:
    """Whether a client has sent back what it was shown, in place of a secret."""
    return value is not None and value.startswith(_MASK_START)


def masked(grant: GrantDocument) -> GrantDocument:
    """The grant as it may be shown."""
    return grant if grant.token is None else replace(grant, token=MASK)


def unmasked(grant: GrantDocument, stored: Iterable[GrantDocument]) -> GrantDocument:
    """The grant with the stored token where it has a mask.

    Raises BadRequestError where no single stored token was shown for this host and these
    repositories: a mask must not carry a token to another host, or to one repository more.
    """
    if not is_masked(grant.token):
        return grant
    for is_same in (_is_equal, _is_within):
        tokens = {old.token for old in stored if old.token and is_same(grant, old)}
        if len(tokens) == 1:
            return replace(grant, token=tokens.pop())
        if tokens:
            break
    raise BadRequestError(
        "a masked token stands for none that is stored for this host and these repositories",
        code="MASKED_TOKEN",
        hint="give the token itself",
    )


def _is_equal(grant: GrantDocument, old: GrantDocument) -> bool:
    return _is_within(grant, old) and grant.repositories == old.repositories


def _is_within(grant: GrantDocument, old: GrantDocument) -> bool:
    return _place(grant) == _place(old) and set(grant.repositories) <= set(old.repositories)


def _place(grant: GrantDocument) -> tuple[str | None, str | None, str | None]:
    try:
        host = normalise_host(grant.host, "https")
    except ProtocolError:
        host = None
    return host, grant.url, grant.username
