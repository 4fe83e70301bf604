"""Grants' permissions and Forgejo's scopes: nothing is ever given that was not granted."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from git_credential_relay.broker.errors import GrantMissingError
from git_credential_relay.broker.policy import is_within
from git_credential_relay.broker.sources.forgejo.scopes import (
    are_scopes_within,
    narrow_permissions,
    permissions_of,
    scopes_of,
)
from git_credential_relay.broker.sources.forgejo.tokens import (
    Listed,
    format_name,
    parse_created,
    parse_handle,
    parse_list,
)

NAMES = (
    "contents",
    "pull_requests",
    "issues",
    "packages",
    "organization",
    "statuses",
    "workflows",
    "metadata",
    "checks",
)
permissions = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(["read", "write", "admin"]))
uses = st.sampled_from(["git", "api"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "name", "sha1", "scopes", "repositories", "owner", "user"]),
            inner,
        )
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("permissions", "use", "scopes"),
    [
        ({"contents": "write"}, "git", ["write:repository"]),
        ({"contents": "read"}, "git", ["read:repository"]),
        ({"contents": "admin"}, "git", ["write:repository"]),
        ({"contents": "write", "issues": "write"}, "git", ["write:repository"]),
        ({"contents": "write", "pull_requests": "write"}, "api", ["write:repository"]),
        ({"contents": "write", "pull_requests": "read"}, "api", ["write:repository"]),
        ({"contents": "read", "issues": "write"}, "api", ["write:issue", "read:repository"]),
        ({"issues": "write", "metadata": "read"}, "api", ["write:issue"]),
        ({"packages": "read"}, "api", ["read:package"]),
        ({"organization": "read"}, "api", ["read:organization"]),
    ],
)
def test_scopes(permissions, use, scopes):
    """Each permission has its scope, and git has that of the repository alone."""
    assert scopes_of(narrow_permissions(permissions, use)) == scopes


@pytest.mark.parametrize(
    ("permissions", "use"),
    [
        ({"contents": "read", "pull_requests": "write"}, "api"),
        ({"pull_requests": "read"}, "api"),
        ({"contents": "read", "workflows": "write"}, "api"),
        ({"contents": "write", "checks": "read"}, "api"),
        ({"metadata": "read"}, "api"),
        ({"issues": "write"}, "git"),
        ({"metadata": "read"}, "git"),
        ({}, "git"),
    ],
)
def test_what_no_scope_says_without_saying_more(permissions, use):
    """Forgejo's scope for pull requests lets git push: a grant that does not is refused it."""
    with pytest.raises(GrantMissingError) as caught:
        narrow_permissions(permissions, use)

    assert caught.value.code == "PERMISSION_NOT_GRANTED"
    assert caught.value.hint


@given(permissions, uses)
def test_a_token_is_never_wider_than_the_grant(permissions, use):
    """Whatever is granted: the scopes push only if contents may be written, and nothing grows."""
    try:
        narrow = narrow_permissions(permissions, use)
    except GrantMissingError:
        return
    scopes = scopes_of(narrow)

    assert is_within(narrow, permissions)
    assert narrow_permissions(narrow, use) == narrow
    assert permissions_of(scopes, narrow) == narrow
    assert are_scopes_within(scopes, scopes)
    if "write:repository" in scopes:
        assert permissions["contents"] in ("write", "admin")
    if any(scope.endswith(":repository") for scope in scopes):
        assert "contents" in permissions


@pytest.mark.parametrize(
    ("given", "asked", "is_within"),
    [
        (["write:repository"], ["write:repository"], True),
        (["read:repository"], ["write:repository"], True),
        ([], ["write:repository"], True),
        (["write:repository"], ["read:repository"], False),
        (["write:repository", "read:issue"], ["write:repository"], False),
        (["all"], ["write:repository"], False),
        (["sudo"], ["write:repository"], False),
        (["public-only"], ["write:repository"], False),
        (["write:"], ["write:repository"], False),
        (["none:repository"], ["write:repository"], False),
    ],
)
def test_scopes_that_came_back(given, asked, is_within):
    """Only scopes that were asked for, or less of them, are accepted."""
    assert are_scopes_within(given, asked) == is_within


def test_less_than_was_asked_is_said():
    """Where the forge left a scope out, the permissions left are those of the others."""
    asked = {"contents": "write", "issues": "write"}

    assert permissions_of(["read:repository"], asked) == {"contents": "read"}
    assert permissions_of([], asked) == {}


@given(
    st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True),
    st.integers(0, 10**11),
    st.integers(0, 10**11),
)
def test_a_name_tells_lease_and_end(lease_id, expires_at, now):
    """From the name alone a token's lease is known, and whether its time is over."""
    token = Listed(1, format_name(lease_id, expires_at))

    assert token.lease_id == lease_id
    assert token.is_over(now) == (expires_at <= now)


@given(st.text())
def test_no_other_name_is_ours(name):
    """A token that somebody named otherwise is never over."""
    token = Listed(1, name)

    assert token.lease_id is None or name.startswith("broker/")
    assert not token.is_over(10**12) or token.lease_id is not None


@given(json_values)
def test_any_answer_can_be_read(document):
    """Nothing that a forge says breaks the parsing, and no token comes of nonsense."""
    created = parse_created(document)

    assert created is None or len(created.token.reveal()) == 40
    assert all(isinstance(token.name, str) for token in parse_list(document))


@given(st.text() | json_values.map(json.dumps))
@example('{"user": "u", "id": 1e999}')
@example('{"user": "u", "id": true}')
@example("[" * 100_000)
def test_any_handle_can_be_read(text):
    """A damaged handle is none."""
    handle = parse_handle(text)

    assert handle is None or handle.id > 0
