"""The process that refreshes a pair: it lives on when the broker is killed.

GitLab ends the old pair the moment it makes the new one, so whoever asked must get to write the
answer down. This process does only that: it takes the lock, asks once, and commits. A broker
that dies, or stops waiting, finds the new pair in the database.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
from sqlalchemy import Connection, Engine

from git_credential_relay.broker.config.load import BrokerConfig
from git_credential_relay.broker.config.model import BrokerModel
from git_credential_relay.broker.errors import ForgeError, StoreError
from git_credential_relay.broker.sources.gitlab.causes import cause_of, rate_limit_seconds
from git_credential_relay.broker.sources.gitlab.issued import is_token
from git_credential_relay.broker.sources.gitlab.refresh_job import (
    BUSY,
    CHANGED,
    INVALID_GRANT,
    REFRESHED,
    REFUSED,
    UNAVAILABLE,
    RefreshJob,
    RefreshOutcome,
)
from git_credential_relay.broker.sources.http import ForgeAnswer, ForgeClient
from git_credential_relay.broker.store.cipher import Cipher, load_cipher
from git_credential_relay.broker.store.engine import open_engine
from git_credential_relay.broker.store.failures import as_store_errors
from git_credential_relay.broker.store.oauth_pairs import (
    OAuthPair,
    lock_pair,
    read_state,
    record_seed,
    replace_pair,
    unlock_pair,
)
from git_credential_relay.errors import RelayError
from git_credential_relay.secret import Secret

T = TypeVar("T")
# GitLab itself gives a request up after 60 seconds. An answer that nobody waits for is a pair lost.
ASK_SECONDS = 65.0
# Longer than asking takes. Writing may take longer still: what is written by then is a pair
# of a revision that nobody else can have made, for only one refresh of a token succeeds.
LOCK_SECONDS = 90.0
WRITE_SECONDS = 600.0
USUAL_LIFETIME, MAX_LIFETIME = 7200, 7 * 86_400  # seconds


class Refresh:
    """One refresh of one pair."""

    def __init__(self, job: RefreshJob, engine: Engine, cipher: Cipher) -> None:
        self._job = job
        self._engine = engine
        self._cipher = cipher
        self._owner = secrets.token_hex(16)
        self._seed = None if job.seed is None else Secret(job.seed)
        self._started = time.monotonic()

    def run(self) -> RefreshOutcome:
        """Ask the forge under the lock, and write down what it says."""
        if not self._transact(self._lock):
            return RefreshOutcome(outcome=BUSY)
        token = self._transact(self._token_to_use)
        if token is None:
            self._unlock()
            return RefreshOutcome(outcome=CHANGED)
        asked_at = self._now()
        try:
            answer = asyncio.run(self._ask(token))
        except ForgeError as error:
            self._unlock()
            return RefreshOutcome(outcome=UNAVAILABLE, reason=error.reason or error.message)
        pair = parse_pair(answer, token, asked_at)
        if pair is None:
            return self._refused(answer)
        self._write(pair)
        return RefreshOutcome(outcome=REFRESHED)

    def _lock(self, connection: Connection) -> bool:
        now = self._now()
        return lock_pair(
            connection, self._cipher, self._job.name, self._owner, now, now + LOCK_SECONDS
        )

    def _token_to_use(self, connection: Connection) -> Secret | None:
        """The refresh token, read under the lock; None where somebody else was faster."""
        state = read_state(connection, self._cipher, self._job.name, self._seed, self._now())
        if state.revision != self._job.revision or state.is_seed_used:
            return None
        if self._seed is not None:
            return self._seed
        return None if state.pair is None else state.pair.refresh_token

    async def _ask(self, token: Secret) -> ForgeAnswer:
        client = ForgeClient(
            self._job.forge_url,
            ca_file=self._job.ca_file,
            attempt_seconds=ASK_SECONDS,
            now=self._now,
        )
        form = {
            "grant_type": "refresh_token",
            "refresh_token": token.reveal(),
            "client_id": self._job.client_id,
            "client_secret": self._job.client_secret,
            "redirect_uri": self._job.redirect_uri,
        }
        try:
            # Never a second time after it was sent: the first may have ended the pair.
            return await client.send(
                "POST",
                "/oauth/token",
                deadline=time.monotonic() + ASK_SECONDS,
                form={name: value for name, value in form.items() if value is not None},
            )
        finally:
            await client.aclose()

    def _refused(self, answer: ForgeAnswer) -> RefreshOutcome:
        outcome = outcome_of(answer, self._now())
        if self._seed is not None and outcome.outcome == INVALID_GRANT:
            seed = self._seed
            self._transact(
                lambda connection: record_seed(connection, self._cipher, self._job.name, seed)
            )
        self._unlock()
        return outcome

    def _write(self, pair: OAuthPair) -> None:
        """Commit, trying for long: nobody else has this pair, and there is no other."""
        deadline = time.monotonic() + WRITE_SECONDS
        while True:
            try:
                self._transact(
                    lambda connection: replace_pair(
                        connection,
                        self._cipher,
                        self._job.name,
                        self._job.revision,
                        pair,
                        self._seed,
                    )
                )
                return
            except StoreError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def _unlock(self) -> None:
        with contextlib.suppress(StoreError):  # it ends by itself
            self._transact(lambda connection: unlock_pair(connection, self._job.name, self._owner))

    def _transact(self, work: Callable[[Connection], T]) -> T:
        with as_store_errors(), self._engine.begin() as connection:
            return work(connection)

    def _now(self) -> float:
        return self._job.now + time.monotonic() - self._started


def parse_pair(answer: ForgeAnswer, old: Secret, now: float) -> OAuthPair | None:
    """The pair in an answer; None for any other. Without a new refresh token the old one stays."""
    body = answer.json()
    if answer.status != 200 or not isinstance(body, dict):
        return None
    access, refresh = body.get("access_token"), body.get("refresh_token", old.reveal())
    seconds = body.get("expires_in")
    if not is_token(access) or not is_token(refresh):
        return None
    # The old pair is dead already, so the new one is kept whatever it says of its life.
    if type(seconds) is not int or not 0 < seconds <= MAX_LIFETIME:
        seconds = USUAL_LIFETIME
    return OAuthPair(Secret(access), Secret(refresh), int(now) + seconds)


def outcome_of(answer: ForgeAnswer, now: float) -> RefreshOutcome:
    """What an answer without a pair means."""
    body = answer.json()
    error = body.get("error") if isinstance(body, dict) else None
    reason = f"HTTP {answer.status} {cause_of(answer)}"
    if answer.status == 429:
        seconds = rate_limit_seconds(answer, now)
        return RefreshOutcome(outcome=UNAVAILABLE, reason=reason, retry_after=seconds)
    if answer.status >= 500 or answer.status == 200:
        return RefreshOutcome(outcome=UNAVAILABLE, reason=reason)
    if error == "invalid_grant":
        return RefreshOutcome(outcome=INVALID_GRANT, reason=reason)
    return RefreshOutcome(outcome=REFUSED, reason=reason)


def main() -> None:
    """Do the job on stdin and write its outcome to stdout."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=RefreshJob)
    try:
        outcome = _run(job)
    except RelayError as error:
        outcome = RefreshOutcome(outcome=UNAVAILABLE, reason=error.message)
    with contextlib.suppress(OSError):  # the broker may be gone
        sys.stdout.buffer.write(msgspec.json.encode(outcome))
        sys.stdout.buffer.flush()


def _run(job: RefreshJob) -> RefreshOutcome:
    model = BrokerModel(database=job.database, encryption_key_file=job.key_file)
    config = BrokerConfig(Path(job.config_path), "", model, (), {})
    engine = open_engine(job.database)
    try:
        return Refresh(job, engine, load_cipher(config)).run()
    finally:
        engine.dispose()
