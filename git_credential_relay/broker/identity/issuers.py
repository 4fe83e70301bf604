"""Who may vouch for workloads: the configured issuers, checked before anything is asked of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from git_credential_relay.broker.config.model import IssuerModel
from git_credential_relay.credential.url import is_loopback, split_url
from git_credential_relay.errors import ConfigError, ProtocolError

# With a symmetric algorithm whoever can verify a token can make one as well.
ALGORITHMS = frozenset(
    f"{family}{bits}" for family in ("RS", "PS", "ES") for bits in (256, 384, 512)
) | {"EdDSA"}
MAX_URL = 255
_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")


@dataclass(frozen=True, slots=True)
class Issuer:
    """One `[[issuer]]`. Its keys are in `jwks_file`, at `jwks_uri`, or where its discovery says.

    With a `trust_domain` it is one of SPIFFE, and speaks for that domain alone.
    """

    url: str
    audience: str
    algorithms: tuple[str, ...]
    jwks_uri: str | None = None
    jwks_file: Path | None = None
    ca_file: Path | None = None
    allows_pull_requests: bool = False
    trust_domain: str | None = None

    @property
    def host(self) -> str:
        """`host[:port]`, in the form in which hosts are compared."""
        return split_url(self.url)[1]

    @property
    def discovery_url(self) -> str:
        """Where OpenID Connect Discovery 1.0 §4 has its configuration."""
        return self.url.rstrip("/") + "/.well-known/openid-configuration"


def compile_issuers(
    models: Iterable[IssuerModel], resolve: Callable[[str], Path]
) -> tuple[Issuer, ...]:
    """The configured issuers; `resolve` gives the place of a file. Raises ConfigError."""
    issuers = tuple(_compile(model, resolve) for model in models)
    for name, values in (
        ("url", [issuer.url for issuer in issuers]),
        ("trust_domain", [issuer.trust_domain for issuer in issuers if issuer.trust_domain]),
    ):
        if len(set(values)) < len(values):
            raise ConfigError(f"two issuers have the same {name}")
    return issuers


def check_url(url: str) -> str:
    """The host of a URL that keys may come from. Raises ProtocolError for any other.

    Whoever could change them on the way could make tokens of their own: https only, but for
    loopback.
    """
    scheme, host, _ = split_url(url)
    if len(url) > MAX_URL:
        raise ProtocolError(f"the URL has more than {MAX_URL} characters")
    if scheme != "https" and not is_loopback(host):
        raise ProtocolError("the URL is not https")
    return host


def _compile(model: IssuerModel, resolve: Callable[[str], Path]) -> Issuer:
    for name, url in (("url", model.url), ("jwks_uri", model.jwks_uri)):
        try:
            if url is not None:
                check_url(url)
        except ProtocolError as error:
            raise ConfigError(f"issuer {model.url}: {name}: {error.message}") from error
    if model.jwks_uri is not None and model.jwks_file is not None:
        raise ConfigError(f"issuer {model.url} has both jwks_uri and jwks_file")
    if not model.algorithms or not ALGORITHMS.issuperset(model.algorithms):
        raise ConfigError(f"issuer {model.url}: algorithms may be {', '.join(sorted(ALGORITHMS))}")
    if model.trust_domain is not None and not _TRUST_DOMAIN.fullmatch(model.trust_domain):
        raise ConfigError(f"issuer {model.url}: not a trust domain: {model.trust_domain!r}")
    return Issuer(
        model.url,
        model.audience,
        tuple(model.algorithms),
        model.jwks_uri,
        None if model.jwks_file is None else resolve(model.jwks_file),
        None if model.ca_file is None else resolve(model.ca_file),
        model.allows_pull_requests,
        model.trust_domain,
    )
