"""The tokens that workloads really have, against the rules one would write for them."""

import json

import pytest

from git_credential_relay.broker.config.model import IdentityModel
from git_credential_relay.broker.identity.caller import identity_caller
from git_credential_relay.broker.identity.rules import compile_identity
from tests.fakes.issuer import AUDIENCE, jwk
from tests.unit.broker.identity.verifying import model, refusal, verify

KUBERNETES = {
    "aud": [AUDIENCE],
    "jti": "0f2d3c1e-6f0b-4a53-9c2c-7f6f8b1f8f1a",
    "sub": "system:serviceaccount:agents:w1",
    "kubernetes.io": {
        "namespace": "agents",
        "node": {"name": "node-7", "uid": "5b9b6a0e-2c7f-4c58-8a58-3f2a4d5c6b7a"},
        "pod": {"name": "w1-6d5f", "uid": "a1b2c3d4-0000-4000-8000-000000000001"},
        "serviceaccount": {"name": "w1", "uid": "a1b2c3d4-0000-4000-8000-000000000002"},
        "warnafter": 1_800_003_607,
    },
}
GITHUB = {
    "jti": "example-id",
    "sub": "repo:acme/app:environment:agents",
    "environment": "agents",
    "ref": "refs/heads/main",
    "sha": "0123456789abcdef0123456789abcdef01234567",
    "repository": "acme/app",
    "repository_owner": "acme",
    "repository_id": "74",
    "repository_owner_id": "65",
    "actor": "octocat",
    "actor_id": "12",
    "workflow": "agents 🤖",
    "head_ref": "",
    "base_ref": "",
    "event_name": "workflow_dispatch",
    "ref_type": "branch",
    "ref_protected": "true",
    "job_workflow_ref": "acme/flows/.github/workflows/agent.yml@refs/heads/main",
    "run_id": "1234567",
    "run_attempt": "2",
    "runner_environment": "github-hosted",
}
GITLAB = {
    "namespace_id": "72",
    "namespace_path": "my-group",
    "project_id": "20",
    "project_path": "my-group/my-project",
    "user_id": "1",
    "user_login": "sample-user",
    "pipeline_id": "574",
    "pipeline_source": "push",
    "job_id": "302",
    "ref": "feature-branch-1",
    "ref_type": "branch",
    "ref_protected": "false",
    "environment_protected": "false",
    "sub": "project_path:my-group/my-project:ref_type:branch:ref:feature-branch-1",
}


def is_meant(claims, issuer, /, **rule):
    return compile_identity(IdentityModel(issuer=issuer.url, **rule)).matches(claims)


def test_a_kubernetes_service_account(issuer):
    """A projected token proves namespace, account and pod, by uid where that is wanted."""
    claims = verify(issuer.token(**KUBERNETES), model(issuer.url))
    account = "a1b2c3d4-0000-4000-8000-000000000002"
    by_uid = {"kubernetes.io/serviceaccount/uid": account}

    assert is_meant(claims, issuer, subject="system:serviceaccount:agents:w1", claims=by_uid)
    assert not is_meant(claims, issuer, subject="system:serviceaccount:agents:w2")
    assert not is_meant(
        claims, issuer, subject=claims["sub"], claims={"kubernetes.io/pod/uid": account}
    )
    assert identity_caller(claims).claims == {
        "iss": issuer.url,
        "sub": "system:serviceaccount:agents:w1",
        "jti": "0f2d3c1e-6f0b-4a53-9c2c-7f6f8b1f8f1a",
        "kubernetes.io/namespace": "agents",
        "kubernetes.io/serviceaccount/name": "w1",
        "kubernetes.io/serviceaccount/uid": account,
        "kubernetes.io/pod/name": "w1-6d5f",
        "kubernetes.io/pod/uid": "a1b2c3d4-0000-4000-8000-000000000001",
        "kubernetes.io/node/name": "node-7",
    }


