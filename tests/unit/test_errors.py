"""The tree of errors."""

import re
from types import ModuleType

import pytest

from git_credential_relay import errors
from git_credential_relay.broker import errors as broker_errors
from git_credential_relay.errors import (
    ApiError,
    ConfigError,
    DeniedError,
    NoCredentialError,
    NotFoundError,
    RelayError,
    SourceError,
    TlsError,
    TransportError,
    UnauthenticatedError,
    UnavailableError,
    first_cause,
)


def children(kind: type[RelayError], module: ModuleType) -> list[type[RelayError]]:
    """The classes right below one, of those that the module holds."""
    return [child for child in kind.__subclasses__() if child.__module__ == module.__name__]


def tree(kind: type[RelayError], module: ModuleType) -> list[type[RelayError]]:
    """A class and everything of the module below it."""
    return [kind, *(leaf for child in children(kind, module) for leaf in tree(child, module))]


@pytest.mark.parametrize(
    ("module", "form"),
    [(errors, r"[a-z]+(-[a-z]+)*"), (broker_errors, r"[a-z]+(-[a-z]+)*|[A-Z]+(_[A-Z]+)*")],
    ids=["all", "broker"],
)
def test_every_class_has_its_own_code(module, form):
    """Each class says a code of its own, in words joined by hyphens; the broker's in capitals."""
    codes = [vars(kind).get("code") for kind in tree(RelayError, module)]

    assert all(code and re.fullmatch(form, code) for code in codes)
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("module", [errors, broker_errors], ids=["all", "broker"])
def test_the_tree_in_the_docstring_is_the_tree(module):
    """The overview on top of the module shows every class below its parent, in order."""
    drawn = re.findall(r"^([│├└─ ]*)(\w+Error)\b", module.__doc__ or "", re.MULTILINE)

    def draw(kind: type[RelayError], depth: int = 0) -> list[tuple[int, str]]:
        below = [line for child in children(kind, module) for line in draw(child, depth + 4)]
        return [(depth, kind.__name__), *below]

    assert [(len(indent), name) for indent, name in drawn] == draw(RelayError)


EXIT_CODES = [
    ("RelayError", 1, False),
    ("ConfigError", 2, False),
    ("MissingExtraError", 2, False),
    ("CommandNotRunError", 126, False),
    ("CommandNotFoundError", 127, False),
    ("WiringError", 1, False),
    ("ProtocolError", 1, False),
    ("TransportError", 75, True),
    ("TlsError", 1, False),
    ("DeadlineExceededError", 75, True),
    ("ApiError", 1, False),
    ("UnauthenticatedError", 4, False),
    ("DeniedError", 4, False),
    ("NotFoundError", 1, False),
    ("RateLimitedError", 75, True),
    ("UnavailableError", 75, True),
    ("MalformedResponseError", 1, False),
    ("WrongHostError", 1, False),
    ("SourceError", 1, False),
    ("SidecarError", 75, True),
    ("NoCredentialError", 1, False),
    ("CacheError", 1, False),
]


@pytest.mark.parametrize(("kind", "exit_code", "retryable"), EXIT_CODES)
def test_exit_code_tells_scripts_what_to_do(kind, exit_code, retryable):
    """Scripts learn from the exit code whether to mend, to log in or to try again."""
    found = getattr(errors, kind)

    assert (found.exit_code, found.retryable) == (exit_code, retryable)


def test_exit_codes_are_known_for_every_class():
    """No class is missing in the table of exit codes."""
    assert [row[0] for row in EXIT_CODES] == [kind.__name__ for kind in tree(RelayError, errors)]


def test_error_keeps_what_it_is_given():
    """An error has the class's code and advice unless it is given its own."""
    plain = TransportError("no route")
    own = ApiError(
        "it said no",
        code="NANGO_CONNECTION_EXPIRED",
        hint="connect anew",
        details="since Monday",
        retryable=True,
        retry_after=3.0,
    )
    names = ("message", "code", "hint", "details", "retryable", "retry_after", "exit_code")

    assert [getattr(plain, name) for name in names] == [
        *("no route", "api-unreachable", None, None, True, None, 75),
    ]
    assert [getattr(own, name) for name in names] == [
        *("it said no", "NANGO_CONNECTION_EXPIRED", "connect anew", "since Monday", True, 3.0, 1),
    ]
    assert str(plain) == "no route"


ABSENT = SourceError("CLOUD_API_URL not set", code="not-configured", hint="set CLOUD_API_URL")
NOT_SET = SourceError("not set", code="not-set")
DENIED = DeniedError("denied")
DOWN = UnavailableError("down", retry_after=7)
BAD_FILE = ConfigError("cannot read /x")


@pytest.mark.parametrize(
    ("tried", "expected"),
    [
        pytest.param([ABSENT], ABSENT, id="the only one"),
        pytest.param([DENIED, NOT_SET, BAD_FILE], DENIED, id="the API's"),
        pytest.param([NOT_SET, BAD_FILE, ABSENT], BAD_FILE, id="a source that really failed"),
        pytest.param([NOT_SET, ABSENT], ABSENT, id="what is missing to ask the API"),
        pytest.param(
            [ConfigError("x", code="not-configured"), DOWN], DOWN, id="what is not set up"
        ),
    ],
)
def test_first_cause_is_what_a_person_should_read(tried, expected):
    """A failure explains more than a source that merely is not set up."""
    assert first_cause([("name", error) for error in tried]) is expected


def test_nothing_tried_has_a_cause_too():
    """Without any source the cause is that there is none."""
    cause = first_cause([])

    assert (cause.message, cause.code) == ("no source is configured", "not-configured")


@pytest.mark.parametrize(
    ("tried", "expected"),
    [
        pytest.param(
            [UnauthenticatedError("bad secret", hint="rotate"), NOT_SET],
            ("no credential for T: bad secret", "unauthenticated", "rotate", None, False, None, 4),
            id="refused",
        ),
        pytest.param(
            [DOWN, NOT_SET],
            ("no credential for T: down", "api-unavailable", None, None, True, 7, 75),
            id="down",
        ),
        pytest.param(
            [TlsError("who are you", details="self-signed")],
            (
                "no credential for T: who are you",
                "tls-refused",
                None,
                "self-signed",
                False,
                None,
                1,
            ),
            id="TLS",
        ),
        pytest.param(
            [NotFoundError("unknown", code="NO_SUCH_REPO")],
            ("no credential for T: unknown", "NO_SUCH_REPO", None, None, False, None, 1),
            id="a code of the API's own",
        ),
        pytest.param(
            [],
            (
                "no credential for T: no source is configured",
                *("not-configured", None, None, False, None, 1),
            ),
            id="nothing tried",
        ),
    ],
)
def test_no_credential_speaks_for_its_cause(tried, expected):
    """When every source failed, the whole has the code, advice and exit code of its cause."""
    named = [("name", error) for error in tried]
    error = NoCredentialError("T", named)
    names = ("message", "code", "hint", "details", "retryable", "retry_after", "exit_code")

    assert tuple(getattr(error, name) for name in names) == expected
    assert error.tried == named


def test_what_is_final_has_no_temporary_exit_code():
    """A permanent code inside a 5xx must not make a script try again."""
    error = UnavailableError("connect anew", code="NANGO_CONNECTION_EXPIRED", retryable=False)

    assert error.exit_code == 1
