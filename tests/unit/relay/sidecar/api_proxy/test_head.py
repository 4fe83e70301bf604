"""Which request heads are taken, and which headers go on."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.relay.sidecar.api_proxy.head import (
    RequestHead,
    answer_headers,
    check_head,
    find_end,
)
from git_credential_relay.relay.sidecar.api_proxy.refusal import BadRequestError

PLAIN = b"GET /user HTTP/1.1\r\nHost: api.github.com\r\nAccept: */*\r\n\r\n"


def read(head: bytes) -> RequestHead:
    """What the proxy makes of these bytes."""
    check_head(head)
    http = h11.Connection(h11.SERVER)
    http.receive_data(head)
    try:
        event = http.next_event()
    except h11.RemoteProtocolError as error:
        raise BadRequestError("h11") from error
    assert isinstance(event, h11.Request)
    return RequestHead(event)


def head_of(*lines: str, first: str = "GET /user HTTP/1.1") -> bytes:
    """A head with these headers."""
    return "\r\n".join([first, *lines, "", ""]).encode("latin-1")


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"GET / HTTP/1.1\nHost: api.github.com\n\n", id="bare-lf"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: api.github.com\nA: b\r\n\r\n", id="one-bare-lf"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: api.github.com\rA: b\r\n\r\n", id="bare-cr"),
        pytest.param(head_of("Host: api.github.com", "A: b", " c"), id="obs-fold"),
        pytest.param(head_of("Host: api.github.com", "A: b", "\tc"), id="obs-fold-tab"),
        pytest.param(head_of(" Host: api.github.com"), id="space-before-name"),
        pytest.param(head_of("Host : api.github.com"), id="space-after-name"),
        pytest.param(head_of("Host: api.github.com", "no colon"), id="no-colon"),
        pytest.param(head_of("Host: api.github.com", "A: \0"), id="nul"),
        pytest.param(head_of("Host: api.github.com", "A: \x0b"), id="control"),
        pytest.param(b"\r\n" + PLAIN, id="empty-first-line"),
        pytest.param(b"\x16\x03\x01\x02\r\n\r\n", id="tls"),
    ],
)
def test_lines_that_parsers_disagree_about(head):
    """Bare line ends, folds, control characters and malformed headers are refused."""
    with pytest.raises(BadRequestError):
        read(head)


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 5"],
        ["Content-Length: 5", "Content-Length: 5"],
        ["Content-Length: 5", "content-length: 6"],
        ["Content-Length: 5, 5"],
        ["Content-Length: +5"],
        ["Content-Length: 0x5"],
        ["Content-Length: -1"],
        ["Content-Length:"],
        ["Content-Length: 99999999999999999999"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: gzip, chunked"],
        ["Transfer-Encoding: xchunked"],
        ["Transfer-Encoding: identity"],
    ],
    ids=str,
)
def test_lengths_that_parsers_disagree_about(lines):
    """A body has exactly one length, in plain digits or in chunks."""
    with pytest.raises(BadRequestError):
        read(head_of("Host: api.github.com", *lines, first="POST /graphql HTTP/1.1"))


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["Host: api.github.com", "Host: api.github.com"],
        ["Host: api.github.com", "host: evil.example"],
        ["Host: api.github.com@evil.example"],
        ["Host: evil.example@api.github.com"],
        ["Host: api.github.com:443"],
        ["Host: api.github.com."],
        ["Host: API.github.com"],
        ["Host: api.github.com, evil.example"],
        ["Host: api.github.com evil.example"],
        ["Host: api.github.com/"],
        ["Host: api.github.com#"],
        ["Host: \u00e4pi.github.com"],
        ["Host:"],
        ["Host: api.github.com:99999"],
        ["Host: api.github.com:"],
    ],
    ids=str,
)
def test_hosts_in_any_but_the_plain_spelling(lines):
    """Exactly one host, in the spelling in which hosts are compared."""
    with pytest.raises(BadRequestError):
        read(head_of(*lines))


@pytest.mark.parametrize(
    "first",
    [
        "GET https://api.github.com/user HTTP/1.1",
        "GET http://evil.example/ HTTP/1.1",
        "CONNECT api.github.com:443 HTTP/1.1",
        "GET api.github.com:443 HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "TRACE /user HTTP/1.1",
        "get /user HTTP/1.1",
        "GET //evil.example/user HTTP/1.1",
        "GET /user#x HTTP/1.1",
        "GET /a\\b HTTP/1.1",
        "GET /repos/o/r/../../x/y HTTP/1.1",
        "GET /repos/o/r/%2e%2E/x HTTP/1.1",
        "GET /repos/./r HTTP/1.1",
        "GET /user HTTP/1.0",
        "GET /user HTTP/2.0",
        "GET /user",
        "GET  /user HTTP/1.1",
        "GET /us er HTTP/1.1",
        "GET /\u00fcser HTTP/1.1",
        "PRI * HTTP/2.0",
    ],
)
def test_request_lines_that_are_not_a_path(first):
    """Absolute and authority forms, dot segments, other versions and methods are refused."""
    with pytest.raises(BadRequestError):
        read(head_of("Host: api.github.com", first=first))


def test_what_gh_sends_is_taken():
    """A path with query, escapes and dots in names; and a body of a known length."""
    head = read(
        head_of(
            "Host: api.github.com",
            "Content-Length: 12",
            first="POST /repos/o/r.x/compare/a...b%2Fc?page=2&q=a+b HTTP/1.1",
        )
    )

    assert (head.method, head.host, head.length) == ("POST", "api.github.com", 12)
    assert head.path == "/repos/o/r.x/compare/a...b%2Fc"
    assert head.target == "/repos/o/r.x/compare/a...b%2Fc?page=2&q=a+b"


@given(st.integers(1, len(PLAIN) - 5), st.sampled_from([b"\r", b"\n", b"\0", b"\x7f"]))
def test_a_control_character_anywhere(place, character):
    """None gets through, wherever it stands."""
    with pytest.raises(BadRequestError):
        read(PLAIN[:place] + character + PLAIN[place:])


@given(st.binary(max_size=300), st.integers(0, 300))
def test_the_end_of_a_head_does_not_depend_on_how_it_arrives(tail, cut):
    """The first empty line is found alike in one piece and in two."""
    data = PLAIN + tail
    first = data[:cut]
    end = find_end(first)

    assert (find_end(data, max(0, len(first) - 2)) if end is None else end) == len(PLAIN)


NAME = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,15}", fullmatch=True)
VALUE = st.from_regex(r"[!-~]([ !-~]{0,20}[!-~])?", fullmatch=True)


@given(
    st.lists(st.tuples(NAME, VALUE), max_size=6),
    st.lists(st.sampled_from(["authorization", "Authorization", "AUTHORIZATION"]), max_size=3),
    st.sampled_from([None, "token ours"]),
)
def test_whatever_the_client_sends_for_a_token_goes_nowhere(fields, spellings, authorization):
    """The next hop sees one host, and our token or none."""
    fields = [f for f in fields if f[0].lower() not in ("host", "content-length", "connection")]
    fields = [f for f in fields if f[0].lower() not in ("transfer-encoding", "authorization")]
    lines = [f"{name}: {value}" for name, value in fields]
    lines += [f"{spelling}: token theirs" for spelling in spellings]
    headers = read(head_of("Host: api.github.com", *lines)).headers_for("next", authorization)

    given_to_it = [value for name, value in headers if name.lower() == b"authorization"]
    assert given_to_it == ([authorization.encode()] if authorization else [])
    assert [value for name, value in headers if name.lower() == b"host"] == [b"next"]
    assert b"theirs" not in b"".join(value for _, value in headers)


def test_a_stranger_gets_no_cookie():
    """What says who asks is for the forge alone."""
    head = read(head_of("Host: x.example", "Cookie: session=1", "Range: bytes=5-"))

    assert (b"Range", b"bytes=5-") in head.headers_for("x.example", None)
    assert not any(name == b"Cookie" for name, _ in head.headers_for("x.example", None))


def test_headers_of_the_hop_end_here():
    """The usual ones, and those that Connection names, in both directions."""
    hop = {"Connection": "close, X-Mine", "Keep-Alive": "5", "TE": "trailers", "X-Mine": "1"}
    hop |= {"Proxy-Authorization": "Basic eA==", "Upgrade": "h2c", "Proxy-Connection": "close"}
    lines = [f"{name}: {value}" for name, value in hop.items()]
    head = read(head_of("Host: api.github.com", "Accept: a", *lines))

    assert head.headers_for("h", "token t") == [
        (b"Host", b"h"),
        (b"Accept", b"a"),
        (b"Authorization", b"token t"),
    ]
    answered = [(name.encode(), value.encode()) for name, value in hop.items()]
    assert answer_headers([*answered, (b"ETag", b"x")]) == [(b"ETag", b"x")]


def test_our_own_headers_cannot_be_declared_the_hops():
    """A client cannot have the token, the host or the length dropped."""
    head = read(
        head_of(
            "Host: api.github.com",
            "Connection: authorization, host, content-length",
            "Content-Length: 3",
            first="POST /x HTTP/1.1",
        )
    )

    assert head.headers_for("h", "token t") == [
        (b"Host", b"h"),
        (b"Authorization", b"token t"),
        (b"Content-Length", b"3"),
    ]


def test_chunks_win_over_a_length_in_an_answer():
    """RFC 9112 §6.3: what both sides read is the chunks, so the length must not go on."""
    both = [(b"Content-Length", b"5"), (b"Transfer-Encoding", b"chunked")]

    assert answer_headers(both) == []
    assert answer_headers(both[:1]) == both[:1]
