"""Configured issuers: what could not be trusted is refused before the broker starts."""

from pathlib import Path

import pytest

from git_credential_relay.broker.identity.issuers import compile_issuers
from git_credential_relay.errors import ConfigError
from tests.unit.broker.identity.verifying import model

URL = "https://issuer.example"


@pytest.mark.parametrize(
    ("url", "settings", "cause"),
    [
        ("http://issuer.example", {}, "url: the URL is not https"),
        ("ftp://issuer.example", {}, "url: not an http or https URL"),
        ("https://issuer.example?x", {}, "url: not a host name"),
        ("https://issuer.example/a?x", {}, "url: the URL has a query"),
        ("https://issuer.example/a#x", {}, "url: the URL has a query"),
        ("https://u@issuer.example", {}, "url: a URL must not carry a user name"),
        ("https://issuer.example/" + "a" * 255, {}, "url: the URL has more than 255 characters"),
        (URL, {"jwks_uri": "http://keys.example"}, "jwks_uri: the URL is not https"),
        (URL, {"jwks_uri": URL, "jwks_file": "x"}, "both jwks_uri and jwks_file"),
        (URL, {"algorithms": ["HS256"]}, "algorithms may be"),
        (URL, {"algorithms": ["RS256", "none"]}, "algorithms may be"),
        (URL, {"algorithms": []}, "algorithms may be"),
        (URL, {"trust_domain": "spiffe://example"}, "not a trust domain"),
        (URL, {"trust_domain": "example.org\n"}, "not a trust domain"),
    ],
)
def test_issuers_that_are_refused(url, settings, cause):
    """An issuer whose keys could be forged or guessed is no issuer."""
    with pytest.raises(ConfigError) as caught:
        compile_issuers([model(url, **settings)], Path)

    assert cause in caught.value.message


@pytest.mark.parametrize(
    "settings", [({}, {}), ({"trust_domain": "example.org"}, {"trust_domain": "example.org"})]
)
def test_one_issuer_is_configured_once(settings):
    """Two entries for one issuer or trust domain could contradict each other."""
    first, second = settings
    other = URL if not first else "https://other.example"

    with pytest.raises(ConfigError, match="two issuers have the same"):
        compile_issuers([model(URL, **first), model(other, **second)], Path)


@pytest.mark.parametrize("url", ["https://gitlab.example:8443/gitlab", "http://127.0.0.1:8080"])
def test_issuers_that_are_accepted(url):
    """A port, a path and http on loopback are fine."""
    assert compile_issuers([model(url)], Path)[0].url == url
