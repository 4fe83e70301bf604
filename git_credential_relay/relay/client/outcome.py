"""What came of one attempt to ask the API, before anybody judges it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Trouble(Enum):
    """Which part of an attempt failed without an HTTP answer."""

    DNS = "dns"
    CONNECT = "connect"
    TIMEOUT = "timeout"
    READ = "read"
    TLS = "tls"
    PROXY = "proxy"


@dataclass(frozen=True, slots=True)
class Answered:
    """An HTTP answer. `headers` have lower-case names; `is_cut` tells a body over the cap."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Broken:
    """No answer: what failed, and the library's words for it."""

    trouble: Trouble
    detail: str


Outcome = Answered | Broken
