"""The verifier's checklist: each item is refused by its own cause, before it can do harm."""

import base64
import json
import time

import jwt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fakes.issuer import AUDIENCE, jwk, private_key, running_issuer
from tests.unit.broker.identity.verifying import model, refusal, verify


def at(claims: dict[str, object]) -> dict[str, object]:
    """The claims with times that count from now, not from when the tests were collected."""
    now = int(time.time())

    def moved(value: object) -> object:
        match value:
            case bool() | None:
                return value
            case int():
                return now + value
            case str():
                return str(now + int(value))
            case _:
                return [now]

    return {n: moved(v) if n in ("iat", "nbf", "exp") else v for n, v in claims.items()}


def b64(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_a_good_token_gives_its_claims(issuer):
    """What the issuer signed for us comes out, all of it."""
    token = issuer.token(repository_id="42")

    assert verify(token, model(issuer.url)) == jwt.decode(
        token, options={"verify_signature": False}
    )
    assert issuer.requests == ["/.well-known/openid-configuration", "/jwks"]


@pytest.mark.parametrize(
    ("claims", "cause"),
    [
        ({"aud": "https://other.example"}, "it is for another audience"),
        ({"aud": [AUDIENCE, "https://other.example"]}, "it is for other audiences as well"),
        ({"aud": None}, "it has no aud"),
        ({"aud": [AUDIENCE, 7]}, "it is for another audience"),
        ({"sub": None}, "it has no sub"),
        ({"sub": ""}, "its subject is empty, too long or unprintable"),
        ({"sub": "a\nb"}, "its subject is empty, too long or unprintable"),
        ({"sub": "s" * 1025}, "its subject is empty, too long or unprintable"),
        ({"sub": 5}, "it is not valid (InvalidSubjectError)"),
        ({"iat": None}, "it has no iat"),
        ({"exp": None}, "it has no exp"),
        ({"exp": -60}, "it has expired"),
        ({"nbf": 90}, "it is not valid yet"),
        ({"iat": 90, "exp": 300}, "it is not valid yet"),
        ({"exp": 24 * 3600 + 60}, "it lives for more than a day"),
        ({"iat": -3600, "exp": 23 * 3600 + 60}, "it lives for more than a day"),
        ({"exp": "300"}, "its times are no numbers"),
        ({"iat": True}, "its times are no numbers"),
        ({"exp": [300]}, "it is not valid (DecodeError)"),
        ({"event_name": "pull_request"}, "it is of a pull request, which may run anybody's code"),
        (
            {"pipeline_source": "merge_request_event"},
            "it is of a pull request, which may run anybody's code",
        ),
        (
            {"event_name": "pull_request_target"},
            "it is of a pull request, which may run anybody's code",
        ),
        (
            {"sub": "repo:acme/app:pull_request"},
            "it is of a pull request, which may run anybody's code",
        ),
    ],
    ids=lambda value: json.dumps(value)[:40] if isinstance(value, dict) else "cause",
)
def test_claims_that_are_refused(issuer, claims, cause):
    """A token of the right issuer and key is refused for what it claims."""
    assert refusal(issuer.token(**at(claims)), model(issuer.url)) == cause


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": [AUDIENCE]},
        {"exp": -10},
        {"nbf": 20},
        {"iat": 20, "exp": 300},
        {"sub": "repo:acme/app:ref:refs/heads/pull_request"},
        {"sub": "project_path:acme/app:ref_type:branch:ref:pull_request_form"},
        {"event_name": "push"},
    ],
    ids=json.dumps,
)
def test_claims_that_are_accepted(issuer, claims):
    """One audience in a list, half a minute of clock drift, and branches of odd names are fine."""
    assert verify(issuer.token(**at(claims)), model(issuer.url))["iss"] == issuer.url


@pytest.mark.parametrize(
    "claims", [{"event_name": "pull_request"}, {"sub": "repo:acme/app:pull_request"}]
)
def test_pull_requests_can_be_allowed(issuer, claims):
    """An issuer that is configured to may vouch for pull requests."""
    allowing = model(issuer.url, allows_pull_requests=True)

    assert verify(issuer.token(**claims), allowing)


def test_nothing_is_fetched_for_an_issuer_that_is_not_listed(issuer):
    """A token that names another issuer is refused before that one hears of it."""
    cause = refusal(issuer.token(), model("https://token.actions.githubusercontent.com"))

    assert cause == f"no [[issuer]] has the url {issuer.url}"
    assert issuer.requests == []


@pytest.mark.parametrize("iss", ["/", "/x", "#", " "])
def test_the_issuer_is_compared_whole(issuer, iss):
    """A URL that only begins like a listed one is another issuer."""
    assert refusal(issuer.token(iss=issuer.url + iss), model(issuer.url)).startswith(
        "no [[issuer]]"
    )


@pytest.mark.parametrize("iss", [None, 5, ["x"], {"a": 1}])
def test_an_issuer_that_is_no_text_is_refused(issuer, iss):
    """A token without an issuer's name is nobody's."""
    token = f"{b64({'alg': 'RS256', 'kid': 'rsa-1'})}.{b64({'iss': iss, 'sub': 'x'})}.c2ln"

    assert refusal(token, model(issuer.url)).startswith(("no [[issuer]]", "it names no issuer"))


