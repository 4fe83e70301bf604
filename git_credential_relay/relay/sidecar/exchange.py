"""From a message on the socket to its answer: the same three answers as the helper's.

What git is told about is in git_credential_relay.relay.helper; here it becomes bytes at once
where the cache has it, and a coroutine where somebody has to be asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from git_credential_relay.credential.attributes import serialize
from git_credential_relay.credential.credential import Credential
from git_credential_relay.credential.credential import answer as credential_answer
from git_credential_relay.credential.forge import Target, find_target
from git_credential_relay.credential.request import Request
from git_credential_relay.errors import (
    DeadlineExceededError,
    NoCredentialError,
    ProtocolError,
    RelayError,
    SidecarError,
    first_cause,
    unforeseen,
)
from git_credential_relay.relay import helper
from git_credential_relay.relay.cache_socket.message import (
    CREDENTIAL,
    ERASE,
    GET,
    STATUS,
    WHY,
    Message,
    failure_attributes,
    parse_message,
)
from git_credential_relay.relay.sidecar.peer import Peer
from git_credential_relay.relay.sidecar.record import failed
from git_credential_relay.relay.sidecar.room import Turns
from git_credential_relay.relay.sidecar.status import status
from git_credential_relay.relay.sidecar.why import told, why
from git_credential_relay.relay.sidecar.workspace import ServedWorkspace
from git_credential_relay.secret import token_sha256
from git_credential_relay.trace import Trace

NOTHING = b""
# No forge has longer names, no SHA-256 a longer form; each of thousands may be kept.
MAX_PATH = 1024
MAX_STATE = 64
# Whoever asks the API keeps to the deadline; a name server that hangs keeps to nothing.
GRACE_SECONDS = 3.0


class Exchange:
    """Answers messages. `find` tells whose they are, `see` what a peer may see of all of them."""

    def __init__(
        self,
        find: Callable[[Peer], ServedWorkspace | None],
        see: Callable[[Peer], list[ServedWorkspace]],
        now: Callable[[], float],
        turns: Turns,
        trace: Trace,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self._find = find
        self._see = see
        self._now = now
        self._turns = turns
        self._trace = trace
        self._grace_seconds = grace_seconds

    def answer(self, peer: Peer, data: bytes) -> bytes | Awaitable[bytes]:
        """The answer to `data` from `peer`; nothing for what is malformed, unknown or not ours.

        `exit` is unknown on purpose: whoever may ask for a token may not end everybody's.
        """
        try:
            message = parse_message(data)
        except ProtocolError:
            return NOTHING
        if message.action not in (GET, ERASE):
            return NOTHING
        if message.action == GET and message.question in (STATUS, WHY):
            return self._turns.take(peer.uid, partial(self._report, peer, message))
        workspace = self._find(peer)
        if workspace is None:
            self._trace("refused", uid=peer.uid, pid=peer.pid)
            return _not_served(peer, message)
        return self._credential(workspace, message)

    def _report(self, peer: Peer, message: Message) -> bytes:
        seen = self._see(peer)
        if not seen:
            self._trace("refused", uid=peer.uid, pid=peer.pid)
            return _not_served(peer, message)
        if message.question == STATUS:
            return status(seen, message, self._now())
        own = self._find(peer)
        return why([own] if own else seen, message, self._now())

    def _credential(self, workspace: ServedWorkspace, message: Message) -> bytes | Awaitable[bytes]:
        try:
            request = Request(message.attributes)
        except ProtocolError:
            return NOTHING
        if len(request.path or "") > MAX_PATH or len(request.refused_sha256 or "") > MAX_STATE:
            return NOTHING
        forges = workspace.config.forges
        target = find_target(forges, request.protocol, request.host, request.path, message.use)
        if target is None:
            return NOTHING
        if message.action == ERASE:
            return self._erase(workspace, target, request)
        kept = workspace.find_fresh(target, request.refused_sha256)
        if kept is not None:
            return _told(kept, request)
        return self._acquire(workspace, target, request, message)

    async def _acquire(
        self, workspace: ServedWorkspace, target: Target, request: Request, message: Message
    ) -> bytes:
        try:
            async with asyncio.timeout(workspace.config.deadline + self._grace_seconds):
                credential = await workspace.acquire(
                    target, request.refused_sha256, request.username
                )
        except TimeoutError:
            late = _too_late(workspace)
            use = workspace.record.find(target)
            if use is not None:
                failed(use, late, self._now())
            return _failure(late, workspace, message)
        except NoCredentialError as error:
            if helper.is_silent(error, target):
                return NOTHING
            return _failure(error, workspace, message)
        except RelayError as error:
            return _failure(error, workspace, message)
        return _told(credential, request)

    async def _erase(self, workspace: ServedWorkspace, target: Target, request: Request) -> bytes:
        if request.password is not None:
            workspace.record.refused(target, token_sha256(request.password), self._now())
        try:
            await workspace.forget(target, request.password)
        except Exception as error:  # noqa: BLE001 - git has nobody to tell
            self._trace("not erased", reason=unforeseen(error).message)
        return NOTHING


def _told(credential: Credential, request: Request) -> bytes:
    if not helper.is_wanted(credential, request):
        return NOTHING
    return credential_answer(credential, request)


def _failure(error: RelayError, workspace: ServedWorkspace, message: Message) -> bytes:
    if message.question == CREDENTIAL:
        cause = first_cause(error.tried) if isinstance(error, NoCredentialError) else error
        return serialize(failure_attributes(cause))
    return helper.FAIL_CLOSED if workspace.config.fail_closed else NOTHING


def _too_late(workspace: ServedWorkspace) -> RelayError:
    return DeadlineExceededError(
        f"the relay API at {workspace.config.api_url} was not reached in time",
        hint="look whether the sidecar's name server answers",
    )


def _not_served(peer: Peer, message: Message) -> bytes:
    if message.question is None or message.action != GET:
        return NOTHING  # git's own client: silence, and git goes on
    error = SidecarError(
        f"the sidecar does not serve uid {peer.uid} here",
        code="sidecar-refused",
        hint="have its GIT_CREDENTIAL_RELAY_ALLOW_UIDS name this uid",
        retryable=False,
    )
    if message.question == CREDENTIAL:
        return serialize(failure_attributes(error))
    return told(error)
