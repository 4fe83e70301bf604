"""How much, how long and how many: nobody who may connect can hold the sidecar."""

from __future__ import annotations

from dataclasses import dataclass

# Of a request line and its headers, and of a chunk's own line; GitHub takes less.
MAX_HEAD = 64 * 1024
PIECE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seconds that each step may take, and connections that may be open."""

    head_seconds: float = 10.0
    idle_seconds: float = 30.0
    # Without any progress; a whole upload or download may take as long as it takes.
    body_seconds: float = 60.0
    write_seconds: float = 60.0
    # For a client that still sends when it has its answer.
    linger_seconds: float = 2.0
    connect_seconds: float = 10.0
    upstream_seconds: float = 90.0
    per_uid: int = 64
    in_all: int = 512
