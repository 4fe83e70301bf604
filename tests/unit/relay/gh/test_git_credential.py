"""gh's credential protocol."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.credential.credential import Credential
from git_credential_relay.credential.forge import GITHUB, Forge
from git_credential_relay.errors import ProtocolError
from git_credential_relay.relay.gh.git_credential import (
    answer,
    github_target,
    parse_gh_request,
)
from git_credential_relay.secret import Secret
from tests.fakes.configs import GITHUB_COM, GITHUB_ENTERPRISE, GITLAB_COM

FORGES = [GITHUB_ENTERPRISE, GITHUB_COM, GITLAB_COM]


def target_of(data: bytes) -> tuple[str, str | None] | None:
    """Host and repository that a request is for."""
    target = github_target(parse_gh_request(data), FORGES, "git")
    return (target.forge.host, target.repository) if target else None


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"protocol=https\nhost=github.com\n\n", ("github.com", None)),
        (b"protocol=https\nhost=github.com\npath=o/r.git\n\n", ("github.com", "o/r")),
        (b"protocol=https\nhost=github.com\npath=../x\n\n", ("github.com", None)),
        (b"protocol=https\nhost=ghe.example\n\n", ("ghe.example", None)),
        (b"url=https://me@github.com/o/r.git\n\n", ("github.com", "o/r")),
        (b"url=https://evil.example\\@github.com/o/r\n\n", None),
        (b"protocol=https\nhost=gitlab.com\n\n", None),
        (b"protocol=https\nhost=foo.github.com\n\n", None),
        (b"protocol=https\nhost=github.com:8443\n\n", None),
        (b"protocol=http\nhost=github.com\n\n", None),
    ],
)
def test_target(data, expected):
    """A GitHub host of ours over https, by equality; the path where it names a repository."""
    assert target_of(data) == expected


@pytest.mark.parametrize("end", ["#", "?", "/#", "/?x"])
def test_a_host_ends_where_gh_lets_it_end(end):
    """What stands behind an `@` in a query or fragment is no host."""
    with pytest.raises(ProtocolError):
        parse_gh_request(f"url=https://evil.example{end}@github.com/o/r\n\n".encode())


def test_plain_http_is_refused_even_where_git_is_served_by_it():
    """gh answers for https alone, so does this; a forge on loopback has git's own helper."""
    request = parse_gh_request(b"protocol=http\nhost=127.0.0.1:3000\n\n")

    assert github_target(request, [Forge(GITHUB, "http", "127.0.0.1:3000")], "git") is None


@given(st.binary(max_size=100) | st.text(max_size=60).map(lambda url: f"url={url}\n".encode()))
def test_no_request_is_too_odd(data):
    """Whatever is sent is a request or refused; never an error of another kind."""
    try:
        request = parse_gh_request(data)
    except ProtocolError:
        return
    assert github_target(request, FORGES, "git") is None or request.protocol == "https"


def test_answer_cannot_be_broken_out_of():
    """A value that would become two lines never leaves."""
    request = parse_gh_request(b"protocol=https\nhost=github.com\n\n")
    credential = Credential("x\nhost=evil", Secret("t"), token_sha256="", fetched_at=0)

    with pytest.raises(ProtocolError):
        answer(request, credential)
