"""Who asks: what is known of a caller once it has proved who it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from git_credential_relay.broker.identity.rules import VerifiedClaims, claim_text
from git_credential_relay.secret import printable

Kind = Literal["secret", "session-hmac", "identity"]

# Those that say who did it and cannot be given to another later, before those people read.
# Tokens have some thirty more.
AUDITED_CLAIMS = (
    "iss",
    "sub",
    "jti",
    # GitHub Actions, Forgejo Actions
    "repository",
    "repository_id",
    "repository_owner_id",
    "ref",
    "sha",
    "event_name",
    "environment",
    "job_workflow_ref",
    "run_id",
    "run_attempt",
    "actor",
    "actor_id",
    # GitLab CI
    "project_path",
    "project_id",
    "namespace_id",
    "pipeline_id",
    "pipeline_source",
    "job_id",
    "ref_type",
    "ref_protected",
    "user_login",
    "user_id",
    # Kubernetes
    "kubernetes.io/namespace",
    "kubernetes.io/serviceaccount/name",
    "kubernetes.io/serviceaccount/uid",
    "kubernetes.io/pod/name",
    "kubernetes.io/pod/uid",
    "kubernetes.io/node/name",
)
MAX_AUDITED = 256  # characters of one claim


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who proved to be `name`: a workspace's id, `admin`, or a token's subject.

    `claims` are the few of its identity token's that the audit keeps, as texts.
    """

    kind: Kind
    name: str
    claims: Mapping[str, str] | None = None


def identity_caller(claims: VerifiedClaims) -> Caller:
    """The caller that verified claims speak of."""
    texts = ((name, claim_text(claims, name)) for name in AUDITED_CLAIMS)
    audited = {name: printable(text, MAX_AUDITED) for name, text in texts if text}
    return Caller("identity", printable(str(claims["sub"]), MAX_AUDITED), audited)
