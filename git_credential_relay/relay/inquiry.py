"""Our own questions to a sidecar, for people and for doctor: `why` and `status`."""

from __future__ import annotations

import re

from git_credential_relay.credential.attributes import Attributes
from git_credential_relay.errors import SidecarError
from git_credential_relay.messages import PROGRAM
from git_credential_relay.relay.cache_socket.client import PROMPT_SECONDS, SidecarClient
from git_credential_relay.relay.cache_socket.message import GET

# How it tells why it does not answer: the line of messages.py.
_REFUSAL = re.compile(
    rf"{PROGRAM}: error: (?P<message>.*) \[(?P<code>[A-Za-z0-9_-]+)\] "
    r"\((?:hint: (?P<hint>.*); )?.*\)"
)
# Git's own daemon answers every question with what it keeps, which is for nobody's eyes.
_PASSWORD = re.compile(r"^password=", re.MULTILINE)


def inquire(
    client: SidecarClient, question: str, attributes: Attributes, seconds: float = PROMPT_SECONDS
) -> str:
    """What the sidecar answers to `question`, as lines without control characters.

    It has `seconds` for that. Raises SidecarError where there is none, where it does not serve
    this user, or where something else answers in its place.
    """
    answer = client.ask(GET, [("relay", question), *attributes], seconds)
    text = _clean(answer.decode("utf-8", "replace"))
    refusal = _REFUSAL.match(text)
    if refusal is not None:
        hint = refusal["hint"]
        raise SidecarError(refusal["message"], code=refusal["code"], hint=hint, retryable=False)
    if not text or _PASSWORD.search(text):
        raise SidecarError(
            f"what answers at {client.path} is not a sidecar",
            code="not-a-sidecar",
            hint="it may be git's own credential-cache--daemon: end that, and start the sidecar",
            retryable=False,
        )
    return text


def _clean(text: str) -> str:
    """`text` as it may go to a terminal, whoever it is that answers."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)
