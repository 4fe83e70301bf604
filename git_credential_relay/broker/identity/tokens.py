"""Verifying identity tokens: JWTs that an issuer gave to a workload, made for us alone.

The order is a security property: what a token says of itself chooses among the configured
issuers, and nothing is fetched for any other.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jwt
import msgspec

from git_credential_relay.broker.errors import CallerUnknownError
from git_credential_relay.broker.identity.issuers import Issuer
from git_credential_relay.broker.identity.keys import IssuerKeys
from git_credential_relay.broker.identity.rules import MAX_CLAIM, VerifiedClaims
from git_credential_relay.secret import printable

MAX_TOKEN = 16 * 1024
MAX_LIFETIME_SECONDS = 24 * 3600
LEEWAY_SECONDS = 30
MAX_KEY_ID = 256
_SEGMENT = r"/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._-]+"
_SPIFFE_ID = re.compile(rf"spiffe://(?P<trust_domain>[a-z0-9._-]+)(?:{_SEGMENT})+")
# JSON as deep or as odd as the sender likes reaches the library before the signature does.
_REFUSALS = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)
_CAUSES: dict[type, str] = {
    jwt.ExpiredSignatureError: "it has expired",
    jwt.ImmatureSignatureError: "it is not valid yet",
    jwt.InvalidAudienceError: "it is for another audience",
    jwt.InvalidSignatureError: "its signature is wrong",
}


class TokenVerifier:
    """Makes verified claims of the tokens of these issuers, and of nobody else's.

    Raises ConfigError where an issuer's files cannot be read. Fetches nothing before it must.
    """

    def __init__(
        self, issuers: Iterable[Issuer], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._keys = {issuer.url: IssuerKeys(issuer, monotonic) for issuer in issuers}
        self._by_trust_domain = {
            keys.issuer.trust_domain: keys
            for keys in self._keys.values()
            if keys.issuer.trust_domain
        }

    async def verify(self, unverified_token: str) -> VerifiedClaims:
        """The claims of a token that one of the issuers made for us, and that is valid now.

        `iss` is among them in any case. Raises CallerUnknownError, whose reason never holds a
        part of the token but the name of its issuer, and IssuerUnavailableError.
        """
        if len(unverified_token) > MAX_TOKEN:
            raise _refusal(f"it is longer than {MAX_TOKEN} characters")
        unverified_header, unverified_claims = _read_unverified(unverified_token)
        keys = self._find_keys(unverified_claims)
        issuer = keys.issuer
        algorithm, key_id = _check_header(unverified_header, issuer)
        key = await keys.find(key_id, algorithm)
        if key is None:
            raise _refusal("its issuer has no such key")
        claims = _verify_signature(unverified_token, key, issuer)
        _check_claims(claims, issuer)
        return VerifiedClaims({"iss": issuer.url} | claims)

    async def probe(self) -> dict[str, str | None]:
        """For each issuer what is wrong with fetching its keys now; None if nothing is."""
        return {url: await keys.probe() for url, keys in self._keys.items()}

    def knows(self, issuer_url: str) -> bool:
        """Whether tokens of this issuer can be verified at all."""
        return issuer_url in self._keys

    async def aclose(self) -> None:
        """Close the connections."""
        for keys in self._keys.values():
            await keys.aclose()

    def _find_keys(self, unverified_claims: Mapping[str, Any]) -> IssuerKeys:
        unverified_issuer = unverified_claims.get("iss")
        if unverified_issuer is None:
            # Of a JWT-SVID, SPIFFE demands sub, aud and exp alone; the domain names its keys.
            found = _SPIFFE_ID.fullmatch(str(unverified_claims.get("sub")))
            keys = self._by_trust_domain.get(found["trust_domain"]) if found else None
        else:
            keys = self._keys.get(unverified_issuer) if _is_text(unverified_issuer) else None
        if keys is None and unverified_issuer is None:
            raise _refusal("it names no issuer")
        if keys is None:
            raise _refusal(f"no [[issuer]] has the url {printable(str(unverified_issuer), 255)}")
        return keys


def _read_unverified(unverified_token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims as they stand there, good for nothing but to find the issuer and key.

    Should the library read them otherwise: it decides by its own reading, and the issuer is
    compared once more afterwards.
    """
    try:
        head, payload, _ = unverified_token.split(".")
        unverified_header, unverified_claims = (
            msgspec.json.decode(base64.urlsafe_b64decode(f"{part}==")) for part in (head, payload)
        )
    except _REFUSALS as error:
        raise _refusal("it is not a JWT") from error
    if not isinstance(unverified_header, dict) or not isinstance(unverified_claims, dict):
        raise _refusal("it is not a JWT")
    return unverified_header, unverified_claims


