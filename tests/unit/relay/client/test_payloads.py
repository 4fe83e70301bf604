"""What successful answers may look like, and which of them are none."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.errors import (
    ApiError,
    MalformedResponseError,
    RelayError,
    WrongHostError,
)
from git_credential_relay.relay.client.outcome import Answered
from git_credential_relay.relay.client.payloads import MAX_TOKEN, Issued, parse_issued
from git_credential_relay.secret import Secret
from tests.fakes.configs import CODEBERG, GITHUB_COM, GITHUB_ENTERPRISE, GITLAB_COM, GITLAB_OWN

FIELDS = ("userToken", "token")
EIGHT = 1_800_000_000  # 2027-01-15T08:00:00Z
AGENT_RELAY = {
    "token": "ghu_user",
    "userToken": "ghu_user",
    "installationToken": "ghs_installation",
    "expiresAt": "2027-01-15T08:00:00.000Z",
    "username": "x-access-token",
    "tokenType": "user",
}


def parse(body, forge=GITHUB_COM, fields=FIELDS):
    """What is in a JSON body, or in bytes as they are."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return parse_issued(Answered(200, data), forge, fields)


def issued(token, username="x-access-token", expires_at=None):
    return Issued(Secret(token), username, expires_at)


@pytest.fixture
def tokyo(monkeypatch):
    """This machine stands in Tokyo."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("body", "forge", "expected"),
    [
        (AGENT_RELAY, GITHUB_COM, issued("ghu_user", expires_at=EIGHT)),
        (
            AGENT_RELAY
            | {
                "host": "github.com",
                "repositories": ["octo/spoon"],
                "permissions": {"contents": "write"},
            },
            GITHUB_COM,
            issued("ghu_user", expires_at=EIGHT),
        ),
        ({"token": "t", "host": "GitHub.com:443"}, GITHUB_COM, issued("t")),
        ({"token": "t", "host": "gitlab.com"}, GITLAB_COM, issued("t", "oauth2")),
        ({"token": "t", "host": "git.example:8443"}, GITLAB_OWN, issued("t", "oauth2")),
        (
            {"token": "t", "host": "codeberg.org", "username": "dev-bot"},
            CODEBERG,
            issued("t", "dev-bot"),
        ),
        ({"token": "t", "username": ""}, GITHUB_COM, issued("t")),
        ({"token": "t", "username": None}, GITHUB_COM, issued("t")),
        ({"success": True, "data": {"token": "t"}}, GITHUB_COM, issued("t")),
        ({"success": True, "data": None, "token": "t"}, GITHUB_COM, issued("t")),
        (b'\xef\xbb\xbf{"token": "t"}', GITHUB_COM, issued("t")),
        (b'\r\n {"token": "t"}\n', GITHUB_COM, issued("t")),
    ],
    ids=[
        "agent-relay",
        "our superset",
        "host in another spelling",
        "gitlab.com",
        "own GitLab with a port",
        "Forgejo with a login",
        "empty user name",
        "null user name",
        "Kilo's envelope",
        "envelope without data",
        "byte order mark",
        "white space around",
    ],
)
def test_answers_of_all_servers(body, forge, expected):
    """Each server's form gives the token, the user name and the expiry in it."""
    assert parse(body, forge) == expected


FLAT = {"github_token": "hub", "gitlab_token": "lab"}


@pytest.mark.parametrize(
    ("body", "forge", "token"),
    [
        (FLAT, GITHUB_COM, "hub"),
        (FLAT, GITLAB_COM, "lab"),
        (FLAT, GITLAB_OWN, None),
        (FLAT, GITHUB_ENTERPRISE, None),
        (FLAT, CODEBERG, None),
        (FLAT | {"gitlab_instance_url": "https://git.example:8443/gitlab"}, GITLAB_OWN, "lab"),
        (FLAT | {"gitlab_instance_url": "https://git.example"}, GITLAB_OWN, None),
        (FLAT | {"gitlab_instance_url": "https://git.example:8443"}, GITLAB_COM, None),
        (FLAT | {"gitlab_instance_url": "https://git.example:8443"}, GITHUB_COM, "hub"),
        (FLAT | {"gitlab_instance_url": ""}, GITLAB_COM, "lab"),
        (FLAT | {"gitlab_instance_url": None}, GITLAB_COM, "lab"),
        ({"github_token": "hub"}, GITLAB_COM, None),
        ({"gitlab_token": "lab"}, GITHUB_COM, None),
        ({"github_token": None, "gitlab_token": "lab"}, GITHUB_COM, None),
        ({"github_token": None, "gitlab_token": "lab"}, GITLAB_COM, "lab"),
        ({"success": True, "data": FLAT}, GITLAB_COM, "lab"),
    ],
    ids=[
        "both, github.com",
        "both, gitlab.com",
        "both, another GitLab",
        "both, GitHub Enterprise",
        "both, Forgejo",
        "own GitLab, with its path",
        "own GitLab, another port",
        "own GitLab, asked for gitlab.com",
        "own GitLab, asked for github.com",
        "instance empty",
        "instance null",
        "GitHub's only, asked for GitLab",
        "GitLab's only, asked for GitHub",
        "GitHub's null",
        "GitHub's null, asked for GitLab",
        "in an envelope",
    ],
)
def test_the_flat_form_binds_each_token_to_its_host(body, forge, token):
    """A token of Kilo's flat form is for its own host; for any other there is none."""
    if token is None:
        with pytest.raises(WrongHostError) as caught:
            parse(body, forge)
        assert caught.value.code == "host-not-named"
    else:
        assert parse(body, forge) == issued(token, forge.username)


