"""When a credential may be used, and how git is answered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.credential.attributes import parse
from git_credential_relay.credential.credential import (
    LONGEST_TRUST,
    UNKNOWN_LIFETIME,
    Credential,
    answer,
    capabilities,
)
from git_credential_relay.credential.request import Request, parse_request
from git_credential_relay.errors import ProtocolError
from git_credential_relay.secret import Secret
from tests.unit.credential.strategies import attributes

NOW = 1_800_000_000
HOUR = 3600
MIN = 600.0


def make(
    expires_in: int | None = HOUR, age: float = 0, username="x-access-token", token="ghs_token"
) -> Credential:
    """A credential fetched `age` seconds before NOW that expires `expires_in` after NOW."""
    return Credential(
        username,
        Secret(token),
        token_sha256="c2hhMjU2",
        fetched_at=NOW - age,
        expires_at=None if expires_in is None else NOW + expires_in,
    )


@pytest.mark.parametrize(
    ("credential", "expected"),
    [
        pytest.param(make(1), True, id="one second left"),
        pytest.param(make(0), False, id="expires now"),
        pytest.param(make(-1), False, id="expired"),
        pytest.param(make(None), True, id="unknown, new"),
        pytest.param(make(None, age=UNKNOWN_LIFETIME - 1), True, id="unknown, almost too old"),
        pytest.param(make(None, age=UNKNOWN_LIFETIME), False, id="unknown, too old"),
        pytest.param(make(HOUR, age=10 * HOUR), True, id="known expiry counts, not the age"),
    ],
)
def test_credential_lives_until_it_expires(credential, expected):
    """It is alive before its expiry, or for a short while where nobody said when that is."""
    assert credential.is_alive(NOW) is expected


@pytest.mark.parametrize(
    ("credential", "asked_ago", "expected"),
    [
        pytest.param(make(HOUR, age=60), 0, True, id="enough life"),
        pytest.param(make(600, age=60), 0, True, id="exactly the minimum"),
        pytest.param(make(599, age=60), 0, False, id="less than the minimum"),
        pytest.param(make(-1, age=60), 0, False, id="expired"),
        pytest.param(make(5, age=1), 2, True, id="short-lived, fetched while we waited"),
        pytest.param(make(5, age=2), 2, True, id="short-lived, fetched when we asked"),
        pytest.param(make(5, age=3), 2, False, id="short-lived, fetched before we asked"),
        pytest.param(make(0, age=1), 2, False, id="fetched while we waited, expired since"),
        pytest.param(make(None, age=1), 2, True, id="unknown expiry, fetched while we waited"),
        pytest.param(make(None, age=3), 2, False, id="unknown expiry, fetched before we asked"),
        pytest.param(make(HOUR, age=-1), 2, False, id="fetched in the future: clock went back"),
        pytest.param(make(9 * HOUR, age=LONGEST_TRUST), 0, True, id="at the longest trust"),
        pytest.param(make(9 * HOUR, age=LONGEST_TRUST + 1), 0, False, id="beyond longest trust"),
    ],
)
def test_fresh_means_enough_life_or_fetched_for_us(credential, asked_ago, expected):
    """It is handed out with enough life left, or when it came after the asker had asked."""
    assert credential.is_fresh(NOW, NOW - asked_ago, MIN) is expected


def test_no_minimum_takes_any_living_credential():
    """With a minimum of nothing the last second still counts, the expiry itself does not."""
    credentials = [make(1, age=60), make(0, age=60)]

    assert [c.is_fresh(NOW, NOW, 0) for c in credentials] == [True, False]


@given(
    st.none() | st.integers(-HOUR, 12 * HOUR),
    st.integers(-HOUR, 12 * HOUR),
    st.integers(0, HOUR),
    st.integers(0, HOUR),
)
def test_fresh_implies_alive_and_more_life_never_hurts(expires_in, age, asked_ago, minimum):
    """What is fresh is alive and not from the future; asking for less life keeps it fresh."""
    credential = make(expires_in, age)
    if not credential.is_fresh(NOW, NOW - asked_ago, minimum):
        return

    assert credential.is_alive(NOW)
    assert credential.fetched_at <= NOW
    assert credential.is_fresh(NOW, NOW - asked_ago, 0)


ASKED = b"protocol=https\nhost=github.com\npath=o/r.git\n"
AUTHTYPE = b"capability[]=authtype\n"
STATE = b"capability[]=state\n"
OUR_STATE = b"state[]=git-credential-relay:b2xk\n"


@pytest.mark.parametrize(
    ("asked", "expires_in", "expected"),
    [
        pytest.param(
            ASKED,
            HOUR,
            b"username=x-access-token\npassword=ghs_token\npassword_expiry_utc=1800003600\n\n",
            id="old git",
        ),
        pytest.param(
            ASKED, None, b"username=x-access-token\npassword=ghs_token\n\n", id="unknown expiry"
        ),
        pytest.param(
            ASKED + AUTHTYPE,
            None,
            b"capability[]=authtype\nephemeral=1\nusername=x-access-token\npassword=ghs_token\n\n",
            id="authtype",
        ),
        pytest.param(
            ASKED + STATE,
            None,
            b"capability[]=state\nusername=x-access-token\npassword=ghs_token\n"
            b"state[]=git-credential-relay:c2hhMjU2\ncontinue=1\n\n",
            id="state",
        ),
        pytest.param(
            ASKED + AUTHTYPE + STATE,
            HOUR,
            b"capability[]=state\ncapability[]=authtype\nephemeral=1\n"
            b"username=x-access-token\npassword=ghs_token\npassword_expiry_utc=1800003600\n"
            b"state[]=git-credential-relay:c2hhMjU2\ncontinue=1\n\n",
            id="both",
        ),
        pytest.param(
            ASKED + STATE + OUR_STATE,
            None,
            b"username=x-access-token\npassword=ghs_token\n\n",
            id="asked again: no further round",
        ),
        pytest.param(
            ASKED + AUTHTYPE + STATE + OUR_STATE,
            None,
            b"capability[]=authtype\nephemeral=1\nusername=x-access-token\npassword=ghs_token\n\n",
            id="asked again with both",
        ),
        pytest.param(
            ASKED + STATE + b"state[]=other:1\n",
            None,
            b"capability[]=state\nusername=x-access-token\npassword=ghs_token\n"
            b"state[]=git-credential-relay:c2hhMjU2\ncontinue=1\n\n",
            id="another helper's state is not our second round",
        ),
        pytest.param(
            ASKED + OUR_STATE,
            None,
            b"username=x-access-token\npassword=ghs_token\n\n",
            id="state without the capability",
        ),
    ],
)
def test_answer_is_what_git_understands_and_no_more(asked, expires_in, expected):
    """Git gets user name, password, expiry if known, and of the newer attributes those that
    belong to a capability it offered; capabilities come before what depends on them."""
    assert answer(make(expires_in), parse_request(asked + b"\n")) == expected


@pytest.mark.parametrize(
    "credential",
    [
        pytest.param(make(username="x\nhost=evil.example"), id="user with LF"),
        pytest.param(make(token="ghs_a\r"), id="token with CR"),
        pytest.param(make(token="ghs_a\n\nhost=evil.example"), id="token with LF"),
        pytest.param(make(username="x\0"), id="user with NUL"),
    ],
)
def test_answer_refuses_to_smuggle(credential):
    """A credential that would become more than its lines is not answered at all."""
    with pytest.raises(ProtocolError):
        answer(credential, parse_request(ASKED))


PERMITTED = {
    "capability[]",
    "ephemeral",
    "username",
    "password",
    "password_expiry_utc",
    "state[]",
    "continue",
}


TELLING = [
    ("capability[]", "authtype"),
    ("capability[]", "state"),
    ("capability[]", ""),
    ("state[]", "git-credential-relay:b2xk"),
    ("state[]", "x"),
    ("url", "https://evil.example"),
    ("host", "evil.example"),
    ("path", "a/b"),
    ("username", "bob"),
    ("quit", "1"),
]


@given(
    attributes | st.lists(st.sampled_from(TELLING), max_size=6), st.none() | st.integers(1, HOUR)
)
def test_no_request_changes_where_git_goes(asked, expires_in):
    """Whatever is asked, the answer has the permitted attributes only: never protocol, host,
    path or url; each capability before what needs it; one empty line, at the end."""
    request = Request([("protocol", "https"), ("host", "github.com"), *asked])
    data = answer(make(expires_in), request)
    names = [name for name, _ in parse(data)]

    assert set(names) <= PERMITTED
    assert names.count("username") == names.count("password") == 1
    assert data.endswith(b"\n\n")
    assert data.count(b"\n\n") == 1
    offered = [value for name, value in parse(data) if name == "capability[]"]
    assert names[: len(offered)] == ["capability[]"] * len(offered)
    assert ("ephemeral" in names) is ("authtype" in offered)
    assert ("continue" in names) is ("state[]" in names) is ("state" in offered)
    assert "authtype" not in offered or request.knows_authtype
    assert "state" not in offered or request.knows_state


def test_capability_answer_has_gits_format():
    """The capability operation is answered with git's version line and our two capabilities."""
    assert capabilities() == b"version 0\ncapability authtype\ncapability state\n"
