"""What is said over the socket, and how it is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.credential.attributes import parse, serialize
from git_credential_relay.errors import ProtocolError, RelayError, UnavailableError
from git_credential_relay.relay.cache_socket.message import (
    MAX_LINES,
    Message,
    build_message,
    failure_attributes,
    find_failure,
    parse_message,
)

KEYS = st.text("abcdefgh[]_", min_size=1, max_size=8)
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x2FF, exclude_characters="\x7f"))


def test_as_git_sends_it():
    """Action, timeout, and git's own lines, with and without the empty line at the end."""
    data = b"action=get\ntimeout=900\nprotocol=https\nhost=github.com\n"
    for end in (b"", b"\n"):
        message = parse_message(data + end)

        assert (message.action, message.question, message.use) == ("get", None, "git")
        assert message.attributes == [("protocol", "https"), ("host", "github.com")]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"\naction=get\n",
        b"timeout=900\naction=get\n",
        b"protocol=https\naction=get\n",
        b"action\n",
        b"=get\n",
        b"action=get\nprotocol=https\r\n",
        b"action=get\nhost=a\x00b\n",
        b"action=get\nrelay=everything\n",
        b"action=get\nrelay=\n",
        b"action=get\nuse=all\n",
        b"action=get\n" + b"x=y\n" * MAX_LINES,
    ],
)
def test_malformed(data):
    """What git's own client would not send is no message."""
    with pytest.raises(ProtocolError):
        parse_message(data)


def test_an_action_of_the_callers_does_not_count():
    """What follows the first line is from whoever called git: it cannot say `exit`."""
    message = parse_message(b"action=get\ntimeout=1\naction=exit\ntimeout=2\nhost=h\n")

    assert message.action == "get"
    assert message.attributes[:2] == [("action", "exit"), ("timeout", "2")]


@given(st.lists(st.tuples(KEYS, VALUES), max_size=20))
def test_what_is_built_is_read_as_it_was(attributes):
    """Our own client's messages arrive as they were meant."""
    message = parse_message(build_message("get", attributes))

    assert (message.action, message.attributes) == ("get", attributes)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_refused(data):
    """Nothing else comes out of bytes, whatever they are."""
    for sent in (data, b"action=get\n" + data):
        try:
            assert isinstance(parse_message(sent), Message)
        except ProtocolError:
            continue


@pytest.mark.parametrize("retry_after", [None, 7.0])
def test_a_failure_is_raised_again_as_it_was(retry_after):
    """Code, words, advice and exit code survive the way over the socket."""
    error = UnavailableError(
        "the API is away", hint="wait", details="maintenance", retry_after=retry_after
    )
    found = find_failure(parse(serialize(failure_attributes(error))))

    assert found is not None
    for name in ("message", "code", "hint", "details", "retryable", "retry_after", "exit_code"):
        assert getattr(found, name) == getattr(error, name)


def test_a_failure_never_tells_a_token():
    """What an API says may hold one, and steer a terminal."""
    error = RelayError("got ghs_abcdefghijklmnopqrstuvwxyz0123456789\x1b[2J\nx", hint="a\nb")
    data = serialize(failure_attributes(error))

    assert b"ghs_abc" not in data
    assert b"\x1b" not in data
    assert find_failure(parse(data)) is not None


@pytest.mark.parametrize("code", ["0", "", "-1", "256", "٣", "9" * 5000, "x"])
def test_a_failure_is_never_a_success(code):
    """An exit code that is none, or says success, is a plain failure."""
    found = find_failure([("failure_code", "x"), ("failure_exit_code", code)])

    assert found is not None
    assert found.exit_code == 1
