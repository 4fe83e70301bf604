"""Which identity tokens speak for a workspace: rules, compiled once and matched purely.

Types keep unverified claims out: `matches` takes VerifiedClaims, which only the verifier makes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NewType

from git_credential_relay.broker.config.model import IdentityModel
from git_credential_relay.errors import ConfigError

VerifiedClaims = NewType("VerifiedClaims", Mapping[str, object])

MAX_CLAIM = 1024


@dataclass(frozen=True, slots=True)
class IdentityRule:
    """Every part must match: issuer, subject, and each claim."""

    issuer: str
    subject: str | None
    subject_pattern: re.Pattern[str] | None
    claims: Mapping[str, str]
    claim_patterns: Mapping[str, re.Pattern[str]]

    def matches(self, claims: VerifiedClaims) -> bool:
        """Whether these claims are those of somebody the rule means."""
        subject = claim_text(claims, "sub")
        if subject is None or claims.get("iss") != self.issuer:
            return False
        if self.subject is not None and subject != self.subject:
            return False
        if self.subject_pattern is not None and not self.subject_pattern.fullmatch(subject):
            return False
        if any(claim_text(claims, name) != value for name, value in self.claims.items()):
            return False
        return all(
            (text := claim_text(claims, name)) is not None and pattern.fullmatch(text) is not None
            for name, pattern in self.claim_patterns.items()
        )


def compile_identity(model: IdentityModel) -> IdentityRule:
    """The rule of a configured identity. Raises ConfigError for one that means too many."""
    if (model.subject is None) == (model.subject_pattern is None):
        raise ConfigError("an identity needs exactly one of subject and subject_pattern")
    if model.subject is not None and "*" in model.subject:
        raise ConfigError(
            "subject is compared whole, and * means nothing in it", hint="use subject_pattern"
        )
    if model.subject_pattern is not None and not model.claims:
        # Names in a subject change hands (a deleted repository, a renamed owner); ids do not.
        raise ConfigError(
            "subject_pattern needs a claim beside it that is compared whole",
            hint='claims = { repository_owner_id = "1234" }',
        )
    return IdentityRule(
        model.issuer,
        model.subject,
        None if model.subject_pattern is None else _compile(model.subject_pattern),
        {name: _claim(value) for name, value in model.claims.items()},
        {name: _compile(pattern) for name, pattern in model.claim_patterns.items()},
    )


def claim_text(claims: VerifiedClaims, name: str) -> str | None:
    """A claim as text, or None: there is none, or nothing that can be compared.

    `kubernetes.io/serviceaccount/uid` is the one that Kubernetes puts inside two others.
    """
    return _text(_find(claims, name))


def _find(claims: Mapping[str, object], name: str) -> object:
    if name in claims:
        return claims[name]
    for outer, inner in claims.items():
        if isinstance(inner, Mapping) and name.startswith(f"{outer}/"):
            return _find(inner, name[len(outer) + 1 :])
    return None


def _compile(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"not a pattern: {pattern!r}: {error}") from error


def _claim(value: object) -> str:
    text = _text(value)
    if text is None:
        raise ConfigError(f"a claim cannot be {value!r}")
    return text


def _text(value: object) -> str | None:
    """A claim as text: GitLab sends "true" where others send true."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str) and len(value) <= MAX_CLAIM and value.isprintable():
        return value
    return None
