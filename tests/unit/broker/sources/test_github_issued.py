"""What a mint brought is held against what was asked, and nothing wider passes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.broker.policy import is_within
from git_credential_relay.broker.sources.github_app.issued import check_issued, request_body
from git_credential_relay.broker.sources.interface import Repository
from tests.fakes.github_app import scope_of

NOW = 1_800_000_000.0
TOKEN = "ghs_12345_eyJhbGciOiJFUzI1NiJ9.eyJ-_x.abc"
ONE = [{"id": 1000, "full_name": "acme/app"}]
GOOD = {
    "token": TOKEN,
    "expires_at": "2027-01-15T09:00:00Z",
    "permissions": {"contents": "write", "metadata": "read"},
    "repository_selection": "selected",
    "repositories": ONE,
}
SCOPE = scope_of("acme/app", contents="write")


def body(**fields):
    """A good answer with other fields; one that is None is left out."""
    return {name: value for name, value in {**GOOD, **fields}.items() if value is not None}


def test_what_is_as_asked_passes():
    """The token, its expiry and what it is for come out of a good answer."""
    issued = check_issued(GOOD, SCOPE, NOW)

    assert issued.wrong == ""
    assert issued.token is not None
    assert issued.token.reveal() == TOKEN
    assert issued.expires_at == NOW + 3600
    assert issued.repositories == (Repository("acme/app", 1000),)


@pytest.mark.parametrize(
    "answer",
    [
        body(repository_selection="all", repositories=None),
        body(repository_selection="all"),
        body(repository_selection=None),
        body(repositories=None),
        body(repositories=[]),
        body(repositories={"acme/app": 1000}),
        body(repositories=["acme/app"]),
        body(repositories=[*ONE, {"id": 1001, "full_name": "acme/lib"}]),
        body(repositories=ONE * 2),
        body(permissions={"contents": "write", "administration": "write"}),
        body(permissions={"contents": "admin"}),
        body(permissions={"contents": "root"}),
        body(permissions={"contents": "write", "metadata": "write"}),
        body(permissions=["contents"]),
        body(permissions=None),
        body(expires_at="2027-01-15T07:59:59Z"),
        body(expires_at="tomorrow"),
        body(expires_at="2999-01-01T00:00:00"),
        body(expires_at=1_900_000_000),
        body(expires_at=None),
        body(token=f"{TOKEN} x"),
        body(token=f"{TOKEN}\n"),
        body(token=f"{TOKEN}\r\nhost=evil"),
        body(token="gh\u00fc"),
        body(token="x" * 8193),
        body(token=""),
        body(token=None),
        [],
        None,
        "<html>",
    ],
)
def test_whatever_is_not_as_asked_is_wrong(answer):
    """An answer that is wider than the request, or that cannot be read, does not pass."""
    assert check_issued(answer, SCOPE, NOW).wrong != ""


def test_a_longer_list_is_no_rename():
    """Only where names differ one by one it is a rename; else the token is for something else."""
    other = [{"id": 1000, "full_name": "elsewhere/app"}]

    assert check_issued(body(repositories=other), SCOPE, NOW).renamed == ("acme/app",)
    assert check_issued(body(repositories=other * 2), SCOPE, NOW).renamed == ()
    pinned = scope_of(Repository("acme/app", 4242), contents="write")
    assert check_issued(GOOD, pinned, NOW).renamed == ()
    assert check_issued(GOOD, pinned, NOW).wrong != ""


@pytest.mark.parametrize("scope", [scope_of(), scope_of("acme/app", contents="write")])
def test_no_request_is_without_limits(scope):
    """To GitHub an empty list means everything there is, so none is ever made."""
    if scope.repositories:
        assert request_body(scope) == {
            "repositories": ["app"],
            "permissions": {"contents": "write"},
        }
    else:
        with pytest.raises(ValueError, match="without limits"):
            request_body(scope)


LEVELS = st.sampled_from(["read", "write", "admin", "root"])
PERMISSIONS = st.dictionaries(st.sampled_from(["contents", "issues", "metadata"]), LEVELS)
REPOSITORIES = st.lists(
    st.builds(
        lambda number, name: {"id": number, "full_name": name},
        st.integers(1, 3),
        st.sampled_from(["acme/app", "acme/lib", "Acme/App", "evil/app"]),
    ),
    max_size=3,
)


@given(
    permissions=PERMISSIONS,
    repositories=REPOSITORIES,
    selection=st.sampled_from(["all", "selected", None]),
    pinned=st.booleans(),
)
def test_nothing_wider_ever_passes(permissions, repositories, selection, pinned):
    """Whatever a forge answers, what passes is the one repository and no more permissions."""
    scope = scope_of(Repository("acme/app", 1 if pinned else None), contents="write")
    issued = check_issued(
        body(permissions=permissions, repositories=repositories, repository_selection=selection),
        scope,
        NOW,
    )
    if not issued.wrong:
        assert selection == "selected"
        assert is_within(issued.permissions, scope.permissions)
        assert len(repositories) == 1
        if pinned:
            assert repositories[0]["id"] == 1
        else:
            assert repositories[0]["full_name"].lower() == "acme/app"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(list(GOOD)), inner),
    )
)
def test_no_answer_breaks_the_check(answer):
    """Whatever JSON comes, the check ends in a verdict, and that is no."""
    assert check_issued(answer, SCOPE, NOW).wrong != ""
