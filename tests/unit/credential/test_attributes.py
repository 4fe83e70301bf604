"""Git's attribute format, both ways."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.credential.attributes import MAX_LINE, collect, last, parse, serialize
from git_credential_relay.errors import ProtocolError
from tests.unit.credential.strategies import attributes

CONTROL_BYTES = [bytes([b]) for b in (*range(0x20), 0x7F) if b not in (0x09, 0x0A)]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"", [], id="nothing"),
        pytest.param(b"\n", [], id="empty line alone"),
        pytest.param(b"a=b\n", [("a", "b")], id="one"),
        pytest.param(b"a=b", [("a", "b")], id="no LF at the end"),
        pytest.param(b"a=b\nc=d\n\n", [("a", "b"), ("c", "d")], id="empty line at the end"),
        pytest.param(b"a=b\n\nc=d\n", [("a", "b")], id="stops at the empty line"),
        pytest.param(b"a=b\n\n\r\0\xff", [("a", "b")], id="junk after the empty line"),
        pytest.param(b"a=\n", [("a", "")], id="empty value"),
        pytest.param(b"a=b=c\n", [("a", "b=c")], id="first = divides"),
        pytest.param(b" a = b \n", [(" a ", " b ")], id="blanks count"),
        pytest.param(b"a=1\na=2\n", [("a", "1"), ("a", "2")], id="repeated"),
        pytest.param(b"from-2031=x\n", [("from-2031", "x")], id="unknown attribute"),
        pytest.param(b"w[]=Basic\tx\n", [("w[]", "Basic\tx")], id="TAB"),
        pytest.param(b"p=\xc3\xa9\n", [("p", "é")], id="UTF-8"),
        pytest.param(b"p=\xff\n", [("p", "\udcff")], id="not UTF-8"),
        pytest.param(b"a=\xc2\x85\n", [("a", "\x85")], id="NEL ends no line"),
        pytest.param(b"a=\xe2\x80\xa8b\n", [("a", "\u2028b")], id="U+2028 ends no line"),
    ],
)
def test_parse_reads_lines_in_order(data, expected):
    """Attributes are read in order, split on LF alone, up to the first empty line."""
    assert parse(data) == expected


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"host=a\r\n", id="CRLF"),
        pytest.param(b"host=a\rhost=b\n", id="CR"),
        pytest.param(b"\r\n", id="CRLF alone"),
        pytest.param(b"host=a\0.example\n", id="NUL"),
        pytest.param(b"ho\0st=a\n", id="NUL in a key"),
        pytest.param(b"host=\x1b[2J\n", id="escape"),
        pytest.param(b"host\n", id="no ="),
        pytest.param(b"=a\n", id="no key"),
        pytest.param(b" \n", id="blank"),
        pytest.param(b"a=b\nhost\n", id="second line without ="),
        pytest.param(b"\xff\xfe\n", id="junk"),
    ],
)
def test_parse_refuses_malformed_lines(data):
    """A line that is not plain key=value spoils the whole request."""
    with pytest.raises(ProtocolError):
        parse(data)


@pytest.mark.parametrize("control", CONTROL_BYTES, ids=lambda raw: f"{raw[0]:#04x}")
def test_control_bytes_neither_come_in_nor_go_out(control):
    """Every control byte but TAB is refused, in keys and values, in both directions."""
    for key, value in ((b"a" + control, b"b"), (b"a", b"b" + control), (b"a", control + b"b")):
        with pytest.raises(ProtocolError):
            parse(key + b"=" + value + b"\n")
        with pytest.raises(ProtocolError):
            serialize([(key.decode(), value.decode())])


def test_longest_line_is_gits_limit():
    """A line of 65535 bytes with its LF passes both ways; one more byte is refused both ways."""
    longest = "x" * (MAX_LINE - len("a=\n"))

    assert parse(serialize([("a", longest)])) == [("a", longest)]
    with pytest.raises(ProtocolError):
        serialize([("a", longest + "x")])
    with pytest.raises(ProtocolError):
        parse(f"a={longest}x\n".encode())


def test_line_length_counts_bytes():
    """The limit is one of bytes, not of characters."""
    with pytest.raises(ProtocolError):
        serialize([("a", "é" * (MAX_LINE // 2))])


@pytest.mark.parametrize(
    ("given_attributes", "expected"),
    [
        pytest.param([], b"\n", id="nothing"),
        pytest.param(
            [("username", "x"), ("password", "p=q")],
            b"username=x\npassword=p=q\n\n",
            id="two",
        ),
        pytest.param([("state[]", ""), ("state[]", "b")], b"state[]=\nstate[]=b\n\n", id="list"),
        pytest.param([("p", "\udcff")], b"p=\xff\n\n", id="not UTF-8"),
    ],
)
def test_serialize_ends_with_one_empty_line(given_attributes, expected):
    """Attributes are written in order, and the empty line tells git to stop reading."""
    assert serialize(given_attributes) == expected


@pytest.mark.parametrize(
    "attribute",
    [
        pytest.param(("a", "b\nhost=evil.example"), id="LF in a value"),
        pytest.param(("a\nb", "c"), id="LF in a key"),
        pytest.param(("a", "\n"), id="LF alone"),
        pytest.param(("a=b", "c"), id="= in a key"),
        pytest.param(("", "c"), id="empty key"),
        pytest.param(("a", "\ud800"), id="half a surrogate pair"),
    ],
)
def test_serialize_refuses_what_would_be_read_as_something_else(attribute):
    """An attribute that would not come back as it went is never written."""
    with pytest.raises(ProtocolError):
        serialize([("username", "x"), attribute])


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"", None, id="absent"),
        pytest.param(b"host=a\n", "a", id="once"),
        pytest.param(b"host=a\nhost=b\n", "b", id="twice"),
        pytest.param(b"host=a\nhost=\n", "", id="emptied"),
        pytest.param(b"Host=a\nhost[]=b\n", None, id="other names"),
    ],
)
def test_last_value_wins(data, expected):
    """Of a single-valued attribute the last one counts, as for git."""
    assert last(parse(data), "host") == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"", [], id="absent"),
        pytest.param(b"k[]=a\nx=y\nk[]=b\n", ["a", "b"], id="in order"),
        pytest.param(b"k[]=a\nk[]=\nk[]=b\n", ["b"], id="reset"),
        pytest.param(b"k[]=a\nk[]=\n", [], id="reset at the end"),
        pytest.param(b"k=a\n", [], id="single-valued"),
    ],
)
def test_lists_keep_order_and_can_be_reset(data, expected):
    """A `key[]` list keeps its order, and an empty value empties it."""
    assert collect(parse(data), "k[]") == expected


@given(st.binary(max_size=200))
def test_parse_raises_nothing_but_its_own_error(data):
    """Whatever the bytes, parsing gives attributes or ProtocolError, and what it gives can be
    written."""
    try:
        found = parse(data)
    except ProtocolError:
        return

    assert parse(serialize(found)) == found


@given(attributes)
def test_what_is_written_is_read_again(given_attributes):
    """parse(serialize(x)) is x."""
    assert parse(serialize(given_attributes)) == given_attributes


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), max_size=3))
def test_nothing_is_written_that_would_not_be_read(given_attributes):
    """Any text at all is either refused or comes back the same."""
    try:
        data = serialize(given_attributes)
    except ProtocolError:
        return

    assert parse(data) == given_attributes


@given(st.text(max_size=8), st.text(alphabet="a=\n\r\0\x1b\x7f", max_size=8))
def test_serialize_refuses_what_parse_would_refuse(key, value):
    """Where parsing the plain line fails or gives something else, writing it fails."""
    raw = f"{key}={value}".encode("utf-8", "surrogateescape") + b"\n\n"
    try:
        is_same = parse(raw) == [(key, value)]
    except ProtocolError:
        is_same = False

    if is_same:
        assert serialize([(key, value)]) == raw
    else:
        with pytest.raises(ProtocolError):
            serialize([(key, value)])