def _check_header(unverified_header: Mapping[str, Any], issuer: Issuer) -> tuple[str, str | None]:
    algorithm = unverified_header.get("alg")
    if algorithm not in issuer.algorithms:
        raise _refusal("its algorithm is none of the issuer's")
    key_id = unverified_header.get("kid")
    if key_id is None:
        if issuer.jwks_file is None:
            raise _refusal("it names no key")
    elif not isinstance(key_id, str) or len(key_id) > MAX_KEY_ID:
        raise _refusal("the name of its key is none")
    return algorithm, key_id


def _verify_signature(unverified_token: str, key: jwt.PyJWK, issuer: Issuer) -> dict[str, Any]:
    required = ["aud", "exp", "sub"]
    if issuer.trust_domain is None:
        required += ["iss", "iat"]
    try:
        return jwt.decode(
            unverified_token,
            key,
            algorithms=list(issuer.algorithms),
            audience=issuer.audience,
            leeway=LEEWAY_SECONDS,
            options={
                "require": required,
                "verify_signature": True,
                "verify_exp": True,
                "verify_nbf": True,
                "verify_iat": True,
                "verify_aud": True,
                "verify_sub": True,
                "enforce_minimum_key_length": True,
            },
        )
    except _REFUSALS as error:
        cause = _CAUSES.get(type(error))
        if isinstance(error, jwt.MissingRequiredClaimError):
            cause = f"it has no {error.claim}"
        raise _refusal(cause or f"it is not valid ({type(error).__name__})") from error


def _check_claims(claims: Mapping[str, Any], issuer: Issuer) -> None:
    """What the library leaves open. Raises CallerUnknownError."""
    if claims.get("iss", issuer.url) != issuer.url:
        raise _refusal("its issuer is another one")
    # One that is for others as well could be replayed by any of them.
    if claims["aud"] not in (issuer.audience, [issuer.audience]):
        raise _refusal("it is for other audiences as well")
    expires_at, issued_at = claims["exp"], claims.get("iat", time.time())
    if not _is_number(expires_at) or not _is_number(issued_at):
        raise _refusal("its times are no numbers")
    # A workload without iat cannot be told to be older than its token, which is the same here.
    if expires_at - issued_at > MAX_LIFETIME_SECONDS + ("iat" not in claims) * LEEWAY_SECONDS:
        raise _refusal("it lives for more than a day")
    subject = claims["sub"]
    if not _is_text(subject):
        raise _refusal("its subject is empty, too long or unprintable")
    if issuer.trust_domain is not None:
        found = _SPIFFE_ID.fullmatch(subject)
        if found is None or found["trust_domain"] != issuer.trust_domain:
            raise _refusal("its subject is not of the issuer's trust domain")
    if not issuer.allows_pull_requests and _is_of_pull_request(claims):
        raise _refusal("it is of a pull request, which may run anybody's code")


def _is_of_pull_request(claims: Mapping[str, Any]) -> bool:
    # Of GitHub's events also pull_request_target and pull_request_review. Where a repository's
    # subjects are customised the word may stand anywhere in them. GitLab's merge requests are
    # told by the pipeline's source.
    if str(claims.get("pipeline_source", "")).endswith("merge_request_event"):
        return True
    event = str(claims.get("event_name", ""))
    return event.startswith("pull_request") or "pull_request" in claims["sub"].split(":")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_CLAIM and value.isprintable()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _refusal(cause: str) -> CallerUnknownError:
    return CallerUnknownError(f"the identity token is refused: {cause}")
