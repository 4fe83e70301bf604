"""What the API says that its token is for."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.errors import MalformedResponseError
from git_credential_relay.relay.client.outcome import Answered
from git_credential_relay.relay.client.payloads import parse_granted

FIELDS = {"host": "github.com", "repositories": ["a/b"], "permissions": {"contents": "write"}}
SIMPLE = st.none() | st.booleans() | st.integers() | st.text(max_size=20)
NESTED = st.lists(SIMPLE, max_size=3) | st.dictionaries(st.text(max_size=5), SIMPLE, max_size=3)
DATA = st.dictionaries(st.sampled_from(list(FIELDS)), SIMPLE | NESTED)


@pytest.mark.parametrize(
    "body", [FIELDS, {"success": True, "data": FIELDS}], ids=["plain", "envelope"]
)
def test_host_repositories_and_permissions_are_read(body):
    """In the broker's form and in Kilo's envelope."""
    granted = parse_granted(Answered(200, json.dumps(body).encode()))

    assert (granted.host, granted.repositories) == ("github.com", ["a/b"])
    assert granted.permissions == {"contents": "write"}


def test_an_old_api_says_nothing_of_it():
    """Absent is not empty."""
    granted = parse_granted(Answered(200, b'{"token": "x"}'))

    assert (granted.host, granted.repositories, granted.permissions) == (None, None, None)


@given(DATA | st.fixed_dictionaries({"success": st.just(True), "data": DATA}))
def test_any_object_is_read_or_passed_over(body):
    """Fields of another form count as absent, and what is left is safe to print."""
    granted = parse_granted(Answered(200, json.dumps(body).encode()))
    texts = [*(granted.repositories or []), *(granted.permissions or {}), granted.host or ""]

    assert all(text.isprintable() for text in texts)


@given(st.binary())
def test_anything_else_is_malformed(body):
    """No bytes raise anything else."""
    try:
        parse_granted(Answered(200, body))
    except MalformedResponseError:
        return
    assert isinstance(json.loads(body), dict)
