"""Who is asking: with a secret, a derived secret or an identity token, and nobody else."""

import asyncio
import hashlib
import inspect

import pytest

from git_credential_relay.broker.config.model import IdentityModel
from git_credential_relay.broker.errors import CallerUnknownError, IssuerUnavailableError
from git_credential_relay.broker.identity.caller import Caller
from git_credential_relay.broker.identity.identify import Identifier
from git_credential_relay.broker.identity.rules import compile_identity
from git_credential_relay.broker.identity.secrets import session_hmac
from git_credential_relay.broker.policy import compile_policy
from git_credential_relay.broker.workspace import AcceptedSecret, Workspace
from git_credential_relay.secret import Secret
from tests.unit.broker.identity.verifying import make_verifier, model

NOW = 1_800_000_000
SESSION_SECRET = Secret("session-secret")
JWT_LIKE = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"


def workspace(issuer_url="https://none.example", *, session=False, secrets=("the-secret",)):
    rule = IdentityModel(
        issuer=issuer_url, subject="repo:acme/app:ref:refs/heads/main", claims={"repository_id": 7}
    )
    hashes = tuple(AcceptedSecret(hashlib.sha256(text.encode()).digest()) for text in secrets)
    policy = compile_policy([])
    return Workspace("w1", policy, hashes, session, (compile_identity(rule),))


def identify(bearer, known, issuer=None, session_secret=SESSION_SECRET):
    async def run():
        verifier = make_verifier(*([model(issuer.url)] if issuer else []))
        try:
            return await Identifier(verifier, session_secret, lambda: NOW).identify(bearer, known)
        finally:
            await verifier.aclose()

    return asyncio.run(run())


def test_the_workspaces_secret():
    """Whoever has the secret speaks for the workspace."""
    assert identify("the-secret", workspace()) == Caller("secret", "w1")


def test_the_derived_secret():
    """Agent-relay's derived secret is accepted by workspaces that allow it."""
    derived = session_hmac(SESSION_SECRET, "w1")

    assert identify(derived, workspace(session=True)) == Caller("session-hmac", "w1")


def test_a_workload(issuer):
    """A token of the workload that a rule means speaks for the workspace."""
    token = issuer.token(repository_id="7", ref="refs/heads/main")

    assert identify(token, workspace(issuer.url), issuer) == Caller(
        "identity",
        "repo:acme/app:ref:refs/heads/main",
        {
            "iss": issuer.url,
            "sub": "repo:acme/app:ref:refs/heads/main",
            "repository_id": "7",
            "ref": "refs/heads/main",
        },
    )


def test_a_secret_that_looks_like_a_token():
    """A secret is a secret, whatever form somebody gave it."""
    assert identify(JWT_LIKE, workspace(secrets=(JWT_LIKE,))) == Caller("secret", "w1")


DERIVED = session_hmac(SESSION_SECRET, "w1")


@pytest.mark.parametrize(
    ("bearer", "known", "session_secret", "reason"),
    [
        (None, workspace(), SESSION_SECRET, "no bearer token was sent"),
        ("", workspace(), SESSION_SECRET, "no bearer token was sent"),
        ("the-secret", None, SESSION_SECRET, "there is no such workspace"),
        ("wrong", workspace(), SESSION_SECRET, "the secret is none of the workspace's"),
        ("the-secret", workspace(secrets=()), None, "the secret is none of the workspace's"),
        (DERIVED, workspace(), SESSION_SECRET, "the secret is none of the workspace's"),
        (DERIVED, workspace(session=True), None, "the secret is none of the workspace's"),
        (
            "\ud800",
            workspace(session=True),
            SESSION_SECRET,
            "the secret is none of the workspace's",
        ),
        (
            JWT_LIKE,
            workspace(),
            None,
            "the identity token is refused: it names no issuer",
        ),
    ],
)
def test_everybody_else_is_refused_with_one_text(bearer, known, session_secret, reason):
    """The answer never says what was wrong; the audit is told."""
    with pytest.raises(CallerUnknownError) as caught:
        identify(bearer, known, session_secret=session_secret)

    error = caught.value
    assert (error.status, error.code) == (401, "INVALID_WORKSPACE_TOKEN")
    assert error.message == "the workspace's secret or identity token is not accepted"
    assert error.reason == reason


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"repository_id": "8"}, "no identity of the workspace means repo:acme/app:ref:refs/"),
        ({"repository_id": "7", "sub": "x"}, "no identity of the workspace means x of http://"),
        ({"repository_id": "7", "aud": "x"}, "the identity token is refused: it is for another"),
    ],
)
def test_a_workload_that_no_rule_means_is_refused(issuer, claims, reason):
    """An issuer's word alone opens nothing."""
    with pytest.raises(CallerUnknownError) as caught:
        identify(issuer.token(**claims), workspace(issuer.url), issuer)

    assert str(caught.value.reason).startswith(reason)


def test_a_workload_of_no_workspace_is_refused(issuer):
    """A good token tells nobody which workspaces there are."""
    with pytest.raises(CallerUnknownError) as caught:
        identify(issuer.token(repository_id="7"), None, issuer)

    assert caught.value.reason == "there is no such workspace"


def test_an_issuer_in_trouble_is_no_refusal(issuer):
    """The caller is told to try again, not that its token is wrong."""
    token, known = issuer.token(repository_id="7"), workspace(issuer.url)
    issuer.stop()

    with pytest.raises(IssuerUnavailableError):
        identify(token, known, issuer)


def test_a_secret_waits_for_nothing():
    """The hot path gives no other request a turn: it ends at its first step."""
    identifier = Identifier(make_verifier(), SESSION_SECRET, lambda: NOW)
    steps = identifier.identify("the-secret", workspace())

    with pytest.raises(StopIteration) as ended:
        steps.send(None)

    assert ended.value.value == Caller("secret", "w1")
    assert inspect.getcoroutinestate(steps) == inspect.CORO_CLOSED
