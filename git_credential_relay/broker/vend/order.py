"""An authorised request, and the token that answers it: what the inner layers work with."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import msgspec

from git_credential_relay.broker.sources.interface import Minted, Scope, TokenSource
from git_credential_relay.broker.vend.interface import Vended
from git_credential_relay.broker.workspace import Workspace
from git_credential_relay.credential.forge import STATIC, Forge
from git_credential_relay.secret import Secret, token_sha256

# A longer promise than this would have every request mint: forges give an hour.
MAX_MIN_LIFETIME = 3000


@dataclass(frozen=True, slots=True)
class Order:
    """What this workspace may have now, and who mints it.

    Equal `key`s share a token, so it names all that a token depends on: the workspace, whose
    deletion ends its own tokens and nobody else's; its revision, so that one made anew under
    the same id does not get those dead tokens; its policy's digest, so that an edit leaves no
    old token within reach; the source and the whole scope.
    """

    workspace: Workspace
    forge: Forge
    source: TokenSource
    scope: Scope
    key: str
    min_lifetime: int
    no_cache: bool = False
    rejected_sha256: str | None = None


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A minted token as the cache keeps it. Times are Unix seconds.

    Never printed: the cache encrypts it where it leaves the process.
    """

    token: str
    username: str
    minted_at: float
    expires_at: int | None
    token_type: str
    repositories: tuple[str, ...]
    permissions: dict[str, str]
    token_sha256: str

    def __repr__(self) -> str:
        return f"Entry({self.token_sha256})"

    def seconds_left(self, now: float) -> float:
        """How long it lives; without end where the forge names none."""
        return float("inf") if self.expires_at is None else self.expires_at - now


def order_key(workspace: Workspace, source: TokenSource, scope: Scope) -> str:
    """The cache's key for tokens that may answer each other's requests."""
    # `Acme/App` is no other repository where the forge folds case, and worth no other mint.
    folds_case = source.kind != STATIC
    names = [r.name.lower() if folds_case else r.name for r in scope.repositories]
    parts = [
        workspace.id,
        workspace.revision,
        workspace.policy.digest,
        source.name,
        source.host,
        [[name, repository.id] for name, repository in zip(names, scope.repositories, strict=True)],
        sorted(scope.permissions.items()),
        scope.use,
        scope.access_level,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def entry_of(minted: Minted, now: float) -> Entry:
    """The cache's form of a token minted now."""
    return Entry(
        token=minted.token.reveal(),
        username=minted.username,
        minted_at=now,
        expires_at=minted.expires_at,
        token_type=minted.token_type,
        repositories=minted.repositories,
        permissions=dict(minted.permissions),
        token_sha256=token_sha256(minted.token),
    )


def vended(order: Order, entry: Entry) -> Vended:
    """The answer that hands this token out."""
    return Vended(
        Secret(entry.token),
        entry.username,
        entry.expires_at,
        entry.token_type,
        order.forge.host,
        entry.repositories,
        entry.permissions,
        order.source.name,
        entry.token_sha256,
    )
