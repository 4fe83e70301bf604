"""The one tree of errors.

RelayError
├── ConfigError              a flag, variable or file is wrong
│   └── MissingExtraError    an optional part of this program is not installed
├── CommandNotRunError       a command that we were to become cannot be run
│   └── CommandNotFoundError there is none of that name
├── WiringError              what `install` changes cannot be changed, or not changed back
├── ProtocolError            git's attribute stream is malformed or smuggles something
├── TransportError           DNS, connect, read or proxy trouble on the way to the API
│   └── TlsError             the API's certificate was not accepted
├── DeadlineExceededError    the one time budget of an operation is used up
├── ApiError                 the relay API answered "no"; its own words are kept
│   ├── UnauthenticatedError it does not accept the workspace's secret
│   ├── DeniedError          the workspace may not have this
│   ├── NotFoundError        it knows no such workspace, connection or repository
│   ├── RateLimitedError     too many requests
│   └── UnavailableError     it is in trouble itself
├── MalformedResponseError   it answered something that is not a credential
│   └── WrongHostError       a credential for another host than the one asked for
├── SourceError              a local source of the fallback chain has nothing to give
├── SidecarError             the sidecar cannot be reached, or does not talk to us
├── NoCredentialError        every source failed; knows each of them
└── CacheError               the cache cannot be used; never fails a `get`

Exit codes: 0 answered or not ours, 1 failed, 2 usage or configuration, 4 authentication or
permission (gh's number), 75 temporary (EX_TEMPFAIL), 126 and 127 a command that cannot be run or
is not there (a shell's, POSIX 2.8.2). `code` is stable and documented; codes
the API sends are kept as they are. This module is on the warm path: it imports nothing.
"""

from __future__ import annotations

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_AUTH = 4
EXIT_TEMPORARY = 75
EXIT_NOT_EXECUTABLE = 126
EXIT_NOT_FOUND = 127


# "Ask somebody else": what a server says, or implies, about a host it has nothing for. Not a
# failure, so the helper keeps silent about it unless somebody configured the host.
NOT_SERVED = frozenset({"HOST_NOT_SERVED", "host-not-named"})


class RelayError(Exception):
    """Something a person has to know: what happened, and what to do about it.

    `message` is lower case without a full stop; `hint` says what to do; `details` is what the
    API added. None of them may ever hold a token. `retryable` says whether trying again, with
    nothing else changed, can help; `retry_after` after how many seconds, where known.
    """

    code = "internal"
    exit_code = EXIT_FAILED
    retryable = False
    # Of an earlier failure, which is told again instead of asking again.
    is_remembered = False

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        details: str | None = None,
        retryable: bool | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details
        self.retry_after = retry_after
        if code is not None:
            self.code = code
        if retryable is not None:
            self.retryable = retryable
        if not self.retryable and self.exit_code == EXIT_TEMPORARY:
            self.exit_code = EXIT_FAILED

    def __str__(self) -> str:
        return self.message


class ConfigError(RelayError):
    """A flag, environment variable or configuration file is wrong."""

    code = "bad-config"
    exit_code = EXIT_USAGE


class MissingExtraError(ConfigError):
    """An optional part of the program is asked for and not installed."""

    code = "missing-extra"


class CommandNotRunError(RelayError):
    """A command is there and cannot be run."""

    code = "not-executable"
    exit_code = EXIT_NOT_EXECUTABLE


class CommandNotFoundError(CommandNotRunError):
    """There is no such command."""

    code = "command-not-found"
    exit_code = EXIT_NOT_FOUND


class WiringError(RelayError):
    """The wiring of git and gh cannot be changed, or not be taken back."""

    code = "wiring-failed"


class ProtocolError(RelayError):
    """Git's attribute stream is malformed, over its limits, or carries control bytes."""

    code = "bad-attributes"


class TransportError(RelayError):
    """The API could not be reached or the connection broke."""

    code = "api-unreachable"
    exit_code = EXIT_TEMPORARY
    retryable = True


class TlsError(TransportError):
    """The API's certificate was not accepted: somebody may be in between, so never retried."""

    code = "tls-refused"
    exit_code = EXIT_FAILED
    retryable = False


class DeadlineExceededError(RelayError):
    """The time budget of the whole operation is used up."""

    code = "deadline-exceeded"
    exit_code = EXIT_TEMPORARY
    retryable = True


class ApiError(RelayError):
    """The relay API refused; code, hint and details are its own where it gave some."""

    code = "api-refused"


class UnauthenticatedError(ApiError):
    """401: the workspace's own credential is not accepted."""

    code = "unauthenticated"
    exit_code = EXIT_AUTH


class DeniedError(ApiError):
    """403: the workspace may not have what was asked for."""

    code = "denied"
    exit_code = EXIT_AUTH


class NotFoundError(ApiError):
    """404: the API knows no such workspace, connection or repository."""

    code = "not-found"


class RateLimitedError(ApiError):
    """429: too many requests."""

    code = "rate-limited"
    exit_code = EXIT_TEMPORARY
    retryable = True


class UnavailableError(ApiError):
    """408, 425 or 5xx: the API is in trouble."""

    code = "api-unavailable"
    exit_code = EXIT_TEMPORARY
    retryable = True


class MalformedResponseError(RelayError):
    """The API answered with success, and with something that is not a credential."""

    code = "malformed-response"


class WrongHostError(MalformedResponseError):
    """The API sent a credential for another host than the one asked for."""

    code = "wrong-host"


class SourceError(RelayError):
    """A local source of the fallback chain has nothing to give."""

    code = "no-token"


class SidecarError(RelayError):
    """The sidecar cannot be reached, or does not talk to us."""

    code = "sidecar-unreachable"
    exit_code = EXIT_TEMPORARY
    retryable = True


class NoCredentialError(RelayError):
    """Every source failed. `tried` lists them in order, each with its own error."""

    code = "no-credential"

    def __init__(self, target: str, tried: list[tuple[str, RelayError]]) -> None:
        cause = first_cause(tried)
        super().__init__(
            f"no credential for {target}: {cause.message}",
            code=cause.code,
            hint=cause.hint,
            details=cause.details,
            retryable=cause.retryable,
            retry_after=cause.retry_after,
        )
        self.tried = tried
        self.exit_code = cause.exit_code


class CacheError(RelayError):
    """The cache cannot be used. Callers go on without it."""

    code = "cache-unusable"


def unforeseen(error: BaseException) -> RelayError:
    """What to say of an exception nobody foresaw: its type and place, and no values."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = ""
    if trace is not None:
        name = trace.tb_frame.f_code.co_filename.rpartition("/")[2]
        place = f": {name}:{trace.tb_lineno}"
    return RelayError(f"unexpected {type(error).__name__}", hint=f"please report it{place}")


# What a source says that was never set up. It explains nothing where another one failed.
NOT_SET_UP = frozenset({"not-set", "no-file", "no-token", "not-installed", "not-configured"})


def first_cause(tried: list[tuple[str, RelayError]]) -> RelayError:
    """The error a person should read first.

    The API's where it was asked, else that of a local source that was set up, else what is
    missing to ask the API.
    """
    errors = [error for _, error in tried]
    real = [error for error in errors if error.code not in NOT_SET_UP]
    failed = [error for error in real if not isinstance(error, SourceError)]
    absent = [error for error in errors if error.code == "not-configured"]
    for candidates in (failed, real, absent, errors):
        if candidates:
            return candidates[0]
    return SourceError("no source is configured", code="not-configured")
