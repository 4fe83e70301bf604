"""Splitting URLs and normalising hosts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.credential.url import is_loopback, normalise_host, split_url
from git_credential_relay.errors import ProtocolError
from tests.unit.credential.strategies import mutations


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://github.com", ("https", "github.com", "")),
        ("https://github.com/", ("https", "github.com", "")),
        ("HTTPS://GitHub.COM:443/", ("https", "github.com", "")),
        ("https://github.com./", ("https", "github.com", "")),
        ("https://git.example:8443/gitlab/", ("https", "git.example:8443", "gitlab")),
        ("https://git.example//a/b//", ("https", "git.example", "a/b")),
        ("http://127.0.0.1:80/x", ("http", "127.0.0.1", "x")),
        ("http://127.0.0.1:443", ("http", "127.0.0.1:443", "")),
        ("http://[::1]:3000", ("http", "[::1]:3000", "")),
    ],
)
def test_url_is_split_into_comparable_parts(url, expected):
    """A URL becomes scheme, normalised host and path without outer slashes."""
    assert split_url(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("", id="empty"),
        pytest.param("github.com", id="no scheme"),
        pytest.param("//github.com", id="no scheme, slashes"),
        pytest.param("ssh://github.com", id="ssh"),
        pytest.param("file:///etc/passwd", id="file"),
        pytest.param("https:/github.com", id="one slash"),
        pytest.param("https://", id="no host"),
        pytest.param("https:///path", id="empty host"),
        pytest.param("https://:443", id="port alone"),
        pytest.param("https://user@github.com", id="user"),
        pytest.param("https://user:pass@github.com", id="user and password"),
        pytest.param("https://github.com@evil.example", id="ours as user"),
        pytest.param("https://github.com?x", id="query after the host"),
        pytest.param("https://github.com/?x=1", id="query"),
        pytest.param("https://github.com#x", id="fragment after the host"),
        pytest.param("https://github.com/#x", id="fragment"),
        pytest.param("https://evil.example\\@github.com", id="backslash in the host"),
        pytest.param("https://github.com/a\\b", id="backslash in the path"),
        pytest.param("https://git hub.com", id="blank in the host"),
        pytest.param("https://github.com/a b", id="blank in the path"),
        pytest.param("https://github.com/\n", id="LF"),
        pytest.param("https://github.com/\0", id="NUL"),
        pytest.param("https://github.com%2eevil.example", id="escape in the host"),
        pytest.param("https://gïthub.com", id="not ASCII"),
        pytest.param("https://github.com/ü", id="path not ASCII"),
        pytest.param("https://github.com:port", id="port in words"),
        pytest.param("https://github.com:", id="empty port"),
        pytest.param("https://github.com:0", id="port 0"),
        pytest.param("https://github.com:65536", id="port too large"),
        pytest.param("https://github.com:1:2", id="two ports"),
        pytest.param("https://[::1]:x", id="IPv6 with a port in words"),
    ],
)
def test_other_urls_are_refused(url):
    """What cannot be compared for equality, or carries more than an address, is refused."""
    with pytest.raises(ProtocolError):
        split_url(url)


@pytest.mark.parametrize(
    ("host", "scheme", "expected"),
    [
        ("github.com", "https", "github.com"),
        ("GitHub.Com", "https", "github.com"),
        ("github.com:443", "https", "github.com"),
        ("github.com.", "https", "github.com"),
        ("github.com.:443", "https", "github.com"),
        ("github.com..", "https", "github.com."),
        ("github.com:443", "http", "github.com:443"),
        ("github.com:80", "https", "github.com:80"),
        ("github.com:80", "http", "github.com"),
        ("github.com:8443", "https", "github.com:8443"),
        ("github.com:0443", "https", "github.com:0443"),
        ("[::1]:443", "https", "[::1]"),
    ],
)
def test_host_has_one_spelling(host, scheme, expected):
    """Case, the default port and one trailing dot go; everything else stays different."""
    assert normalise_host(host, scheme) == expected


@pytest.mark.parametrize(
    "host",
    [
        pytest.param("", id="empty"),
        pytest.param(".", id="dot"),
        pytest.param(":443", id="port alone"),
        pytest.param("git hub.com", id="blank"),
        pytest.param("github.com/x", id="path"),
        pytest.param("a@github.com", id="user"),
        pytest.param("*.github.com", id="pattern"),
        pytest.param("github.com\n", id="LF"),
        pytest.param("github.com\0", id="NUL"),
        pytest.param("gitlab.example\u200b", id="zero-width space"),
        pytest.param("\u212araken.example", id="Kelvin sign, whose lower case is k"),
        pytest.param("\udcff.example", id="not UTF-8"),
        pytest.param("github.com:443:443:443", id="ports"),
        pytest.param("github.com:" + "9" * 5000, id="endless port"),
    ],
)
def test_what_is_no_host_is_refused(host):
    """A host with characters or a port that no host has equals nothing."""
    with pytest.raises(ProtocolError):
        normalise_host(host, "https")


@given(mutations(["github.com", "git.example:8443", "127.0.0.1:80"]))
def test_normalising_gives_a_fixed_form(host):
    """A host is refused, or is itself in lower case, with at most its end cut off."""
    try:
        normal = normalise_host(host, "https")
    except ProtocolError:
        return

    assert normal == normal.lower()
    assert normal.isascii()
    assert host.lower().startswith(normal)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("localhost:8080", True),
        ("127.0.0.1", True),
        ("127.0.0.1:8080", True),
        ("127.255.255.254", True),
        ("[::1]", True),
        ("[::1]:8080", True),
        ("", False),
        ("127.0.0.1.example", False),
        ("127.0.0.1.example:80", False),
        ("localhost.example", False),
        ("evillocalhost", False),
        ("localhost:80:80", False),
        ("127.1", False),
        ("127.0.0", False),
        ("127.0.0.1.1", False),
        ("127.0.0.256", False),
        ("127.999.0.1", False),
        ("127.0.0.0001", False),
        ("127.0.0.x", False),
        ("127.0.0.²", False),
        ("127..0.1", False),
        ("0.0.0.0", False),
        ("128.0.0.1", False),
        ("10.0.0.1", False),
        ("[::]", False),
        ("::1", False),
        ("[::1", False),
        ("[::ffff:10.0.0.1]", False),
        ("api.example", False),
    ],
)
def test_loopback_is_this_machine_alone(host, expected):
    """Only what can be nothing but this machine counts as loopback."""
    assert is_loopback(host) is expected


@given(st.text(max_size=20))
def test_loopback_answers_for_any_text(host):
    """No text makes the check fail, and no text without a loopback name passes."""
    names = ("127.", "localhost", "[::1]")

    assert not is_loopback(host) or host.startswith(names)