@pytest.mark.parametrize(
    "subject",
    [
        "repo:acme/app:environment:agents",
        "repo:acme@65/app@74:environment:agents",
        "repo:acme@65/app@74:environment:prod%3Aeu",
    ],
)
def test_a_github_workflow(issuer, subject):
    """Old and new subjects work, with ids that cannot be given to another repository."""
    claims = verify(issuer.token(**GITHUB | {"sub": subject}), model(issuer.url))
    ids = {"repository_id": 74, "repository_owner_id": "65"}

    assert is_meant(claims, issuer, subject=subject, claims=ids)
    assert is_meant(claims, issuer, subject_pattern="repo:acme(@65)?/app(@74)?:.*", claims=ids)
    assert not is_meant(claims, issuer, subject=subject, claims=ids | {"repository_id": 75})
    caller = identity_caller(claims)
    assert caller.name == subject
    assert caller.claims is not None
    assert caller.claims["job_workflow_ref"] == GITHUB["job_workflow_ref"]
    assert "runner_environment" not in caller.claims


def test_a_gitlab_job(issuer):
    """GitLab's booleans are texts, and rules may write either."""
    claims = verify(issuer.token(**GITLAB), model(issuer.url))
    pattern = "project_path:my-group/my-project:.*"

    assert is_meant(
        claims, issuer, subject_pattern=pattern, claims={"project_id": 20, "ref_protected": False}
    )
    assert not is_meant(
        claims, issuer, subject_pattern=pattern, claims={"project_id": 20, "ref_protected": True}
    )
    assert identity_caller(claims).claims is not None


@pytest.mark.parametrize("iss", [None, "its own"], ids=["without iss", "with iss"])
def test_a_spiffe_workload(issuer, iss):
    """A JWT-SVID needs neither iss nor iat nor jti, and its keys name no algorithm."""
    issuer.keys = [
        jwk("ec-1", use="jwt-svid", alg=None),
        jwk("rsa-1", use="x509-svid", alg=None),
    ]
    spiffe = model(issuer.url, algorithms=["ES256"], trust_domain="example.org")
    subject = "spiffe://example.org/ns/agents/sa/w1"
    token = issuer.token(
        key="ec-1",
        algorithm="ES256",
        sub=subject,
        iat=None,
        iss=issuer.url if iss else None,
    )
    claims = verify(token, spiffe)

    assert is_meant(claims, issuer, subject=subject)
    assert identity_caller(claims).claims == {"iss": issuer.url, "sub": subject}


@pytest.mark.parametrize(
    "subject",
    [
        "spiffe://other.org/w1",
        "spiffe://example.org.evil/w1",
        "spiffe://example.org",
        "spiffe://example.org/",
        "spiffe://example.org/a/../b",
        "spiffe://example.org//b",
        "SPIFFE://example.org/b",
        "w1",
    ],
)
@pytest.mark.parametrize("has_iss", [True, False])
def test_a_spiffe_workload_of_another_domain(issuer, subject, has_iss):
    """The keys of a trust domain speak for that domain alone."""
    spiffe = model(issuer.url, trust_domain="example.org")
    token = issuer.token(sub=subject, iss=issuer.url if has_iss else None)

    assert refusal(token, spiffe).startswith(("its subject is not of", "it names no issuer"))


def test_a_spiffe_token_lives_for_a_day_at_most(issuer):
    """Without iat the time that is left counts."""
    spiffe = model(issuer.url, trust_domain="example.org")
    token = issuer.token(sub="spiffe://example.org/w1", iat=None, exp=4_000_000_000)

    assert refusal(token, spiffe) == "it lives for more than a day"


def test_the_audit_gets_short_and_printable_claims(issuer):
    """Whatever a workflow is called, what the audit keeps of it fits on a line."""
    odd = {"ref": "refs/heads/" + "x" * 2000, "actor": "a\x1b[31m", "environment": "e" * 900}
    claims = verify(issuer.token(**GITHUB | odd), model(issuer.url))
    kept = identity_caller(claims).claims

    assert kept is not None
    assert "ref" not in kept
    assert "actor" not in kept
    assert len(kept["environment"]) == 256
    assert "\x1b" not in json.dumps(kept, ensure_ascii=False)
