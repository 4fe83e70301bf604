"""Secrets of workspaces that the admin API made. Pure, but for making one."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from git_credential_relay.broker.workspaces.document import SecretDocument
from git_credential_relay.secret import Secret

# Each of them is compared with at every request.
MAX_SECRETS = 10


@dataclass(frozen=True, slots=True)
class NewSecret:
    """A secret for the one who asked for it, and what is kept of it."""

    secret: Secret
    document: SecretDocument


def new_secret(now: float) -> NewSecret:
    """A random secret of 256 bits: nobody tries out its hash."""
    value = secrets.token_hex(32)
    sha256 = hashlib.sha256(value.encode()).hexdigest()
    return NewSecret(Secret(value), SecretDocument(sha256=sha256, created_at=int(now)))


def rotated(
    former: Iterable[SecretDocument], new: SecretDocument, now: float, overlap: int
) -> list[SecretDocument]:
    """The secrets that are accepted after a rotation, the new one first.

    The former end in `overlap` seconds, or when they would have ended before. Of more than
    MAX_SECRETS the oldest end at once.
    """
    end = int(now) + overlap
    kept = []
    for secret in former:
        expires_at = end if secret.expires_at is None else min(secret.expires_at, end)
        if expires_at > now:
            kept.append(
                SecretDocument(
                    sha256=secret.sha256, created_at=secret.created_at, expires_at=expires_at
                )
            )
    return [new, *kept][:MAX_SECRETS]
