"""What is read from git's request."""

import base64
import hashlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.credential.request import Request, parse_request, read_request
from git_credential_relay.errors import ProtocolError
from git_credential_relay.secret import Secret

SHA256 = base64.b64encode(hashlib.sha256(b"token").digest()).decode()
OURS = b"protocol=https\nhost=github.com\n"


def facts(request: Request) -> dict[str, object]:
    """Everything a request says."""
    return {name: getattr(request, name) for name in Request.__slots__}


PLAIN = {
    "protocol": "https",
    "host": "github.com",
    "path": None,
    "username": None,
    "password": None,
    "knows_authtype": False,
    "knows_state": False,
    "refused_sha256": None,
}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(OURS, {}, id="plain"),
        pytest.param(OURS + b"path=o/r.git\n", {"path": "o/r.git"}, id="path"),
        pytest.param(OURS + b"path=\n", {"path": ""}, id="empty path"),
        pytest.param(OURS + b"username=bob\n", {"username": "bob"}, id="user"),
        pytest.param(OURS + b"password=p\n", {"password": Secret("p")}, id="password"),
        pytest.param(OURS + b"password=\n", {}, id="empty password"),
        pytest.param(b"host=a\nprotocol=http\n" + OURS, {}, id="last one wins"),
        pytest.param(OURS + b"wwwauth[]=Basic realm=x\nnew[]=1\n", {}, id="unknown attributes"),
        pytest.param(OURS + b"\nhost=evil.example\n", {}, id="stops at the empty line"),
        pytest.param(
            OURS + b"capability[]=authtype\ncapability[]=state\n",
            {"knows_authtype": True, "knows_state": True},
            id="both capabilities",
        ),
        pytest.param(
            OURS + b"capability[]=state\ncapability[]=teleport\n",
            {"knows_state": True},
            id="an unknown capability",
        ),
        pytest.param(
            OURS + b"capability[]=state\ncapability[]=\n", {}, id="capabilities taken back"
        ),
        pytest.param(OURS + b"capability=state\n", {}, id="capability without []"),
        pytest.param(
            OURS + f"state[]=git-credential-relay:{SHA256}\n".encode(),
            {"refused_sha256": SHA256},
            id="our state",
        ),
        pytest.param(
            OURS + f"state[]=other:1\nstate[]=git-credential-relay:{SHA256}\n".encode(),
            {"refused_sha256": SHA256},
            id="our state after another's",
        ),
        pytest.param(
            OURS + f"state[]=git-credential-relay:{SHA256}\nstate[]=\n".encode(),
            {},
            id="our state taken back",
        ),
        pytest.param(OURS + b"state[]=other:git-credential-relay:x\n", {}, id="another's state"),
        pytest.param(OURS + b"state[]=git-credential-relay:\n", {}, id="our state, empty"),
        pytest.param(
            OURS + b"state[]=git-credential-relay:x y\n", {}, id="our name, not our state"
        ),
        pytest.param(
            OURS + b"state[]=git-credential-relay:\xc3\xa9\n", {}, id="our name, not ASCII"
        ),
    ],
)
def test_request_says_what_git_said(data, expected):
    """A request holds the fields we use, each as git's rules for its attribute have it."""
    assert facts(parse_request(data + b"\n")) == PLAIN | expected


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\n", id="empty line"),
        pytest.param(b"protocol=https\n", id="no host"),
        pytest.param(b"protocol=https\nhost=\n", id="empty host"),
        pytest.param(b"host=github.com\n", id="no protocol"),
        pytest.param(b"protocol=\nhost=github.com\n", id="empty protocol"),
        pytest.param(OURS + b"host=\n", id="host taken back"),
        pytest.param(b"url=https://github.com/o/r\n", id="a URL instead"),
        pytest.param(b"protocol=https\n\nhost=github.com\n", id="host after the end"),
        pytest.param(b"protocol=https\nhost=github.com\r\n", id="CRLF"),
        pytest.param(b"protocol=https\nhost=github.com\0\n", id="NUL"),
        pytest.param(OURS + b"junk\n", id="junk after a good start"),
        pytest.param(b"x" * 100_000, id="one endless line"),
    ],
)
def test_missing_field_is_no_wildcard(data):
    """A request that is malformed or names no protocol or host is refused as a whole."""
    with pytest.raises(ProtocolError):
        parse_request(data)


def test_request_does_not_show_its_password():
    """The password git reports is a secret from the first moment on."""
    request = parse_request(OURS + b"password=ghs_secret\n")

    assert "ghs_secret" not in f"{request.password} {request.password!r} {request!r}"


@given(st.binary(max_size=60))
def test_junk_raises_nothing_but_our_error(data):
    """No bytes in front of or behind a good request lead to another exception than ours, nor to
    a request without protocol or host."""
    for raw in (data, data + b"\n" + OURS, OURS + data):
        try:
            request = parse_request(raw)
        except ProtocolError:
            continue
        assert request.protocol
        assert request.host


def test_reading_ends_at_the_empty_line():
    """A pipe that stays open after the empty line does not hold us up; a flood has its limit."""
    reader, writer = os.pipe()
    os.write(writer, b"protocol=https\nhost=github.com\n\n")
    assert read_request(lambda limit: os.read(reader, limit)) == (
        b"protocol=https\nhost=github.com\n\n"
    )
    os.close(reader)
    os.close(writer)

    with open("/dev/zero", "rb") as zeros, pytest.raises(ProtocolError, match="too long"):
        read_request(zeros.read)
