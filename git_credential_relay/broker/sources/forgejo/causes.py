"""What an answer of Forgejo means that is not the one hoped for. Pure."""

from __future__ import annotations

import re

from git_credential_relay.broker.errors import (
    ForgeError,
    ForgeRefusedError,
    ForgeUnavailableError,
)
from git_credential_relay.broker.sources.http import FIRST_WAIT, ForgeAnswer, in_trouble

FIRST_RELEASE_WITH_ADMIN_TOKENS = 16
_MUST_CHANGE_PASSWORD = re.compile(r"must[ _]change", re.IGNORECASE)
_NAME_IS_TAKEN = re.compile(r"name.*(?:used|exists|taken)", re.IGNORECASE | re.DOTALL)
_WANTS_PASSWORD = re.compile(r"auth method not allowed", re.IGNORECASE)
_WANTS_CODE = re.compile(r"\botp\b|two-factor|2fa", re.IGNORECASE)


def message_of(answer: ForgeAnswer) -> str:
    """The forge's own words, which are not for the caller."""
    document = answer.json()
    message = document.get("message") if isinstance(document, dict) else None
    return message if isinstance(message, str) else answer.text()


def is_name_taken(answer: ForgeAnswer) -> bool:
    """Whether a token was not made because there is one of that name."""
    return answer.status == 400 and _NAME_IS_TAKEN.search(message_of(answer)) is not None


def wait_if_idempotent(answer: ForgeAnswer, now: float) -> float | None:
    """Seconds until asking or deleting may be tried again; None where the answer is final."""
    if answer.status in (500, 502, 503, 504):
        return answer.retry_after(now) or FIRST_WAIT
    return wait_if_refused_unseen(answer, now)


def wait_if_refused_unseen(answer: ForgeAnswer, now: float) -> float | None:
    """Seconds until making a token may be tried again: only after what nothing was done for."""
    return (answer.retry_after(now) or FIRST_WAIT) if answer.status == 429 else None


def cause_of(answer: ForgeAnswer, user: str, now: float) -> ForgeError:
    """The error for an answer that is none of success."""
    if answer.status == 429:
        return ForgeUnavailableError(
            "the forge has had too many requests",
            code="FORGE_RATE_LIMITED",
            retry_after=answer.retry_after(now),
            reason=answer.text(),
        )
    if answer.status >= 500:
        return in_trouble(answer, now)
    code, message, hint = _refusal(answer, user)
    return ForgeRefusedError(message, code=code, hint=hint, reason=answer.text())


def too_old(version: str) -> ForgeRefusedError:
    """The error for a server on which an administrator cannot make a user's token."""
    return ForgeRefusedError(
        "this server cannot make tokens for admin_token_file",
        code="FORGE_TOO_OLD",
        hint=f"Forgejo {FIRST_RELEASE_WITH_ADMIN_TOKENS} can; for older ones and Gitea use "
        "password_file",
        reason=f"version {version}",
    )


def is_too_old(version: str) -> bool:
    """Whether a server of this version knows no tokens made by an administrator.

    Forgejo calls itself `16.0.1+gitea-1.22.0`, Gitea `1.24.0`.
    """
    major = re.match(r"v?([0-9]{1,4})\.", version)
    return major is not None and int(major[1]) < FIRST_RELEASE_WITH_ADMIN_TOKENS


def _refusal(answer: ForgeAnswer, user: str) -> tuple[str, str, str]:
    words = message_of(answer)
    if answer.status in (401, 403) and _MUST_CHANGE_PASSWORD.search(words):
        return (
            "FORGE_MUST_CHANGE_PASSWORD",
            f"the forge wants {user} to choose a new password first, and refuses everything else",
            f"sign in as {user}, or: forgejo admin user must-change-password --unset {user}",
        )
    if answer.status == 401 and _WANTS_PASSWORD.search(words):
        return (
            "FORGE_TOKEN_REJECTED",
            "the forge makes tokens for a password only, not for a token",
            "put the user's own password into password_file, or upgrade to Forgejo "
            f"{FIRST_RELEASE_WITH_ADMIN_TOKENS}",
        )
    if answer.status == 401 and _WANTS_CODE.search(words):
        return (
            "FORGE_TOKEN_REJECTED",
            f"the forge wants a second factor of {user}",
            "use admin_token_file, or a user without a second factor",
        )
    if answer.status == 401:
        return (
            "FORGE_TOKEN_REJECTED",
            "the forge does not accept the broker's own token or password",
            "check admin_token_file or password_file, and whether the user is active",
        )
    if answer.status == 403:
        return (
            "FORGE_FORBIDDEN",
            "the forge does not allow the broker to do this",
            "the token in admin_token_file must be an administrator's, with the scope write:admin",
        )
    if answer.status == 404:
        return (
            "FORGE_REPOSITORY_NOT_FOUND",
            f"the forge knows no such repository, or does not show it to {user}",
            f"check that {user} exists and is a collaborator there",
        )
    if 300 <= answer.status < 400:
        return (
            "FORGE_REFUSED",
            f"the forge answers from another address (HTTP {answer.status})",
            "set url to the address it redirects to",
        )
    return (
        "FORGE_REFUSED",
        f"the forge refuses to make the token (HTTP {answer.status})",
        "whoever runs the broker finds the forge's answer in its audit log",
    )
