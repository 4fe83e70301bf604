"""What the HTTP edge itself refuses, before anybody looks at what the request means."""

from __future__ import annotations

from git_credential_relay.broker.errors import BadRequestError, BrokerError


class NoRouteError(BrokerError):
    """404: there is nothing at this path."""

    code = "NOT_FOUND"
    status = 404


class MethodNotAllowedError(BrokerError):
    """405: the path is right and the method is not."""

    code = "METHOD_NOT_ALLOWED"
    status = 405

    def __init__(self, allowed: str) -> None:
        super().__init__("this method does nothing here", hint=f"use {allowed}")
        self.allowed = allowed


class BodyTooLargeError(BadRequestError):
    """413: more body than any request of ours needs."""

    code = "BODY_TOO_LARGE"
    status = 413

    def __init__(self, limit: int) -> None:
        super().__init__(f"the body is larger than {limit} bytes")


class FramingError(BadRequestError):
    """400: where the body ends is said in two ways, so that a proxy may have seen another end."""

    def __init__(self) -> None:
        super().__init__("the request has both Content-Length and Transfer-Encoding")


class MediaTypeError(BadRequestError):
    """415: the body is in a form that is not read here."""

    code = "UNSUPPORTED_MEDIA_TYPE"
    status = 415


class TimedOutError(BrokerError):
    """503: the whole request took longer than it may."""

    code = "TIMEOUT"
    status = 503
    retryable = True


class OverloadedError(BrokerError):
    """503: as many requests are under way as the broker takes on."""

    code = "OVERLOADED"
    status = 503
    retryable = True
