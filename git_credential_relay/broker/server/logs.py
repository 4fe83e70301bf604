"""The log: one JSON object per line on stderr, without tokens. No request depends on it.

What must be on record is in the audit, which no level filters.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import TextIO

from git_credential_relay.secret import printable, redact

# What `extra` may add; anything else that a library attaches stays out.
_EXTRA = ("request_id", "source", "workspace", "host", "address", "ms")
MAX_MESSAGE = 2000
MAX_FRAMES = 30


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON; every text in it is redacted and printable."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _safe(record.getMessage()),
        }
        for name in _EXTRA:
            value = getattr(record, name, None)
            if value is not None:
                line[name] = value if isinstance(value, int | float) else _safe(str(value))
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = _exception(record.exc_info[1])
            line["trace"] = _frames(record.exc_info[2])
        return json.dumps(line)


def configure_logging(level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Send every log of this process through one handler, those of libraries included."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)
    # A line for every connection, request or migration is not what an operator looks for.
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "httpx2", "httpcore2", "alembic"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
        logger.setLevel(max(level, logging.WARNING))


def _safe(text: str) -> str:
    return printable(redact(text[: 4 * MAX_MESSAGE]), MAX_MESSAGE)


def _exception(error: BaseException) -> str:
    return _safe(f"{type(error).__name__}: {error}")


def _frames(trace: TracebackType | None) -> list[str]:
    """Where it happened, innermost last: places alone, for lines of source may quote values."""
    frames = traceback.extract_tb(trace)[-MAX_FRAMES:]
    return [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames]
