"""OAuth pairs, of which a refresh ends the one before: one writer each, and nothing forgotten.

The row of a pair is its lock as well, with a time at which it ends by itself, so that it works
between processes on any database and survives whoever held it. A seed is a refresh token that a
person brought. It is good once, so each is remembered by its hash, in a row of its own: a broker
that still has an older file cannot put a dead pair over a living one.

These functions take a connection within a transaction; see Store.run.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from git_credential_relay.broker.store.cipher import Cipher
from git_credential_relay.broker.store.tables import oauth_pairs
from git_credential_relay.secret import Secret


@dataclass(frozen=True, slots=True)
class OAuthPair:
    """What a refresh gave. `expires_at` is that of the access token, in Unix seconds."""

    access_token: Secret
    refresh_token: Secret
    expires_at: int


@dataclass(frozen=True, slots=True)
class PairState:
    """A name's row: `pair` is None until the first refresh; `revision` counts the pairs."""

    pair: OAuthPair | None
    revision: int
    is_locked: bool
    is_seed_used: bool


def read_state(
    connection: Connection, cipher: Cipher, name: str, seed: Secret | None, now: float
) -> PairState:
    """What there is under this name, and whether the seed has been tried before."""
    is_used = seed is not None and _find(connection, _seed_name(name, seed)) is not None
    row = _find(connection, name)
    if row is None:
        return PairState(None, 0, False, is_used)
    is_locked = row["locked_by"] is not None and (row["locked_until"] or 0) > now
    return PairState(_pair(cipher, row), row["revision"], is_locked, is_used)


def lock_pair(
    connection: Connection, cipher: Cipher, name: str, owner: str, now: float, until: float
) -> bool:
    """Take the lock unless somebody has it and its time is not over; whether it is ours now."""
    if _find(connection, name) is None:
        _insert(connection, cipher, name)
    is_free = or_(oauth_pairs.c.locked_by.is_(None), oauth_pairs.c.locked_until <= int(now))
    taken = connection.execute(
        update(oauth_pairs)
        .where(oauth_pairs.c.name == name, is_free)
        .values(locked_by=owner, locked_until=int(until))
    )
    return taken.rowcount == 1


def unlock_pair(connection: Connection, name: str, owner: str) -> None:
    """Give the lock back, if it is still ours."""
    connection.execute(
        update(oauth_pairs)
        .where(oauth_pairs.c.name == name, oauth_pairs.c.locked_by == owner)
        .values(locked_by=None, locked_until=None)
    )


def replace_pair(
    connection: Connection,
    cipher: Cipher,
    name: str,
    revision: int,
    pair: OAuthPair,
    seed: Secret | None,
) -> bool:
    """Put a new pair in the place of the one of this revision, and end the lock.

    False where another pair is there by now: that one is newer, and stays.
    """
    values = {
        "access_token": _encrypted(cipher, pair.access_token),
        "refresh_token": _encrypted(cipher, pair.refresh_token),
        "expires_at": pair.expires_at,
        "revision": revision + 1,
        "locked_by": None,
        "locked_until": None,
    }
    if seed is not None:
        values["seed_sha256"] = _seed_sha256(name, seed)
    changed = connection.execute(
        update(oauth_pairs)
        .where(oauth_pairs.c.name == name, oauth_pairs.c.revision == revision)
        .values(values)
    )
    if seed is not None:
        record_seed(connection, cipher, name, seed)
    return changed.rowcount == 1


def record_seed(connection: Connection, cipher: Cipher, name: str, seed: Secret) -> None:
    """Remember that the seed is used up."""
    if _find(connection, _seed_name(name, seed)) is None:
        _insert(connection, cipher, _seed_name(name, seed))


def _find(connection: Connection, name: str) -> RowMapping | None:
    query = select(oauth_pairs).where(oauth_pairs.c.name == name)
    return connection.execute(query).mappings().first()


def _insert(connection: Connection, cipher: Cipher, name: str) -> None:
    """Make an empty row; another process that was faster has made the same."""
    empty = cipher.encrypt(b"")
    try:
        with connection.begin_nested():
            connection.execute(
                insert(oauth_pairs).values(
                    name=name,
                    access_token=empty,
                    refresh_token=empty,
                    expires_at=0,
                    seed_sha256="",
                    revision=0,
                )
            )
    except IntegrityError:
        return


def _pair(cipher: Cipher, row: RowMapping) -> OAuthPair | None:
    refresh_token = cipher.decrypt(row["refresh_token"]).decode()
    if not refresh_token:
        return None
    access_token = cipher.decrypt(row["access_token"]).decode()
    return OAuthPair(Secret(access_token), Secret(refresh_token), row["expires_at"])


def _encrypted(cipher: Cipher, token: Secret) -> bytes:
    return cipher.encrypt(token.reveal().encode())


def _seed_sha256(name: str, seed: Secret) -> str:
    return hashlib.sha256(f"{name}\0{seed.reveal()}".encode()).hexdigest()


def _seed_name(name: str, seed: Secret) -> str:
    # No forge's name begins like this: the loader's own have the kind there.
    return f"seed:{_seed_sha256(name, seed)}"
