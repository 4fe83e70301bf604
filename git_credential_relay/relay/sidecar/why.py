"""`why`: what the sidecar tells people about what went wrong. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from git_credential_relay.credential.attributes import Attributes, last
from git_credential_relay.credential.forge import Target, find_target
from git_credential_relay.credential.url import split_url
from git_credential_relay.errors import ProtocolError, RelayError
from git_credential_relay.messages import error_lines
from git_credential_relay.relay.cache_socket.message import Message
from git_credential_relay.relay.sidecar.record import Use
from git_credential_relay.relay.sidecar.workspace import ServedWorkspace
from git_credential_relay.secret import printable, redact

# Nobody reads more.
MAX_HISTORIES = 100
# The second helper of git's list comes right after the first one has failed.
JUST_NOW = 30.0


def told(error: RelayError) -> bytes:
    """The lines for `error`."""
    return text(error_lines(error))


def why(workspace: ServedWorkspace, message: Message, now: float) -> bytes:
    """What went wrong last for what `message` names, or at all; with `format=stderr` only what
    went wrong just now, as the helper tells it."""
    try:
        place = _place(message.attributes)
    except ProtocolError:
        return b""
    target = _target(workspace, place, message.use) if place else None
    if last(message.attributes, "format") == "stderr":
        return _just_now(workspace.record.find(target), now) if target else b""
    if place and target is None:
        return text([f"{printable(redact(place[1]))}: not served here; {_served(workspace)}"])
    if target is None:
        use = workspace.record.last_trouble()
        uses = [use] if use else []
    else:
        uses = [use for use in workspace.record.uses() if _concerns(use, target)]
    if not uses:
        return text(
            [f"{target}: nobody has asked" if target else f"no trouble; {_served(workspace)}"]
        )
    return text(line for use in uses[:MAX_HISTORIES] for line in _history(use, now))


def text(lines: Iterable[str]) -> bytes:
    """The bytes of `lines`."""
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")


def ago(then: float, now: float) -> str:
    """How long ago `then` was, for people."""
    seconds = max(0, round(now - then))
    if seconds < 120:
        return f"{seconds} s ago"
    return f"{seconds // 60} min ago" if seconds < 7200 else f"{seconds // 3600} h ago"


def _place(attributes: Attributes) -> tuple[str, str, str | None] | None:
    """Protocol, host and path that are asked about; None for everything."""
    url = last(attributes, "url")
    if url:
        scheme, name, path = split_url(url)
        return scheme, name, path or None
    protocol, host = last(attributes, "protocol"), last(attributes, "host")
    return (protocol, host, last(attributes, "path")) if protocol and host else None


def _target(
    workspace: ServedWorkspace, place: tuple[str, str, str | None], use: str
) -> Target | None:
    return find_target(workspace.config.forges, *place, use)


def _concerns(use: Use, target: Target) -> bool:
    """Whether `use` is of the target's forge, and of its repository where one is named."""
    if use.target.forge.url != target.forge.url:
        return False
    # Git without useHttpPath, and gh, ask without naming a repository: it may have been this one.
    return target.repository is None or use.target.repository in (None, target.repository)


def _just_now(use: Use | None, now: float) -> bytes:
    if use is None or use.trouble is None or not use.is_troubled:
        return b""
    return text(use.trouble.lines) if now - use.trouble.at <= JUST_NOW else b""


def _history(use: Use, now: float) -> Iterator[str]:
    name = f"{use.target} ({use.target.use})"
    if use.trouble is None:
        yield f"{name}: no trouble; {_last_answer(use, now)}"
        return
    state = "" if use.is_troubled else f", and is over: {_last_answer(use, now)}"
    yield f"{name}: this went wrong {ago(use.trouble.at, now)}{state}"
    yield from use.trouble.lines


def _last_answer(use: Use, now: float) -> str:
    if use.answered_at is None:
        return "nothing was answered yet"
    return f"a token was given {ago(use.answered_at, now)}"


def _served(workspace: ServedWorkspace) -> str:
    hosts = ", ".join(forge.host for forge in workspace.config.forges)
    return f"workspace {workspace.name} has {hosts}"
