"""An audit event as one line of NDJSON: bounded, printable, and without anything like a token.

Pure. Most events need nothing done, and a look for a few marks finds that out: this is part of
every answer the broker gives.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from git_credential_relay.broker.audit.event import AuditEvent
from git_credential_relay.secret import printable, redact

MAX_LINE = 64 * 1024
# Longer than any event nobody tampered with, but for one of very many repositories.
_PLAIN_LINE = 4 * 1024
# What every pattern of `redact` contains, in lower case where it minds no case. A pattern with
# none of these would pass unseen: a test holds the two together.
_MARKS = ("gh", "_pat_", "gl", "eyJ", "\\", "\x7f")
_FOLDED_MARKS = ("bearer ", "basic ")

# Characters of a text and entries of a list; taken in turn until the line is short enough.
_CUTS = ((1024, 500), (256, 100), (64, 16))

_encoder = msgspec.json.Encoder()


def serialize(event: AuditEvent) -> bytes:
    """The line, newline included, of at most MAX_LINE bytes. No event is too odd to have one."""
    try:
        line = _encoder.encode(event)
    except (TypeError, ValueError, OverflowError):
        line = b""  # a lone surrogate, or a value that has no business here
    if line and len(line) <= _PLAIN_LINE and not _is_suspect(line.decode()):
        return line + b"\n"
    for text_limit, entries in _CUTS:
        line = _encoder.encode(_cleaned(event, text_limit, entries)) + b"\n"
        if len(line) <= MAX_LINE:
            break
    return line


def _is_suspect(text: str) -> bool:
    """Whether `text` may hold a token, or a character that has to go; most have none of it."""
    if not text.isascii() or ("@" in text and "://" in text):
        return True
    for mark in _MARKS:
        if mark in text:
            return True
    folded = text.lower()
    return any(mark in folded for mark in _FOLDED_MARKS)


def _cleaned(event: AuditEvent, text_limit: int, entries: int) -> dict[str, object]:
    values = ((name, getattr(event, name)) for name in event.__struct_fields__)
    return {
        name: _clean(value, text_limit, entries)
        for name, value in values
        if value is not None or name == "code"
    }


def _clean(value: object, limit: int, entries: int) -> object:
    match value:
        case None | bool() | float():
            return value
        case int() if abs(value) < 2**63:
            return value
        case Mapping():
            cut = list(value.items())[:entries]
            shown = {_text(key, limit): _clean(item, limit, 0) for key, item in cut}
            return shown | _more(len(value) - len(cut))
        case list() | tuple():
            cut = list(value)[:entries]
            return [_clean(item, limit, 0) for item in cut] + [
                f"{key} {count}" for key, count in _more(len(value) - len(cut)).items()
            ]
        case _:
            return _text(value, limit)


def _more(count: int) -> dict[str, object]:
    return {"…": count} if count else {}


def _text(value: object, limit: int) -> str:
    if (
        type(value) is str
        and len(value) <= limit
        and value.isprintable()
        and not _is_suspect(value)
    ):
        return value
    # On one line before `redact`, for two spaces or a control character would hide a token from
    # it; and cut, for it need not see a megabyte. A token cut in the middle begins like one.
    return printable(redact(printable(str(value)[: 8 * limit], 4 * limit)), limit)