@pytest.mark.parametrize(
    ("fields", "body", "token"),
    [
        (("userToken", "token"), {"userToken": "u", "token": "t"}, "u"),
        (("userToken", "token"), {"userToken": None, "token": "t"}, "t"),
        (("userToken", "token"), {"userToken": "", "token": "t"}, "t"),
        (("userToken", "token"), {"userToken": "null", "token": "t"}, "t"),
        (("userToken", "token"), {"token": "t"}, "t"),
        (("installationToken",), {"userToken": "u", "token": "u", "installationToken": "i"}, "i"),
        (("token",), {"userToken": "u", "token": "t"}, "t"),
    ],
)
def test_the_preferred_field_wins(fields, body, token):
    """The fields are tried in order, and one without a token counts as absent."""
    assert parse(body, fields=fields) == issued(token)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2027-01-15T08:00:00Z", EIGHT),
        ("2027-01-15T08:00:00.999Z", EIGHT),
        ("2027-01-15T09:00:00+01:00", EIGHT),
        ("2027-01-15T08:00:00", EIGHT),
        ("2027-01-15 08:00:00", EIGHT),
        (EIGHT, EIGHT),
        (EIGHT + 0.75, EIGHT),
        (None, None),
        ("", None),
    ],
    ids=repr,
)
@pytest.mark.usefixtures("tokyo")
def test_expiry_in_every_form(value, expected):
    """A time without a zone is UTC, wherever this machine stands; none is none."""
    assert parse({"token": "t", "expiresAt": value}) == issued("t", expires_at=expected)


@pytest.mark.parametrize(
    "value",
    [
        "soon",
        "1 hour",
        "2027-99-99T00:00:00Z",
        True,
        [],
        {},
        10**400,
        -(10**400),
        float("nan"),
        float("inf"),
        -1,
        EIGHT * 1000,
    ],
    ids=lambda value: repr(value)[:24],
)
def test_an_expiry_that_is_no_time(value):
    """A time that cannot be one is refused, not guessed and not a crash."""
    with pytest.raises(MalformedResponseError) as caught:
        parse({"token": "t", "expiresAt": value})

    assert caught.value.code == "bad-expiry"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "not-json"),
        (b"ok", "not-json"),
        (b'{"token": "t"', "not-json"),
        (b"\x00\xff\xfe", "not-json"),
        (b"[" * 100_000, "not-json"),
        (b'{"token": ' + b"1" * 5000 + b"}", "not-json"),
        (b'["token"]', "not-json"),
        (b'"token"', "not-json"),
        (b"null", "not-json"),
        (b"<!DOCTYPE html><title>Log in</title>", "html-answer"),
        (b"\n  <html>", "html-answer"),
        ({}, "no-token-in-answer"),
        ({"token": None}, "no-token-in-answer"),
        ({"token": ""}, "no-token-in-answer"),
        ({"token": "null"}, "no-token-in-answer"),
        ({"token": "seed-me"}, "no-token-in-answer"),
        ({"installationToken": "t"}, "no-token-in-answer"),
        ({"success": True}, "no-token-in-answer"),
        ({"success": True, "data": {}}, "no-token-in-answer"),
        ({"token": 17}, "malformed-response"),
        ({"token": []}, "malformed-response"),
        ({"token": {"token": "t"}}, "malformed-response"),
        ({"token": True}, "malformed-response"),
        ({"token": "a\nb"}, "bad-token"),
        ({"token": "a\n"}, "bad-token"),
        ({"token": "a\rb"}, "bad-token"),
        ({"token": "a\x00b"}, "bad-token"),
        ({"token": "a b"}, "bad-token"),
        ({"token": "tökên"}, "bad-token"),
        ({"token": "\ud800"}, "bad-token"),
        ({"token": "x" * (MAX_TOKEN + 1)}, "bad-token"),
        ({"token": "t", "username": "two\nlines"}, "no-username"),
        ({"token": "t", "username": 7}, "no-username"),
        ({"token": "t", "username": ["bot"]}, "no-username"),
        ({"token": "t", "username": "x" * 70_000}, "no-username"),
        (FLAT | {"gitlab_instance_url": "not a url"}, "malformed-response"),
        (FLAT | {"gitlab_instance_url": "https://me@git.example"}, "malformed-response"),
        (FLAT | {"gitlab_instance_url": 7}, "malformed-response"),
        ({"github_token": ["hub"]}, "malformed-response"),
    ],
    ids=lambda value: repr(value)[:48],
)
def test_answers_that_are_no_credential(body, code):
    """Each way an answer can be none has a name, and none of them is to be tried again."""
    with pytest.raises(MalformedResponseError) as caught:
        parse(body)

    assert (caught.value.code, caught.value.retryable) == (code, False)


