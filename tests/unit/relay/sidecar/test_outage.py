"""When an API is known to fail, and for what."""

import pytest

from git_credential_relay.errors import (
    ConfigError,
    DeadlineExceededError,
    DeniedError,
    MalformedResponseError,
    RateLimitedError,
    SourceError,
    TlsError,
    TransportError,
    UnavailableError,
)
from git_credential_relay.relay.sidecar.outage import Outage
from git_credential_relay.relay.sidecar.record import MAX_TARGETS, Name

A: Name = ("https://github.com", "octo/a", "git")
B: Name = ("https://github.com", "octo/b", "git")
NOW = 1000.0


def known(outage: Outage, now: float = NOW) -> str:
    return "".join("ab"[n] for n, name in enumerate((A, B)) if outage.is_known(name, now))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TransportError("nobody there"), "ab"),
        (TlsError("somebody else"), "ab"),
        (RateLimitedError("busy"), "ab"),
        (UnavailableError("its forge is down"), "a"),
        (MalformedResponseError("a login page"), "a"),
        (DeniedError("no"), ""),
        (UnavailableError("no", code="NANGO_CONNECTION_EXPIRED", retryable=False), ""),
        (ConfigError("no such file"), ""),
        (SourceError("not set", code="not-configured"), ""),
        (DeadlineExceededError("no thread was free"), ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_a_failure_says_of_others(error, expected):
    """An API that nobody reaches fails for all; trouble of its own is with what was asked; and
    a refusal, or a mistake of ours, is no failure of the API."""
    outage = Outage()
    outage.failed(A, error, NOW)

    assert known(outage) == expected


@pytest.mark.parametrize(("retry_after", "seconds"), [(None, 60), (10, 60), (300, 300)])
@pytest.mark.parametrize("kind", [RateLimitedError, UnavailableError])
def test_a_failure_is_old_after_a_minute(kind, retry_after, seconds):
    """Or when the server wants to be asked again, if that is later."""
    outage = Outage()
    outage.failed(A, kind("busy", retry_after=retry_after), NOW)

    assert "a" in known(outage, NOW + seconds - 0.1)
    assert known(outage, NOW + seconds) == ""


def test_an_answer_ends_it():
    """With one token the API is back; what it fails at for another target stays known."""
    outage = Outage()
    outage.failed(A, TransportError("nobody there"), NOW)
    outage.failed(B, UnavailableError("its forge is down"), NOW)
    assert known(outage) == "b"  # somebody answered
    outage.failed(A, TransportError("nobody there"), NOW)
    outage.answered(A)
    assert known(outage) == "b"
    outage.answered(B)
    assert known(outage) == ""


def test_a_refusal_ends_it_for_its_target():
    """The API has said what it thinks of it, so nobody is put off with an old token."""
    outage = Outage()
    outage.failed(A, UnavailableError("in trouble"), NOW)
    outage.failed(A, DeniedError("no"), NOW)

    assert known(outage) == ""


def test_it_remembers_no_more_names_than_the_record():
    """Whoever asks for ever new names must not fill the memory."""
    outage = Outage()
    for number in range(MAX_TARGETS + 10):
        outage.failed(("u", str(number), "git"), UnavailableError("down"), NOW)

    assert not outage.is_known(("u", "9", "git"), NOW)
    assert outage.is_known(("u", "10", "git"), NOW)
