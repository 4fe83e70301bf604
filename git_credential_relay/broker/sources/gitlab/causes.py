"""What GitLab's refusals mean, as errors with a code and a way out. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from git_credential_relay.broker.errors import (
    ForgeError,
    ForgeRefusedError,
    ForgeUnavailableError,
)
from git_credential_relay.broker.sources.http import ForgeAnswer, in_trouble
from git_credential_relay.secret import printable, redact

FIRST_WAIT_SECONDS = 1.0


def error_of(answer: ForgeAnswer, now: float, subject: str = "the forge") -> ForgeError:
    """The error for an answer that is not the one hoped for.

    `subject` is the project or group that was meant.
    """
    if answer.status == 429:
        return ForgeUnavailableError(
            "the forge has had too many requests",
            code="FORGE_RATE_LIMITED",
            hint="ask again later",
            retry_after=rate_limit_seconds(answer, now),
            reason=cause_of(answer),
        )
    if answer.status >= 500:
        return in_trouble(answer, now)
    reason = f"HTTP {answer.status} {cause_of(answer)}".strip()
    if 300 <= answer.status < 400:
        return ForgeRefusedError(
            "the forge answers with a redirect",
            hint="set url to the forge's final address, with its path",
            reason=reason,
        )
    if answer.status in _CAUSES:
        code, message, hint = _CAUSES[answer.status]
        return ForgeRefusedError(
            message.format(subject=subject), code=code, hint=hint, reason=reason
        )
    return ForgeRefusedError(
        f"the forge refuses: {reason}", hint="check the integration's settings at the forge"
    )


_CAUSES = {
    401: (
        "FORGE_TOKEN_REJECTED",
        "the forge does not accept the broker's own token",
        "it may have expired or been revoked: write a new one into token_file",
    ),
    403: (
        "FORGE_FORBIDDEN",
        "the broker's own token may not do this at {subject}",
        "it needs the role Maintainer and the scope api; project and group access tokens "
        "of GitLab.com need Premium",
    ),
    # GitLab says the same of what is not there and of what must not be seen.
    404: (
        "FORGE_REPOSITORY_NOT_FOUND",
        "the forge knows no {subject}, or the broker's own token has no access to it",
        "check the name, and that the broker's user is a Maintainer there",
    ),
}


def rate_limit_seconds(answer: ForgeAnswer, now: float) -> float:
    """How long the forge wants us to wait: Retry-After, else when its window ends."""
    after = answer.retry_after(now)
    if after is not None:
        return after
    reset = answer.headers.get("ratelimit-reset", "")
    if reset.isascii() and reset.isdigit():
        return max(FIRST_WAIT_SECONDS, float(reset[:12]) - now)
    return FIRST_WAIT_SECONDS


def cause_of(answer: ForgeAnswer) -> str:
    """GitLab's own words in any of its four shapes of an error, as one safe line."""
    body = answer.json()
    if not isinstance(body, dict):
        return answer.text()
    description = body.get("error_description")
    words = [_flat(body[key]) for key in ("error", "message") if body.get(key)]
    if isinstance(description, str):
        words.append(description)
    return printable(redact("; ".join(words)), 300)


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_flat(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(_flat(item) for item in value)
    return str(value)