def test_a_long_token_is_a_token():
    """Tokens have grown before; up to the limit they are taken."""
    assert parse({"token": "x" * MAX_TOKEN}) == issued("x" * MAX_TOKEN)


def test_a_cut_answer_is_never_used():
    """A body over the cap may hold a whole token at its beginning, and is refused."""
    with pytest.raises(MalformedResponseError) as caught:
        parse_issued(Answered(200, b'{"token": "t"}', is_cut=True), GITHUB_COM, FIELDS)

    assert caught.value.code == "answer-too-long"


def test_a_forgejo_needs_a_login():
    """There is no default user for a Forgejo: a guessed one is a 401 without a reason."""
    with pytest.raises(MalformedResponseError) as caught:
        parse({"token": "t", "host": "codeberg.org"}, CODEBERG)

    assert caught.value.code == "no-username"


@pytest.mark.parametrize(
    ("host", "forge"),
    [
        ("github.com.evil.example", GITHUB_COM),
        ("gist.github.com", GITHUB_COM),
        ("github.com:8443", GITHUB_COM),
        ("github.com\n", GITHUB_COM),
        ("", GITHUB_COM),
        ("*", GITHUB_COM),
        (["github.com"], GITHUB_COM),
        (True, GITHUB_COM),
        ("https://github.com", GITHUB_COM),
        ("git.example", GITLAB_OWN),
        ("github.com", GITLAB_COM),
    ],
    ids=repr,
)
def test_a_credential_for_another_host_is_thrown_away(host, forge):
    """Only equality counts; the error names both hosts, on one line, and no token."""
    with pytest.raises(WrongHostError) as caught:
        parse({"token": "ghs_canary", "host": host}, forge)

    error = caught.value
    assert (error.code, error.message.isprintable()) == ("wrong-host", True)
    assert error.message.endswith(f", not {forge.host}")
    assert "canary" not in f"{error.message}{error.hint}{error.details}"


@pytest.mark.parametrize("forge", [GITLAB_COM, GITLAB_OWN, GITHUB_ENTERPRISE, CODEBERG], ids=str)
def test_a_server_that_names_no_host_speaks_of_github_com(forge):
    """Without `host` a token is for github.com and no other forge."""
    with pytest.raises(WrongHostError) as caught:
        parse({"token": "t", "username": "bot"}, forge)

    assert caught.value.code == "host-not-named"


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        (
            {"success": False, "error": "No git token available for this rig"},
            "the relay API answered HTTP 200: No git token available for this rig",
            "api-refused",
        ),
        (
            {"success": False, "error": "no", "code": "invalid_repo_format", "token": "t"},
            "the relay API answered HTTP 200: no",
            "invalid_repo_format",
        ),
        ({"success": False}, "the relay API answered HTTP 200", "api-refused"),
    ],
    ids=["Kilo's", "with a code and a token", "bare"],
)
def test_an_envelope_that_says_no(body, message, code):
    """`success: false` in an HTTP 200 is a refusal in the server's words, and final."""
    with pytest.raises(ApiError) as caught:
        parse(body)

    error = caught.value
    assert (error.message, error.code, error.retryable) == (message, code, False)


def test_an_answer_without_a_token_is_quoted():
    """An error that comes with HTTP 200 is shown, with what looks like a token masked."""
    with pytest.raises(MalformedResponseError) as caught:
        parse({"error": "gho_abcdef expired"})

    assert caught.value.message == ("the relay API answered without a token: ******** expired")


SCALARS = (
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.text(max_size=20)
    | st.sampled_from(["github.com", "null", "t", "2027-01-15T08:00:00Z"])
)
NAMES = st.sampled_from(
    [
        *AGENT_RELAY,
        "host",
        "success",
        "error",
        "code",
        "github_token",
        "gitlab_token",
        "gitlab_instance_url",
    ]
)
BODIES = st.dictionaries(NAMES, SCALARS | st.lists(SCALARS, max_size=2), max_size=6)


@given(
    st.binary(max_size=300)
    | BODIES.map(lambda body: json.dumps(body).encode())
    | BODIES.map(lambda body: json.dumps({"success": True, "data": body}).encode()),
    st.sampled_from([GITHUB_COM, GITLAB_COM, GITLAB_OWN, CODEBERG]),
)
def test_any_bytes_give_a_credential_or_our_own_error(body, forge):
    """Whatever is answered: a token git can be given, or a RelayError."""
    try:
        found = parse(body, forge)
    except RelayError:
        return

    text = found.token.reveal() + found.username
    assert text.isprintable()
    assert found.token
    assert found.username
