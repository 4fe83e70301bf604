"""What is said over the socket of git's credential-cache, and what we add to it. Pure.

Source: builtin/credential-cache.c and credential-cache--daemon.c. A client sends `action=…`,
`timeout=…` and what git said to it, byte for byte, and closes its half; the answer runs to the
end. Since git's client passes on whatever it is given, our own questions are attributes of a `get`,
and a shell script can ask them: `relay` is `credential` (as git asks, but a failure is answered
too), `why` or `status` (text for people; `format=json` for the latter), and `use=api` asks for a
token for the forge's API.
"""

from __future__ import annotations

from git_credential_relay.credential.attributes import Attributes, last, parse, serialize
from git_credential_relay.credential.request import STATE_PREFIX
from git_credential_relay.errors import EXIT_FAILED, ProtocolError, RelayError
from git_credential_relay.secret import printable, redact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from git_credential_relay.credential.forge import Target

GET, STORE, ERASE, EXIT = "get", "store", "erase", "exit"
CREDENTIAL, WHY, STATUS = "credential", "why", "status"
QUESTIONS = (CREDENTIAL, WHY, STATUS)
USES = ("git", "api")
# Git writes some dozen lines. Thousands would keep everybody waiting who shares the sidecar.
MAX_LINES = 1000


class Message:
    """One request: its action, our own question if it is one, and the attributes from git."""

    __slots__ = ("action", "attributes", "question", "use")

    def __init__(self, action: str, attributes: Attributes) -> None:
        question = last(attributes, "relay")
        use = last(attributes, "use") or "git"
        if question not in (None, *QUESTIONS) or use not in USES:
            raise ProtocolError("an unknown question")
        self.action: Final = action
        self.question: Final = question
        self.use: Final = use
        self.attributes: Final = attributes


def parse_message(data: bytes) -> Message:
    """The message in `data`. Raises ProtocolError when it is malformed."""
    if data.count(b"\n") > MAX_LINES:
        raise ProtocolError("the message has too many lines")
    attributes = parse(data)
    # First and nowhere else, as git's daemon has it: what follows is from whoever called git.
    if not attributes or attributes[0][0] != "action":
        raise ProtocolError("the message does not begin with its action")
    if attributes[1:2] and attributes[1][0] == "timeout":
        return Message(attributes[0][1], attributes[2:])
    return Message(attributes[0][1], attributes[1:])


def build_message(action: str, attributes: Attributes) -> bytes:
    """The bytes of a message. Raises ProtocolError for what does not fit a line."""
    return serialize([("action", action), ("timeout", "0"), *attributes])


def target_attributes(target: Target) -> Attributes:
    """`target` as git would name it."""
    forge = target.forge
    path = "/".join(part for part in (forge.root, target.repository) if part)
    attributes = [("protocol", forge.scheme), ("host", forge.host), ("use", target.use)]
    return [*attributes, ("path", path)] if target.repository else attributes


def refused_attributes(sha256: str | None) -> Attributes:
    """That the token with this hash was refused, as git >= 2.46 says it."""
    return [("state[]", STATE_PREFIX + sha256)] if sha256 else []


def failure_attributes(error: RelayError) -> Attributes:
    """`error` for whoever asked `relay=credential`."""
    attributes = [
        ("failure_code", error.code),
        ("failure_message", error.message),
        ("failure_exit_code", str(error.exit_code)),
        ("failure_retryable", "1" if error.retryable else ""),
        ("failure_hint", error.hint or ""),
        ("failure_details", error.details or ""),
        ("failure_retry_after", str(round(error.retry_after)) if error.retry_after else ""),
    ]
    return [(name, printable(redact(value))) for name, value in attributes if value]


def find_failure(attributes: Attributes) -> RelayError | None:
    """The error that an answer tells of, to be raised again; None where it tells of none."""
    told = dict(attributes)
    if "failure_code" not in told:
        return None
    retry_after = told.get("failure_retry_after", "")
    error = RelayError(
        told.get("failure_message", "the sidecar does not say why"),
        code=told["failure_code"],
        hint=told.get("failure_hint"),
        details=told.get("failure_details"),
        retryable="failure_retryable" in told,
        retry_after=float(retry_after) if retry_after.isdecimal() else None,
    )
    exit_code = told.get("failure_exit_code", "")
    is_one = (
        exit_code.isascii() and exit_code.isdecimal() and 0 < int(exit_code[:4]) < 256
    )  # a failure is no success
    error.exit_code = int(exit_code) if is_one else EXIT_FAILED
    return error
