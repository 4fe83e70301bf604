"""What is kept of a workspace, and masks in the place of tokens."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from git_credential_relay.broker.errors import BadRequestError
from git_credential_relay.broker.workspaces.document import (
    GrantDocument,
    IdentityDocument,
    SecretDocument,
    WorkspaceDocument,
    decode_document,
    encode_document,
    masked,
    unmasked,
)
from git_credential_relay.broker.workspaces.secrets import MAX_SECRETS, new_secret, rotated
from git_credential_relay.secret import MASK

TOKENS = st.from_regex(r"[!-)+-~][!-~]{3,40}", fullmatch=True)
NAMES = st.from_regex(r"[a-z]{1,4}/[a-z]{1,4}", fullmatch=True)
GRANTS = st.builds(
    GrantDocument,
    host=st.sampled_from(["github.com", "git.example.com"]),
    repositories=st.lists(NAMES, min_size=1, max_size=3, unique=True),
    token=st.none() | TOKENS,
    username=st.none() | st.just("bot"),
)
OLD = GrantDocument(host="github.com", repositories=["a/b", "a/c"], token="the-token")


@settings(max_examples=50)
@given(st.lists(GRANTS, min_size=1, max_size=4))
def test_what_is_read_can_be_written_back(grants):
    """Grants written back as they were shown are those that are stored, tokens included, unless
    two tokens cannot be told apart, which is refused."""
    for grant in grants:
        shown = masked(grant)
        assert grant.token is None or grant.token not in str(encode_document_of(shown))
        try:
            assert unmasked(shown, grants) == grant
        except BadRequestError:
            alike = [g.token for g in grants if g.token and replace(g, token=MASK) == shown]
            assert len(set(alike)) > 1


def encode_document_of(grant):
    return encode_document(WorkspaceDocument(grants=[grant]))


@given(GRANTS, st.sampled_from(["****", MASK, "****9f3c", "*" * 40]))
def test_mask_is_never_stored(grant, mask):
    """Whatever form a mask has, what comes out is a stored token or a refusal."""
    try:
        found = unmasked(replace(grant, token=mask), [OLD])
    except BadRequestError:
        pass
    else:
        assert found.token == "the-token"
        assert found.host == OLD.host
        assert set(found.repositories) <= set(OLD.repositories)


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "evil.example"},
        {"host": "github.com.evil.example"},
        {"repositories": ["a/b", "a/d"]},
        {"username": "somebody"},
        {"url": "https://github.com/other"},
    ],
    ids=str,
)
def test_mask_does_not_carry_a_token_elsewhere(changes):
    """A masked token with another host, user or one repository more is refused."""
    with pytest.raises(BadRequestError) as caught:
        unmasked(replace(OLD, token=MASK, **changes), [OLD])
    assert caught.value.code == "MASKED_TOKEN"


def test_mask_may_go_with_less():
    """Fewer repositories, or other permissions, keep the token they were shown with."""
    changed = replace(OLD, token=MASK, repositories=["a/c"], permissions={"contents": "read"})

    assert unmasked(changed, [OLD]) == replace(changed, token="the-token")


def test_documents_survive_the_store():
    """What is encoded is decoded as it was."""
    document = WorkspaceDocument(
        grants=[OLD],
        identities=[IdentityDocument(issuer="https://i", subject="s", claims={"a": True})],
        session_hmac=True,
        secrets=[SecretDocument(sha256="ab" * 32, created_at=1, expires_at=2)],
    )

    assert decode_document(encode_document(document)) == document
    assert "the-token" not in repr(document)
    assert "abab" not in repr(document)


def test_rotation_ends_former_secrets_with_the_overlap():
    """A former secret lives as long as the overlap, or as it would have lived anyway."""
    secrets = [
        SecretDocument(sha256="a", created_at=1),
        SecretDocument(sha256="b", created_at=1, expires_at=1010),
        SecretDocument(sha256="c", created_at=1, expires_at=999),
    ]
    new = new_secret(1000.0).document

    after = rotated(secrets, new, 1000.0, 60)

    assert [(s.sha256, s.expires_at) for s in after] == [
        (new.sha256, None), ("a", 1060), ("b", 1010),
    ]  # fmt: skip
    assert rotated(secrets, new, 1000.0, 0) == [new]


def test_secrets_do_not_pile_up():
    """However often it is rotated, only so many secrets are compared with."""
    secrets: list[SecretDocument] = []
    for _ in range(3 * MAX_SECRETS):
        secrets = rotated(secrets, new_secret(1000.0).document, 1000.0, 60)

    assert len(secrets) == MAX_SECRETS
