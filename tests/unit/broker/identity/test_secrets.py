"""Comparing secrets: rotation, expiry, and the form of agent-relay's derived one."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.broker.identity.secrets import (
    matches_secret,
    matches_session,
    session_hmac,
)
from git_credential_relay.broker.policy import compile_policy
from git_credential_relay.broker.workspace import AcceptedSecret, Workspace
from git_credential_relay.secret import Secret

NOW = 1_800_000_000.0


def accepted(text: str, expires_at: int | None = None) -> AcceptedSecret:
    return AcceptedSecret(hashlib.sha256(text.encode()).digest(), expires_at)


def workspace(*secrets: AcceptedSecret, session_hmac: bool = False) -> Workspace:
    return Workspace("w1", compile_policy([]), secrets, session_hmac)


@pytest.mark.parametrize("secret", ["the-new-one", "the-old-one"])
def test_while_a_secret_is_rotated_both_are_accepted(secret):
    """Until the overlap ends, the old secret works beside the new one, in whichever order."""
    rotated = workspace(accepted("the-new-one"), accepted("the-old-one", int(NOW) + 10))

    assert matches_secret(rotated, secret, NOW)


@pytest.mark.parametrize("now", [NOW, NOW + 1])
def test_a_secret_ends_at_its_expiry(now):
    """From the second it expires a secret is refused."""
    rotated = workspace(accepted("the-new-one"), accepted("the-old-one", int(NOW)))

    assert not matches_secret(rotated, "the-old-one", now)


@given(st.text(st.characters(exclude_categories=[])))
def test_nothing_else_is_accepted(text):
    """No other text is the secret, whatever characters it has, and none raises."""
    known = workspace(accepted("the-one-secret"))

    assert matches_secret(known, text, NOW) == (text == "the-one-secret")


@given(st.text())
def test_nobody_speaks_for_no_workspace(text):
    """A workspace that does not exist has no secret, and no derived one."""
    assert not matches_secret(None, text, NOW)
    assert not matches_session(Secret("s" * 32), None, session_hmac(Secret("s" * 32), text))


def test_the_derived_secret_has_agent_relays_form():
    """It is the hex HMAC-SHA256 of `workspace:<id>` under the session secret."""
    expected = hmac.new(b"session-secret", b"workspace:w1", "sha256").hexdigest()

    assert session_hmac(Secret("session-secret"), "w1") == expected


@pytest.mark.parametrize("allows", [True, False])
def test_the_derived_secret_must_be_allowed(allows):
    """It works only for workspaces that say so."""
    secret = Secret("session-secret")
    known = workspace(session_hmac=allows)

    assert matches_session(secret, known, session_hmac(secret, "w1")) is allows


@pytest.mark.parametrize("change", [str.upper, lambda t: t[:-1], lambda t: t + "\n", lambda t: ""])
def test_the_derived_secret_is_compared_whole(change):
    """No other spelling of it is accepted."""
    secret = Secret("session-secret")
    known = workspace(session_hmac=True)

    assert not matches_session(secret, known, change(session_hmac(secret, "w1")))


def test_the_derived_secret_of_another_workspace_is_refused():
    """It is bound to the workspace's id."""
    secret = Secret("session-secret")

    assert not matches_session(secret, workspace(session_hmac=True), session_hmac(secret, "w2"))
