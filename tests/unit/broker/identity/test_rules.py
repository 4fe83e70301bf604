"""Rules about identity tokens: whole values, whole matches, and nothing that means too many."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.broker.config.model import IdentityModel
from git_credential_relay.broker.identity.rules import (
    VerifiedClaims,
    claim_text,
    compile_identity,
)
from git_credential_relay.errors import ConfigError

ISSUER = "https://issuer.example"
CLAIMS = {"iss": ISSUER, "sub": "repo:acme/app:ref:refs/heads/main", "repository_id": "74"}


def rule(**settings):
    return compile_identity(IdentityModel(issuer=ISSUER, **settings))


def matches(claims, /, **settings):
    return rule(**settings).matches(VerifiedClaims(claims))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"subject": "x", "subject_pattern": "x"},
        {"subject": "repo:acme/*"},
        {"subject_pattern": "repo:acme/.*"},
        {"subject_pattern": "repo:acme/.*", "claim_patterns": {"ref": ".*"}},
        {"subject_pattern": "(", "claims": {"a": "b"}},
        {"subject_pattern": "a)|(b", "claims": {"a": "b"}},
        {"subject": "x", "claim_patterns": {"ref": "["}},
        {"subject": "x", "claims": {"a": "b\n"}},
    ],
    ids=repr,
)
def test_rules_that_are_refused(settings):
    """A rule that is none, or would mean more than its writer can know, stops the start."""
    with pytest.raises(ConfigError):
        rule(**settings)


def test_an_alternative_in_a_pattern_is_bounded_on_both_sides():
    """`a|b` means a or b, and not whatever begins with a or ends in b."""
    settings = {
        "subject_pattern": "repo:acme/app:.*|repo:acme/lib:ref:refs/heads/main",
        "claims": {"repository_id": "74"},
    }
    evil = "repo:evil/x:repo:acme/lib:ref:refs/heads/main"

    assert matches(CLAIMS, **settings)
    assert not matches(CLAIMS | {"sub": evil}, **settings)


@pytest.mark.parametrize("more", ["-evil", "\n", "/x"])
def test_a_pattern_must_match_to_the_end(more):
    """Nothing may follow what the pattern means, not even a line's end."""
    settings = {
        "subject_pattern": "repo:acme/[a-z]+:ref:refs/heads/(main|dev)",
        "claims": {"repository_id": "74"},
        "claim_patterns": {"ref": "main"},
    }

    assert matches(CLAIMS | {"ref": "main"}, **settings)
    assert not matches(CLAIMS | {"ref": "main", "sub": CLAIMS["sub"] + more}, **settings)
    assert not matches(CLAIMS | {"ref": "main" + more}, **settings)


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "https://issuer.example/"},
        {"sub": CLAIMS["sub"] + "\n"},
        {"sub": None},
        {"sub": ["repo:acme/app:ref:refs/heads/main"]},
        {"repository_id": "740"},
        {"repository_id": 74.0},
        {"repository_id": None},
        {"repository_id": {"74": "74"}},
    ],
    ids=repr,
)
def test_every_part_must_match(change):
    """One part that differs, and the rule does not mean the caller."""
    settings = {"subject": CLAIMS["sub"], "claims": {"repository_id": 74}}

    assert matches(CLAIMS, **settings)
    assert not matches(CLAIMS | change, **settings)


@given(st.text(max_size=20))
def test_a_whole_subject_means_itself_alone(text):
    """A subject without pattern is compared character by character."""
    meant = "system:serviceaccount:ns:sa"

    assert matches(CLAIMS | {"sub": text}, subject=meant) == (text == meant)


@given(st.dictionaries(st.sampled_from("abc"), st.text("xy", max_size=3)), st.sampled_from("abc"))
def test_a_condition_never_widens_a_rule(claims, name):
    """Whoever matches with one more condition matches without it too."""
    claims = CLAIMS | claims
    wide, narrow = {"subject": CLAIMS["sub"]}, {"claim_patterns": {name: "x|xy"}}

    assert matches(claims, **wide) or not matches(claims, **wide | narrow)
    assert matches(claims, **wide | narrow) == bool(re.fullmatch("x|xy", claims.get(name, "")))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("kubernetes.io/pod/uid", "u1"),
        ("kubernetes.io", None),
        ("kubernetes.io/pod", None),
        ("kubernetes.io/pod/uid/x", None),
        ("kubernetes.io/", None),
        ("pod/uid", None),
        ("a/b", "flat"),
        ("flag", "true"),
        ("number", "5"),
    ],
)
def test_claims_within_claims(name, text):
    """A claim inside another is named by its path; one that has a slash in its name by that."""
    claims = VerifiedClaims(
        {
            "kubernetes.io": {"pod": {"uid": "u1"}},
            "a": {"b": "nested"},
            "a/b": "flat",
            "flag": True,
            "number": 5,
        }
    )

    assert claim_text(claims, name) == text