def test_one_issuers_key_does_not_sign_for_another(issuer):
    """A key of one listed issuer is good for no token that names the other."""
    with running_issuer() as other:
        other.keys = [jwk("rsa-2")]
        token = issuer.token(iss=other.url)

        assert refusal(token, model(issuer.url), model(other.url)) == "its issuer has no such key"
        forged = issuer.token(iss=other.url, headers={"kid": "rsa-2"})
        assert refusal(forged, model(issuer.url), model(other.url)) == "its signature is wrong"


@pytest.mark.parametrize(
    ("settings", "algorithm", "key"),
    [
        ({}, "HS256", "rsa-1"),
        ({}, "RS512", "rsa-1"),
        ({}, "ES256", "ec-1"),
        ({"algorithms": ["ES256"]}, "RS256", "rsa-1"),
    ],
)
def test_an_algorithm_that_is_not_the_issuers_is_refused(issuer, settings, algorithm, key):
    """The algorithm must be configured, whatever the issuer's keys could do."""
    issuer.keys = [jwk("rsa-1", alg=None), jwk("ec-1")]
    token = issuer.token(key=key, algorithm=algorithm)

    assert refusal(token, model(issuer.url, **settings)) == (
        "its algorithm is none of the issuer's"
    )
    assert issuer.requests == []


def test_unsigned_tokens_are_refused(issuer):
    """`none` is no algorithm."""
    token = f"{b64({'alg': 'none', 'kid': 'rsa-1'})}.{issuer.token().split('.')[1]}."

    assert refusal(token, model(issuer.url)) == "its algorithm is none of the issuer's"


@pytest.mark.parametrize(
    ("algorithm", "key"), [("ES256", "ec-1"), ("EdDSA", "ed-1"), ("PS256", "rsa-1")]
)
def test_other_asymmetric_algorithms_can_be_configured(issuer, algorithm, key):
    """An issuer may sign with any of them, and need not say so in its key set."""
    issuer.keys = [jwk(key, alg=None)]
    token = issuer.token(key=key, algorithm=algorithm)

    assert verify(token, model(issuer.url, algorithms=["RS256", algorithm]))


def test_a_key_is_for_its_own_algorithm_alone(issuer):
    """A key that is marked for RS256 verifies nothing else."""
    token = issuer.token(algorithm="RS512")

    assert refusal(token, model(issuer.url, algorithms=["RS256", "RS512"])) == (
        "its issuer has no such key"
    )


@pytest.mark.parametrize("header", [{"kid": None}, {"kid": "x" * 300}])
def test_a_token_must_name_its_key(issuer, header):
    """Without the name of a key no key is tried."""
    cause = refusal(issuer.token(headers=header), model(issuer.url))

    assert cause in ("it names no key", "the name of its key is none")
    assert issuer.requests == []


def test_a_weak_key_verifies_nothing(issuer):
    """An RSA key of 1024 bits counts as none."""
    issuer.keys = [jwk("weak-1")]
    now = int(time.time())
    claims = {"iss": issuer.url, "aud": AUDIENCE, "sub": "x", "iat": now, "exp": now + 60}
    with pytest.warns(jwt.warnings.InsecureKeyLengthWarning):
        token = jwt.encode(claims, private_key("weak-1"), "RS256", headers={"kid": "weak-1"})

    assert refusal(token, model(issuer.url)) == "its issuer has no such key"


def test_a_token_of_more_than_16_kib_is_refused(issuer):
    """It is not even parsed."""
    assert refusal(issuer.token(padding="x" * 16384), model(issuer.url)) == (
        "it is longer than 16384 characters"
    )


def test_a_changed_token_is_refused(issuer):
    """The signature covers the claims."""
    head, payload, signature = issuer.token().split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    forged = f"{head}.{b64(claims | {'sub': 'repo:acme/other:ref:refs/heads/main'})}.{signature}"

    assert refusal(forged, model(issuer.url)) == "its signature is wrong"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    head=st.recursive(
        st.none() | st.booleans() | st.text() | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    payload=st.text() | st.dictionaries(st.sampled_from(["iss", "sub", "exp", "x"]), st.text()),
)
def test_whatever_comes_is_refused_quietly(head, payload):
    """Nothing that looks like a token raises anything but the one refusal."""
    known = model("http://127.0.0.1:1")

    assert refusal(f"{b64(head)}.{b64(payload)}.c2ln", known)
    assert refusal(f"{head}.{payload}.{payload}", known)


def test_json_that_nests_too_deep_is_refused():
    """A payload of ten thousand brackets ends in a refusal."""
    deep = base64.urlsafe_b64encode(b"[" * 5000).rstrip(b"=").decode()

    assert refusal(f"{b64({'alg': 'RS256'})}.{deep}.c2ln", model("https://issuer.example")) == (
        "it is not a JWT"
    )


def test_no_reason_holds_the_token(issuer):
    """The reason that goes to the audit has no part of what was sent."""
    token = issuer.token(**at({"exp": -60}))
    cause = refusal(token, model(issuer.url))

    assert not any(part in cause for part in token.split("."))
