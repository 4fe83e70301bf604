"""JSON Web Key Sets (RFC 7517) as keys that can verify. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import jwt

MAX_KEYS = 100
MIN_RSA_BITS = 2048
# SPIFFE marks its keys by what they sign; the others of its bundle are of certificates.
_USES = (None, "sig", "jwt-svid")
_CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}


@dataclass(frozen=True, slots=True)
class KeySet:
    """An issuer's keys. Each is bound to one algorithm, so a token cannot choose another."""

    keys: Mapping[tuple[str | None, str], jwt.PyJWK]
    key_ids: frozenset[str | None]

    def find(self, key_id: str | None, algorithm: str) -> jwt.PyJWK | None:
        """The key of this name for this algorithm."""
        return self.keys.get((key_id, algorithm))

    def find_only(self, algorithm: str) -> jwt.PyJWK | None:
        """The key for this algorithm, where the set has a single key at all."""
        (key_id, *others) = self.key_ids or [None]
        return None if others else self.find(key_id, algorithm)


def parse_jwks(raw: bytes | str, algorithms: Iterable[str]) -> KeySet:
    """The keys in a set that can verify one of these algorithms.

    Keys of unknown kinds are passed over, as RFC 7517 §5 has it, and so are weak ones. Raises
    ValueError for what is no key set.
    """
    try:
        document = json.loads(raw)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or len(entries) > MAX_KEYS:
        raise ValueError(f"no list of at most {MAX_KEYS} keys")
    keys: dict[tuple[str | None, str], jwt.PyJWK] = {}
    algorithms = tuple(algorithms)
    for entry in entries:
        if isinstance(entry, dict) and entry.get("use") in _USES:
            for key in _parse_key(entry, algorithms):
                # Of two with one name the first counts, whatever order they are tried in.
                keys.setdefault((key.key_id, key.algorithm_name), key)
    return KeySet(keys, frozenset(key_id for key_id, _ in keys))


def _parse_key(entry: dict[str, object], algorithms: Iterable[str]) -> list[jwt.PyJWK]:
    if not isinstance(entry.get("kid"), str | None):
        return []
    wanted = [
        algorithm
        for algorithm in algorithms
        if entry.get("alg") in (None, algorithm) and _is_for(entry, algorithm)
    ]
    try:
        keys = [jwt.PyJWK(entry, algorithm) for algorithm in wanted]
    except (jwt.PyJWTError, ValueError, TypeError):
        return []
    return [key for key in keys if getattr(key.key, "key_size", MIN_RSA_BITS) >= _min_bits(entry)]


def _is_for(entry: Mapping[str, object], algorithm: str) -> bool:
    if entry.get("kty") == "RSA":
        return algorithm[:2] in ("RS", "PS")
    return entry.get("kty") in ("EC", "OKP") and _CURVES.get(str(entry.get("crv"))) == algorithm


def _min_bits(entry: Mapping[str, object]) -> int:
    return MIN_RSA_BITS if entry.get("kty") == "RSA" else 0
