"""Starts the process that refreshes a pair, and hears how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

import msgspec

from git_credential_relay.broker.config.load import BrokerConfig, ForgeEntry
from git_credential_relay.broker.config.model import OAuthModel
from git_credential_relay.broker.sources.gitlab.refresh_job import (
    UNAVAILABLE,
    RefreshJob,
    RefreshOutcome,
)
from git_credential_relay.broker.sources.secret_file import ReadSecret
from git_credential_relay.errors import ConfigError
from git_credential_relay.secret import Secret

# -I: neither the current directory nor the environment says what is imported.
_COMMAND = (
    sys.executable,
    "-I",
    "-c",
    "from git_credential_relay.broker.sources.gitlab.refresh import main; main()",
)
CLOSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """The OAuth application of a forge, and where its pair is kept."""

    entry: ForgeEntry
    config: BrokerConfig
    model: OAuthModel
    database: str
    read_client_secret: ReadSecret | None

    def find_seed(self) -> Secret | None:
        """The refresh token in the file; None where a person has removed it after its use."""
        try:
            return self.config.read_secret(self.model.refresh_token_file)
        except ConfigError:
            return None

    def job(self, revision: int, seed: Secret | None, now: float) -> RefreshJob:
        """The job to refresh the pair of this revision. Raises ForgeRefusedError."""
        secret = None if self.read_client_secret is None else self.read_client_secret()
        ca_file = self.entry.model.ca_file
        return RefreshJob(
            name=self.entry.name,
            revision=revision,
            seed=None if seed is None else seed.reveal(),
            now=now,
            forge_url=self.entry.forge.url,
            ca_file=None if ca_file is None else str(self.config.resolve(ca_file)),
            client_id=self.model.client_id,
            client_secret=None if secret is None else secret.reveal(),
            redirect_uri=self.model.redirect_uri,
            config_path=str(self.config.path),
            database=self.database,
            key_file=self.config.model.encryption_key_file,
        )


class Refresher:
    """At most one refresh at a time; who comes meanwhile waits for the same."""

    def __init__(self, client: OAuthClient, now: Callable[[], float]) -> None:
        self._client = client
        self._now = now
        self._running: asyncio.Task[RefreshOutcome] | None = None

    async def refresh(self, revision: int, seed: Secret | None, deadline: float) -> RefreshOutcome:
        """How it ended, or that it is still going on. Whoever stops waiting does not stop it."""
        seconds = deadline - time.monotonic()
        if seconds <= 0:
            return RefreshOutcome(outcome=UNAVAILABLE, reason="no time left for a refresh")
        if self._running is None or self._running.done():
            job = self._client.job(revision, seed, self._now())
            self._running = asyncio.create_task(_run(job))
        done, _ = await asyncio.wait([self._running], timeout=seconds)
        if not done:
            return RefreshOutcome(outcome=UNAVAILABLE, reason="a refresh is still going on")
        return self._running.result()

    async def aclose(self) -> None:
        """Wait a little for what is going on. It ends well without us, too."""
        if self._running is not None and not self._running.done():
            await asyncio.wait([self._running], timeout=CLOSE_SECONDS)
            self._running.cancel()
            await asyncio.wait([self._running])


async def _run(job: RefreshJob) -> RefreshOutcome:
    output = await _output_of(_start(job))
    try:
        return msgspec.json.decode(output, type=RefreshOutcome)
    except msgspec.MsgspecError:
        # How it ended nobody knows: the database says whether there is a new pair.
        return RefreshOutcome(outcome=UNAVAILABLE, reason="the refresh broke off")


def _start(job: RefreshJob) -> IO[bytes]:
    """Start the process and hand it the job; where its outcome is to be read.

    Not by asyncio, which kills the processes it has started when the broker's loop ends.
    """
    process = subprocess.Popen(
        _COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        # Out of reach of a signal to the broker's group, such as Ctrl-C.
        start_new_session=True,
    )
    assert process.stdin is not None  # noqa: S101 - both were opened as pipes
    assert process.stdout is not None  # noqa: S101
    threading.Thread(target=process.wait, daemon=True).start()
    with contextlib.suppress(OSError), process.stdin as stdin:  # it may have died at once
        stdin.write(msgspec.json.encode(job))
    return process.stdout


async def _output_of(stdout: IO[bytes]) -> bytes:
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), stdout
    )
    try:
        return await reader.read()
    finally:
        transport.close()
