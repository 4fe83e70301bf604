"""Fields are read as they were meant, or refused."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.broker.errors import BadRequestError
from git_credential_relay.broker.server.http_errors import MediaTypeError
from git_credential_relay.broker.server.routes.fields import (
    body_fields,
    find_count,
    find_text,
    query_fields,
    unique,
)

JSON = b"application/json"
FORM = b"application/x-www-form-urlencoded"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(st.dictionaries(TEXT.filter(bool), TEXT, max_size=8))
def test_what_a_client_encodes_is_what_is_read(fields):
    """Query, form and JSON give the same fields back."""
    encoded = urlencode(fields).encode()

    assert query_fields(encoded) == fields
    assert body_fields(FORM, encoded) == fields
    assert body_fields(JSON, json.dumps(fields).encode()) == fields


@given(st.binary(max_size=200), st.sampled_from([JSON, FORM, b"", b"text/html"]))
def test_no_bytes_bring_it_down(raw, content_type):
    """Anything at all is either fields or a BadRequestError."""
    for read in (query_fields, lambda body: body_fields(content_type, body)):
        try:
            assert isinstance(read(raw), dict)
        except BadRequestError:
            pass


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        pytest.param(FORM, b"host=a&host=b", id="form"),
        pytest.param(JSON, b'{"host": "a", "host": "b"}', id="json"),
        pytest.param(JSON, b'{"host": "a", "ho\\u0073t": "b"}', id="json, written differently"),
        pytest.param(FORM, b"host=a&h%6Fst=a", id="form, written differently"),
    ],
)
def test_a_field_that_is_there_twice_is_refused(content_type, body):
    """Nobody is to guess which of two values counts."""
    with pytest.raises(BadRequestError, match="twice"):
        body_fields(content_type, body)


@pytest.mark.parametrize(
    "body",
    [b"[]", b'"x"', b"{", b"[" * 100_000, b'{"a": ' * 50_000, b'{"n": ' + b"9" * 5000 + b"}"],
    ids=["list", "text", "torn", "deep", "deep objects", "long number"],
)
def test_a_body_that_is_no_object_is_refused(body):
    """Whatever JSON can do to a parser, the answer is a 400."""
    with pytest.raises(BadRequestError):
        body_fields(JSON, body)


def test_too_many_fields_are_refused():
    """A query is not parsed for ever."""
    with pytest.raises(BadRequestError):
        query_fields(b"&".join(b"f%d=1" % number for number in range(1000)))


def test_another_kind_of_body_is_told_apart():
    """415, not 400: the body may be fine, only nobody reads it here."""
    with pytest.raises(MediaTypeError):
        body_fields(b"text/html", b"<p>")
    assert body_fields(b"text/html", b" ") == {}
    assert body_fields(b"Application/JSON; charset=utf-8", b'{"a": 1}') == {"a": 1}


@pytest.mark.parametrize(
    "value", ["", "x" * 1025, "a\nb", "a\x00", "\x7f", "\u202e", "\ud800", 7, True, ["a"], {}]
)
def test_a_text_that_is_none_is_refused(value):
    """Empty, overlong, not printable, or of another type."""
    with pytest.raises(BadRequestError, match="host"):
        find_text({"host": value}, "host")


def test_a_text_may_be_missing():
    """null is as good as nothing."""
    assert find_text({}, "host") is None
    assert find_text({"host": None}, "host") is None
    assert find_text({"host": "x" * 1024}, "host") == "x" * 1024


@pytest.mark.parametrize("value", ["-1", "1.5", "1e3", "", " 1", "٣", "9" * 13, 11, True, 1.0, []])
def test_a_count_that_is_none_is_refused(value):
    """Only whole numbers up to the maximum, in ASCII digits."""
    with pytest.raises(BadRequestError, match="minLifetime"):
        find_count({"minLifetime": value}, "minLifetime", 10)


@pytest.mark.parametrize("value", [0, "0", 10, "10", "010"])
def test_a_count_may_be_a_text(value):
    """A query knows no numbers."""
    assert find_count({"n": value}, "n", 10) == int(value)


def test_fields_of_query_and_body_may_not_contradict():
    """A field in both places is there twice."""
    with pytest.raises(BadRequestError, match="twice"):
        unique([("host", "a"), ("host", "a")])
