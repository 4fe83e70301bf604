"""The client's address is what trusted proxies say, and nobody else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.broker.addresses import (
    bucket_key,
    client_address,
    client_scheme,
    parse_networks,
)
from git_credential_relay.errors import ConfigError

PROXIES = parse_networks(["10.0.0.0/8", "fd00::/8"])


def scope(peer, *forwarded):
    headers = [(b"host", b"x"), *((b"x-forwarded-for", value.encode()) for value in forwarded)]
    return {"client": (peer, 1) if peer else None, "headers": headers}


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        pytest.param("192.0.2.1", ["203.0.113.9"], "192.0.2.1", id="no proxy of ours says it"),
        pytest.param("10.0.0.1", ["203.0.113.9"], "203.0.113.9", id="our proxy says it"),
        pytest.param("10.0.0.1", [], "10.0.0.1", id="our proxy says nothing"),
        pytest.param("10.0.0.1", ["1.1.1.1, 203.0.113.9"], "203.0.113.9", id="the client lies"),
        pytest.param("10.0.0.1", ["203.0.113.9, 10.0.0.2"], "203.0.113.9", id="two proxies"),
        pytest.param("10.0.0.1", ["1.1.1.1", "203.0.113.9"], "203.0.113.9", id="two headers"),
        pytest.param("10.0.0.1", ["10.0.0.9, 10.0.0.2"], "10.0.0.9", id="only proxies"),
        pytest.param("10.0.0.1", ["nonsense"], "10.0.0.1", id="nonsense"),
        pytest.param("10.0.0.1", ["203.0.113.9, , 10.0.0.2"], "10.0.0.2", id="a gap"),
        pytest.param("fd00::1", ["2001:db8::5"], "2001:db8::5", id="IPv6"),
        pytest.param("::ffff:10.0.0.1", ["203.0.113.9"], "203.0.113.9", id="IPv4 over IPv6"),
        pytest.param(None, [], "-", id="a socket without address"),
    ],
)
def test_the_right_most_address_that_is_no_proxy_counts(peer, forwarded, expected):
    """X-Forwarded-For is read from the right, as far as trusted proxies have written it."""
    assert client_address(scope(peer, *forwarded), PROXIES) == expected


@given(st.lists(st.ip_addresses().map(str) | st.text(max_size=10), max_size=6).map(", ".join))
def test_a_client_cannot_choose_its_address(written):
    """Whatever a client writes into the header, its own address is what counts."""
    try:
        header = f"{written}, 203.0.113.9"
        header.encode("latin-1")
    except UnicodeEncodeError:
        return
    seen = {
        "client": ("10.0.0.1", 1),
        "headers": [(b"x-forwarded-for", header.encode("latin-1"))],
    }
    assert client_address(seen, PROXIES) == "203.0.113.9"


def test_without_trusted_proxies_the_header_means_nothing():
    """The peer is the client."""
    assert client_address(scope("10.0.0.1", "203.0.113.9"), ()) == "10.0.0.1"


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
    ],
)
def test_an_ipv6_network_counts_as_one_client(one, other, is_same):
    """Somebody with a whole IPv6 network has one share, not 2^64."""
    assert (bucket_key(one) == bucket_key(other)) is is_same


@pytest.mark.parametrize("text", ["10.0.0.1/8", "proxy.example", ""])
def test_a_network_that_is_none_is_refused(text):
    """A mistyped network must not trust somebody else."""
    with pytest.raises(ConfigError, match="trusted_proxies"):
        parse_networks([text])


@pytest.mark.parametrize(
    ("peer", "said", "expected"),
    [
        pytest.param("10.0.0.1", [b"https"], "https", id="our proxy took the TLS off"),
        pytest.param("192.0.2.1", [b"https"], "http", id="no proxy of ours says it"),
        pytest.param("10.0.0.1", [], "http", id="our proxy says nothing"),
        pytest.param("10.0.0.1", [b"https", b"http"], "http", id="the last one is the proxy's"),
        pytest.param("10.0.0.1", [b"https, HTTPS"], "https", id="in any case"),
        pytest.param("10.0.0.1", [b"javascript"], "http", id="nonsense"),
        pytest.param(None, [b"https"], "http", id="a socket without address"),
    ],
)
def test_the_scheme_is_what_a_trusted_proxy_says(peer, said, expected):
    """X-Forwarded-Proto counts from where X-Forwarded-For does."""
    seen = {**scope(peer), "scheme": "http"}
    seen["headers"] = [(b"x-forwarded-proto", value) for value in said]

    assert client_scheme(seen, PROXIES) == expected
