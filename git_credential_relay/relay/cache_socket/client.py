"""Asking a sidecar, for the programs here that are not git: git's own client asks for git."""

from __future__ import annotations

import socket

from git_credential_relay.credential.attributes import Attributes, last, parse
from git_credential_relay.credential.credential import Credential
from git_credential_relay.errors import ProtocolError, SidecarError, SourceError
from git_credential_relay.relay.cache_socket.message import (
    CREDENTIAL,
    ERASE,
    GET,
    build_message,
    find_failure,
    refused_attributes,
    target_attributes,
)
from git_credential_relay.secret import Secret, token_sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from git_credential_relay.credential.forge import Target
    from git_credential_relay.relay.deadline import Clock, Deadline

# An answer is a token or a report of some thousand keys.
MAX_ANSWER = 4 * 1024 * 1024
# It answers an erase, and what it knows already, at once.
PROMPT_SECONDS = 5.0
# Until we knock again at one whose queue is full.
KNOCK_SECONDS = 0.02
# It needs the whole deadline of its own to find out that the API fails; then we want to hear why.
EXTRA_SECONDS = 2.0


class SidecarClient:
    """Asks the sidecar at `path`, a connection for each question."""

    def __init__(self, path: str, clock: Clock) -> None:
        self.path: Final = path
        self._clock: Final = clock

    def get(
        self,
        target: Target,
        deadline: Deadline,
        refused_sha256: str | None = None,
        username: str | None = None,
    ) -> Credential:
        """A credential for `target`. Raises SidecarError where there is no sidecar to ask,
        SourceError where it has nothing for this target, else what failed at the sidecar."""
        attributes = [("relay", CREDENTIAL), ("capability[]", "state"), *target_attributes(target)]
        attributes += refused_attributes(refused_sha256)
        attributes += [("username", username)] if username else []
        answer = self._attributes(self.ask(GET, attributes, deadline.remaining() + EXTRA_SECONDS))
        failure = find_failure(answer)
        if failure is not None:
            raise failure
        token = last(answer, "password")
        if not token:
            raise SourceError(
                "the sidecar has nothing for this host",
                code="no-token",
                hint="have its GIT_CREDENTIAL_RELAY_HOSTS name the host",
            )
        secret = Secret(token)
        expiry = last(answer, "password_expiry_utc") or ""
        return Credential(
            last(answer, "username") or "",
            secret,
            token_sha256=token_sha256(secret),
            fetched_at=self._clock.now(),
            expires_at=int(expiry) if expiry.isdecimal() else None,
            source="sidecar",
        )

    def forget(self, target: Target, password: Secret | None) -> None:
        """Have the sidecar drop the tokens that equal `password`. Raises SidecarError."""
        attributes = target_attributes(target)
        if password is not None:
            attributes.append(("password", password.reveal()))
        self.ask(ERASE, attributes, PROMPT_SECONDS)

    def ask(self, action: str, attributes: Attributes, seconds: float) -> bytes:
        """What it answers, within `seconds`. Raises SidecarError."""
        try:
            return self._exchange(build_message(action, attributes), seconds)
        except TimeoutError as error:
            raise SidecarError(
                f"the sidecar at {self.path} does not answer", hint="look at its log"
            ) from error
        except PermissionError as error:
            raise SidecarError(
                f"the sidecar's socket {self.path} is closed to this user",
                code="sidecar-refused",
                hint="have its GIT_CREDENTIAL_RELAY_ALLOW_UIDS name this uid",
                retryable=False,
            ) from error
        except (ConnectionResetError, BrokenPipeError) as error:
            raise self._broken() from error
        except OSError as error:
            raise SidecarError(
                f"there is no sidecar at {self.path} ({error.strerror or error})",
                hint="start it: git-credential-relay sidecar",
            ) from error
        except ProtocolError as error:
            raise SourceError(f"the sidecar cannot be asked: {error.message}") from error

    def _attributes(self, answer: bytes) -> Attributes:
        if answer and not answer.endswith(b"\n\n"):
            raise self._broken()  # half a token would be none
        return parse(answer)

    def _broken(self) -> SidecarError:
        return SidecarError(
            f"the sidecar at {self.path} broke off", hint="it may have ended, or be overloaded"
        )

    def _exchange(self, message: bytes, seconds: float) -> bytes:
        ends_at = self._clock.monotonic() + seconds
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            self._connect(connection, ends_at)
            connection.settimeout(self._left(ends_at))
            connection.sendall(message)
            connection.shutdown(socket.SHUT_WR)
            answer = bytearray()
            while True:
                connection.settimeout(self._left(ends_at))
                chunk = connection.recv(65536)
                answer += chunk
                if len(answer) > MAX_ANSWER:
                    raise self._broken()
                if not chunk:
                    return bytes(answer)

    def _connect(self, connection: socket.socket, ends_at: float) -> None:
        while True:
            connection.settimeout(self._left(ends_at))
            try:
                return connection.connect(self.path)
            except BlockingIOError:
                # With a time limit the kernel does not wait for room in the queue: unix(7).
                self._clock.sleep(KNOCK_SECONDS)

    def _left(self, ends_at: float) -> float:
        left = ends_at - self._clock.monotonic()
        if left <= 0:
            raise TimeoutError
        return left
