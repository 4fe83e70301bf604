"""What is remembered of redirects and refused tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.credential.forge import GITHUB, Forge, Target
from git_credential_relay.relay.sidecar.api_proxy.memory import (
    LOCATION_SECONDS,
    MAX_LOCATIONS,
    MAX_REFUSED,
    Memory,
    parse_location,
)
from tests.fakes.fake_clock import FakeClock

GHE = Forge(GITHUB, "https", "ghe.example")
LOCAL = Forge(GITHUB, "http", "127.0.0.1:8080")
PLACE = ("store.example", "/file?signature=1")


@pytest.fixture
def clock():
    """A clock wound by hand."""
    return FakeClock()


@pytest.fixture
def memory(clock):
    """A memory by that clock."""
    return Memory(clock.clock.monotonic)


def test_a_place_is_known_for_ten_minutes(memory, clock):
    """From when the forge named it, and not longer."""
    memory.note_location(PLACE)
    clock.advance(LOCATION_SECONDS - 1)
    assert memory.has_location(*PLACE)

    clock.advance(1)
    assert not memory.has_location(*PLACE)


@pytest.mark.parametrize(
    ("host", "target"),
    [
        ("store.example", "/file"),
        ("store.example", "/file?signature=1&x"),
        ("store.example:8443", "/file?signature=1"),
        ("other.example", "/file?signature=1"),
    ],
)
def test_only_exactly_that_place(memory, host, target):
    """Another host, port, path or query is another place."""
    memory.note_location(PLACE)

    assert not memory.has_location(host, target)


def test_the_memory_is_bounded(memory):
    """The oldest places and hashes go first."""
    for number in range(MAX_LOCATIONS + 1):
        memory.note_location(("store.example", f"/{number}"))
    for number in range(MAX_REFUSED + 1):
        memory.note_refused(Target(GHE, f"o/{number}", "api"), "hash")

    assert not memory.has_location("store.example", "/0")
    assert memory.has_location("store.example", "/1")
    assert memory.refused_sha256(Target(GHE, "o/0", "api")) is None
    assert memory.refused_sha256(Target(GHE, "o/1", "api")) == "hash"


def test_a_refused_token_until_one_is_taken(memory):
    """Per target: another repository's token was not refused."""
    memory.note_refused(Target(GHE, "o/r", "api"), "hash")

    assert memory.refused_sha256(Target(GHE, "o/r", "api")) == "hash"
    assert memory.refused_sha256(Target(GHE, None, "api")) is None
    memory.note_taken(Target(GHE, "o/r", "api"))
    assert memory.refused_sha256(Target(GHE, "o/r", "api")) is None


@pytest.mark.parametrize(
    ("location", "place"),
    [
        (b"https://store.example/a?b=c", ("store.example", "/a?b=c")),
        (b"https://store.example:8443/a#fragment", ("store.example:8443", "/a")),
        (b"https://store.example", ("store.example", "/")),
        (b"https://store.example?b=c", ("store.example", "/?b=c")),
        (b"/storage/a", ("ghe.example", "/storage/a")),
        (b"http://store.example/a", None),
        (b"http://ghe.example/a", None),
        (b"//store.example/a", None),
        (b"storage/a", None),
        (b"https://user@store.example/a", None),
        (b"https://user:pass@store.example/a", None),
        (b"https://Store.example/a", None),
        (b"https://store.example:443/a", None),
        (b"https://store.example./a", None),
        (b"https:///a", None),
        (b"https://store.example/a b", None),
        (b"https://store.example/\xc3\xa4", None),
        (b"ftp://store.example/a", None),
        (b"file:///etc/passwd", None),
        (b"", None),
    ],
)
def test_where_a_location_leads(location, place):
    """https, a host in its plain spelling and no user; or a path at the same host."""
    assert parse_location(location, GHE, "ghe.example") == place


def test_plain_http_at_the_forges_own_host():
    """A forge on this machine may be without TLS, and then so is its storage."""
    place = parse_location(b"http://127.0.0.1:8080/a", LOCAL, LOCAL.host)

    assert place == ("127.0.0.1:8080", "/a")
    assert parse_location(b"http://127.0.0.1:8081/a", LOCAL, LOCAL.host) is None


@given(st.binary(max_size=60))
def test_any_bytes_at_all(location):
    """None, or a host and a path that can stand in a request."""
    place = parse_location(location, GHE, "ghe.example")

    assert place is None or (place[0] and place[1].startswith("/"))
