"""How errors are told on stderr."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.errors import (
    ApiError,
    ConfigError,
    DeniedError,
    NoCredentialError,
    RelayError,
    SourceError,
    TransportError,
    UnavailableError,
)
from git_credential_relay.messages import error_lines

P = "git-credential-relay: "


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(
            RelayError("it broke"),
            ["error: it broke [internal] (trying again will not help)"],
            id="plain",
        ),
        pytest.param(
            ConfigError("CLOUD_API_URL: not a URL", hint="correct CLOUD_API_URL"),
            [
                "error: CLOUD_API_URL: not a URL [bad-config]"
                " (hint: correct CLOUD_API_URL; trying again before that will not help)"
            ],
            id="hint",
        ),
        pytest.param(
            TransportError("no route"),
            ["error: no route [api-unreachable] (trying again may help)"],
            id="may help",
        ),
        pytest.param(
            UnavailableError("down", retry_after=29.6, hint="see the status page"),
            [
                "error: down [api-unavailable] (hint: see the status page; try again in 30 s)",
            ],
            id="retry after",
        ),
        pytest.param(
            UnavailableError("down", retry_after=0.2),
            ["error: down [api-unavailable] (try again in 1 s)"],
            id="retry after less than a second",
        ),
        pytest.param(
            ApiError("no", code="BAD_THING", details="field x"),
            [
                "error: no [BAD_THING] (trying again will not help)",
                "details: field x",
            ],
            id="details",
        ),
        pytest.param(
            NoCredentialError(
                "https://github.com/o/r",
                [
                    ("relay API (https://api.example)", DeniedError("denied")),
                    ("GH_TOKEN", SourceError("not set", code="not-set")),
                    ("gh", SourceError("not installed", code="not-installed")),
                ],
            ),
            [
                "error: no credential for https://github.com/o/r: denied [denied]"
                " (trying again will not help)",
                "Fallback chain tried:",
                "  1. relay API (https://api.example) - denied [denied]",
                "  2. GH_TOKEN - not set [not-set]",
                "  3. gh - not installed [not-installed]",
            ],
            id="the chain",
        ),
    ],
)
def test_error_says_what_why_and_whether_to_try_again(error, expected):
    """One line has what happened, its code, the hint and whether trying again can help; details
    and the chain follow."""
    assert error_lines(error) == [P + line for line in expected]


CANARY = "ghs_canary.0123456789"
ESCAPE = "\x1b]0;title\x07\r\n\0\u202e"


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(RelayError(f"{CANARY} {ESCAPE}"), id="message"),
        pytest.param(RelayError("x", hint=f"{ESCAPE} Bearer {CANARY}"), id="hint"),
        pytest.param(RelayError("x", details=f"https://u:{CANARY}@h {ESCAPE}"), id="details"),
        pytest.param(NoCredentialError(f"https://x:{CANARY}@h{ESCAPE}", []), id="target"),
        pytest.param(
            NoCredentialError("T", [("gh", SourceError(f"said {CANARY} {ESCAPE}"))]), id="source"
        ),
    ],
)
def test_no_token_and_no_control_character_is_told(error):
    """Wherever a server's words stand in an error, its lines show no token and steer no
    terminal."""
    lines = error_lines(error)

    assert "canary" not in "".join(lines)
    assert all(line.isprintable() for line in lines)


@given(st.text(), st.none() | st.text(), st.none() | st.text())
def test_lines_stay_lines(message, hint, details):
    """Whatever an error's words are, there is one line for it and one for details, each
    printable and of bounded length."""
    lines = error_lines(RelayError(message, hint=hint, details=details))

    assert len(lines) == (2 if details else 1)
    assert all(line.isprintable() and len(line) < 1000 for line in lines)
