"""What the broker tells those who ask it: the part of the error tree that knows HTTP statuses.

RelayError
└── BrokerError                 the broker cannot, or will not, do what was asked
    ├── BadRequestError         400 the request itself is wrong
    ├── CallerUnknownError      401 nobody we know; one text whatever the reason
    │   └── AdminUnknownError   401 nobody who may manage workspaces
    ├── GrantMissingError       403 the workspace may not have this
    ├── WorkspaceNotFoundError  404 no such workspace
    ├── ConflictError           409 what is to be created is there already
    ├── TooManyRequestsError    429 this caller asks too often
    ├── IssuerUnavailableError  503 an issuer's keys cannot be had, so nobody can be recognised
    ├── WorkspaceChangedError   503 an edit came while the forge minted
    ├── AuditError              503 the event cannot be written, so nothing is vended
    ├── StoreError              503 the database cannot be used
    └── ForgeError              502 the forge does not give what we need
        ├── ForgeRefusedError   422 it says no, and will say no again
        └── ForgeUnavailableError 503 it is in trouble or wants us to wait

`message` and `hint` are public: they go to the caller. `reason` is for the audit and the log
alone; neither may ever hold a token.
"""

from __future__ import annotations

from git_credential_relay.errors import RelayError


class BrokerError(RelayError):
    """Something the broker has to tell a caller; `status` is that of HTTP."""

    code = "INTERNAL"
    status = 500

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        retryable: bool | None = None,
        retry_after: float | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(
            message, code=code, hint=hint, retryable=retryable, retry_after=retry_after
        )
        self.reason = reason


class BadRequestError(BrokerError):
    """400: a field is missing or is not what it has to be."""

    code = "INVALID_REQUEST"
    status = 400


class CallerUnknownError(BrokerError):
    """401: the secret or token proves nothing.

    One text for every cause: who guesses must not learn what was wrong. `reason` says it to
    the audit.
    """

    code = "INVALID_WORKSPACE_TOKEN"
    status = 401

    def __init__(self, reason: str) -> None:
        super().__init__(
            "the workspace's secret or identity token is not accepted",
            hint="check WORKSPACE_ID and WORKSPACE_TOKEN; the broker's audit log has the reason",
            reason=reason,
        )


class AdminUnknownError(CallerUnknownError):
    """401: not a secret or token that may manage workspaces, or there is none at all."""

    code = "INVALID_ADMIN_TOKEN"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.message = "the secret or identity token may not manage workspaces"
        self.hint = "check [admin] in the broker's configuration; its audit log has the reason"


class GrantMissingError(BrokerError):
    """403: the workspace may not have what was asked for; the code says which grant is missing."""

    code = "REPOSITORY_NOT_GRANTED"
    status = 403


class WorkspaceNotFoundError(BrokerError):
    """404: there is no such workspace. Only those who may know are told so."""

    code = "WORKSPACE_NOT_FOUND"
    status = 404


class ConflictError(BrokerError):
    """409: there is one already."""

    code = "WORKSPACE_EXISTS"
    status = 409


class TooManyRequestsError(BrokerError):
    """429: more requests than this caller may make; `retry_after` says when the next one may."""

    code = "RATE_LIMITED"
    status = 429
    retryable = True


class IssuerUnavailableError(BrokerError):
    """503: the keys of an issuer cannot be fetched, so its tokens prove nothing for now."""

    code = "ISSUER_UNAVAILABLE"
    status = 503
    retryable = True

    def __init__(self, reason: str, *, retry_after: float | None = None) -> None:
        super().__init__(
            "the identity token cannot be verified: its issuer's keys cannot be fetched",
            hint="whoever runs the broker should look at its connection to the issuer",
            retry_after=retry_after,
            reason=reason,
        )


class WorkspaceChangedError(BrokerError):
    """503: the workspace was edited while its token was being minted. The next request knows."""

    code = "WORKSPACE_CHANGED"
    status = 503
    retryable = True


class AuditError(BrokerError):
    """503: the audit event could not be written, and without one nothing is vended."""

    code = "AUDIT_UNAVAILABLE"
    status = 503
    retryable = True


class StoreError(BrokerError):
    """503: the database cannot be used."""

    code = "STORE_UNAVAILABLE"
    status = 503
    retryable = True


class ForgeError(BrokerError):
    """502: the forge did not give what we asked it for."""

    code = "FORGE_FAILED"
    status = 502


class ForgeRefusedError(ForgeError):
    """422: the forge says no for a cause that does not pass by itself."""

    code = "FORGE_REFUSED"
    status = 422


class ForgeUnavailableError(ForgeError):
    """503: the forge is in trouble, unreachable, or has had too many requests."""

    code = "FORGE_UNAVAILABLE"
    status = 503
    retryable = True
