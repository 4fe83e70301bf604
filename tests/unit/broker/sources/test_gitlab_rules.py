"""GitLab's rules without a GitLab: dates, scopes and roles, names."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.broker.errors import GrantMissingError
from git_credential_relay.broker.policy import is_within
from git_credential_relay.broker.sources.gitlab.expiry import expiry_date, midnight, parse_date
from git_credential_relay.broker.sources.gitlab.handle import (
    Handle,
    ends_at,
    parse_handle,
    token_name,
)
from git_credential_relay.broker.sources.gitlab.places import Place
from git_credential_relay.broker.sources.gitlab.scopes import (
    forge_scopes,
    given_permissions,
    narrow_permissions,
)
from git_credential_relay.broker.sources.interface import LEVELS, Lease
from tests.fakes.gitlab import scope_of

TIMES = st.integers(1_700_000_000, 2_000_000_000)
NAMES = st.sampled_from(["contents", "issues", "pull_requests", "metadata", "workflows"])
PERMISSIONS = st.dictionaries(NAMES, st.sampled_from(LEVELS), min_size=1)
DEVELOPER = 30


@given(TIMES, st.integers(1, 86_400))
def test_a_token_outlives_its_lease_by_as_little_as_dates_allow(now, seconds):
    """The date is never today, never before the lease ends, and at most two days ahead."""
    day = expiry_date(now, now + seconds)
    today = datetime.fromtimestamp(now, UTC).date()
    assert midnight(day) >= now + seconds
    assert 1 <= (day - today).days <= 2


@pytest.mark.parametrize("text", [None, 5, "", "2026-11-20T00:00:00Z", "2026-13-01", "20261120"])
def test_what_is_no_date(text):
    """Anything but a plain date is none."""
    assert parse_date(text) is None


@given(PERMISSIONS, st.sampled_from(["git", "api"]), st.sampled_from([None, 10, 20, 30, 40, 50]))
def test_a_token_never_does_more_than_its_grant(permissions, use, level):
    """Whatever the grant, its token pushes only where contents may be written."""
    try:
        narrow = narrow_permissions(scope_of(use=use, access_level=level, **permissions))
    except GrantMissingError:
        return
    assert narrow_permissions(narrow) == narrow
    scopes = forge_scopes(narrow.permissions, use)
    can_push = {"api", "write_repository"} & set(scopes) and (narrow.access_level or 0) >= DEVELOPER
    assert not can_push or permissions.get("contents", "read") != "read"
    assert level is None or narrow.access_level == level
    given_now = given_permissions(narrow.permissions, use, scopes, narrow.access_level or 0)
    assert is_within(given_now, permissions)


@pytest.mark.parametrize(
    ("use", "permissions", "scopes", "level"),
    [
        ("git", {"contents": "read"}, ("read_repository",), 20),
        ("git", {"contents": "write"}, ("read_repository", "write_repository"), 40),
        ("git", {"contents": "read", "issues": "write"}, ("read_repository",), 20),
        ("api", {"contents": "read"}, ("read_api", "read_repository"), 20),
        ("api", {"contents": "read", "issues": "write"}, ("api",), 20),
        ("api", {"contents": "write", "pull_requests": "write"}, ("api",), 40),
    ],
)
def test_the_least_scopes_and_role(use, permissions, scopes, level):
    """Each grant has the least of GitLab's words and the role that it needs."""
    narrow = narrow_permissions(scope_of(use=use, **permissions))
    assert (forge_scopes(narrow.permissions, use), narrow.access_level) == (scopes, level)


@pytest.mark.parametrize(
    ("use", "permissions"),
    [("git", {"issues": "write"}), ("api", {"pull_requests": "write"})],
)
def test_what_cannot_be_had_without_more_is_refused(use, permissions):
    """No permission of git, or one that would bring the right to push, is refused."""
    with pytest.raises(GrantMissingError) as caught:
        narrow_permissions(scope_of(use=use, **permissions))
    assert caught.value.code == "PERMISSION_NOT_GRANTED"


@given(st.sampled_from(["projects", "groups"]), st.integers(1), st.integers(1))
def test_a_handle_survives_the_database(kind, place, token):
    """A handle is read as it was written."""
    handle = Handle(Place(kind, place), token)
    assert parse_handle(handle.serialize()) == handle


@given(st.text() | st.recursive(st.none() | st.integers(), st.lists).map(json.dumps))
def test_other_handles_are_none(text):
    """Whatever else stands there is no handle, and no error."""
    assert parse_handle(text) is None


@given(st.text(), st.integers(0, 2**39))
def test_names_of_others_are_left_alone(text, end):
    """Only a name in our own form tells when its lease ends."""
    assert ends_at(token_name(Lease("abc", "w1", "lab", end))) == end
    assert ends_at(text) is None
