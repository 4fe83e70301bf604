"""`why`: what the sidecar tells people about what went wrong. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from git_credential_relay.credential.attributes import Attributes, collect, last
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
MAX_REMOTES = 20
# The second helper of git's list comes right after the first one has failed.
JUST_NOW = 30.0

_Place = tuple[str, str, str | None]  # protocol, host, path


def told(error: RelayError) -> bytes:
    """The lines for `error`."""
    return text(error_lines(error))


def why(workspaces: Sequence[ServedWorkspace], message: Message, now: float) -> bytes:
    """What went wrong last for what `message` names, or at all, in the workspaces that the asker
    may know of; with `format=stderr` only what went wrong just now, as the helper tells it.

    What is named is one URL, git's protocol, host and path, or `remote[]`: the `host/path` of a
    work tree's remotes, which count as far as somebody has asked for them.
    """
    is_for_helper = last(message.attributes, "format") == "stderr"
    try:
        place = _place(message.attributes)
    except ProtocolError as error:
        return b"" if is_for_helper else text([f"this cannot be asked about: {error.message}"])
    if is_for_helper:
        # Of several nobody could say which one git has just asked.
        return _just_now(workspaces[0], place, message, now) if len(workspaces) == 1 else b""
    lines: list[str] = []
    for workspace in workspaces:
        lines += [f"workspace {workspace.name}:"] if len(workspaces) > 1 else []
        lines += _lines(workspace, place, message, now)
    return text(lines)


def text(lines: Iterable[str]) -> bytes:
    """The bytes of `lines`, whatever names are in them: nothing in them steers a terminal."""
    shown = ("".join(c if c.isprintable() else " " for c in line) for line in lines)
    return "".join(f"{line}\n" for line in shown).encode("utf-8", "replace")


def ago(then: float, now: float) -> str:
    """How long ago `then` was, for people."""
    seconds = max(0, round(now - then))
    if seconds < 120:
        return f"{seconds} s ago"
    return f"{seconds // 60} min ago" if seconds < 7200 else f"{seconds // 3600} h ago"


def _place(attributes: Attributes) -> _Place | None:
    """What is asked about; None for everything."""
    url = last(attributes, "url")
    if url:
        scheme, name, path = split_url(url)
        return scheme, name, path or None
    protocol, host = last(attributes, "protocol"), last(attributes, "host")
    return (protocol, host, last(attributes, "path")) if protocol and host else None


def _target(workspace: ServedWorkspace, place: _Place, use: str) -> Target | None:
    return find_target(workspace.config.forges, *place, use)


def _lines(
    workspace: ServedWorkspace, place: _Place | None, message: Message, now: float
) -> list[str]:
    if place is None:
        return _about_all(workspace, message, now)
    target = _target(workspace, place, message.use)
    if target is None:
        return [_not_served(workspace, place)]
    return _about(workspace, target, now) or [f"{target}: nobody has asked for it"]


def _about(workspace: ServedWorkspace, target: Target, now: float) -> list[str]:
    uses = [use for use in workspace.record.uses() if _concerns(use, target)]
    return [line for use in uses[:MAX_HISTORIES] for line in _history(use, now)]


def _about_all(workspace: ServedWorkspace, message: Message, now: float) -> list[str]:
    """About the remotes, if they are known here; else about the latest trouble."""
    remotes = collect(message.attributes, "remote[]")[:MAX_REMOTES]
    targets = [t for t in (_remote(workspace, name, message.use) for name in remotes) if t]
    known = [line for target in targets for line in _about(workspace, target, now)]
    if known:
        return list(dict.fromkeys(known))
    use = workspace.record.last_trouble()
    latest = list(_history(use, now)) if use else [f"no trouble; {_served(workspace)}"]
    strangers = [] if targets else dict.fromkeys(name.partition("/")[0] for name in remotes)
    return [
        *(f"{target}: nobody has asked for it" for target in targets),
        *(f"{printable(redact(host))}: not served here" for host in strangers),
        *latest,
    ]


def _remote(workspace: ServedWorkspace, name: str, use: str) -> Target | None:
    """The target of a remote; an address of ssh's tells no scheme, so any of ours will do."""
    host, _, path = name.partition("/")
    schemes = dict.fromkeys(forge.scheme for forge in workspace.config.forges)
    found = (_target(workspace, (scheme, host, path or None), use) for scheme in schemes)
    return next((target for target in found if target is not None), None)


def _concerns(use: Use, target: Target) -> bool:
    """Whether `use` is of the target's forge, and of its repository where one is named."""
    if use.target.forge.url != target.forge.url:
        return False
    # Git without useHttpPath, and gh, ask without naming a repository: it may have been this one.
    return target.repository is None or use.target.repository in (None, target.repository)


def _just_now(
    workspace: ServedWorkspace, place: _Place | None, message: Message, now: float
) -> bytes:
    target = _target(workspace, place, message.use) if place else None
    use = workspace.record.find(target) if target else None
    if use is None or use.trouble is None or not use.is_troubled:
        return b""
    return text(use.trouble.lines) if now - use.trouble.at <= JUST_NOW else b""


def _history(use: Use, now: float) -> Iterator[str]:
    name = f"{use.target} ({use.target.use})"
    if use.trouble is None:
        yield f"{name}: no trouble; {_last_answer(use, now)}"
        return
    is_over = use.trouble.is_ours and not use.is_troubled
    state = f", and is over: {_last_answer(use, now)}" if is_over else ""
    yield f"{name}: this went wrong {ago(use.trouble.at, now)}{state}"
    yield from use.trouble.lines


def _last_answer(use: Use, now: float) -> str:
    if use.answered_at is None:
        return "nothing was answered yet"
    return f"a token was given {ago(use.answered_at, now)}"


def _not_served(workspace: ServedWorkspace, place: _Place) -> str:
    protocol, host, path = place
    if _target(workspace, (protocol, host, None), "git") is not None:
        name = printable(redact(f"{host}/{path}"))
        return f"{name}: not the path of a repository, so git is told nothing"
    name = printable(redact(f"{protocol}://{host}"))
    return f"{name}: not served here; {_served(workspace)}"


def _served(workspace: ServedWorkspace) -> str:
    hosts = ", ".join(forge.host for forge in workspace.config.forges)
    return f"workspace {workspace.name} serves {hosts}"
