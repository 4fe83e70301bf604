"""Which URLs a section such as `[credential "https://*.example.com"]` is for: pure.

Follows git's urlmatch.c, and credential.c for patterns that are no whole URL (git >= 2.27).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

_URL = re.compile(
    r"([a-z][a-z0-9+.-]*)://(?:([^/?#@]*)@)?(\[[^\]]*\]|[^/:?#]*)(?::(\d*))?(/[^?#]*)?",
    re.IGNORECASE | re.DOTALL,
)
_PORTS = {"http": "80", "https": "443"}


@dataclass(frozen=True, slots=True)
class Url:
    """A URL's parts as git compares them; `user` is None where the URL names none."""

    scheme: str
    user: str | None
    host: str
    port: str
    path: str

    def __str__(self) -> str:
        port = f":{self.port}" if self.port else ""
        return f"{self.scheme}://{self.host}{port}/{self.path}".rstrip("/")

    @property
    def address(self) -> str:
        """`host[:port]`."""
        return self.host + (f":{self.port}" if self.port else "")


def parse_url(text: str) -> Url | None:
    """The parts of `scheme://[user[:password]@]host[:port]/path`, or None for anything else."""
    match = _URL.match(text)
    if match is None or not match[3]:
        return None
    scheme, port = match[1].lower(), (match[4] or "").lstrip("0")
    user = None if match[2] is None else unquote(match[2].partition(":")[0])
    path = unquote(match[5] or "").strip("/")
    port = "" if port == _PORTS.get(scheme) else port
    return Url(scheme, user, match[3].lower(), port, path)


def matches(pattern: str, url: Url) -> bool:
    """Whether a section for `pattern` is about `url`."""
    wanted = parse_url(pattern)
    if wanted is None:
        return _matches_partly(pattern, url)
    return (
        wanted.scheme == url.scheme
        and wanted.user in (None, url.user)
        and _is_host(wanted.host, url.host)
        and wanted.port == url.port
        and f"{url.path}/".startswith(f"{wanted.path}/" if wanted.path else "")
    )


def _is_host(pattern: str, host: str) -> bool:
    """Label by label; `*` stands for one whole label."""
    wanted, labels = pattern.split("."), host.split(".")
    return len(wanted) == len(labels) and all(
        w in ("*", label) for w, label in zip(wanted, labels, strict=True)
    )


def _matches_partly(pattern: str, url: Url) -> bool:
    """`example.com`, `https://`, `/org`: each part that is given has to be the same.

    Git compares a host here as it is written, which differs for odd spellings alone.
    """
    scheme, separator, rest = pattern.rpartition("://")
    if not separator:
        rest = pattern
    authority, path = re.match(r"([^/?#]*)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]
    user, at, host = authority.rpartition("@")
    path = unquote(path).strip("/")
    return (
        scheme in ("", url.scheme)
        and (not at or unquote(user.partition(":")[0]) == url.user)
        and unquote(host) in ("", url.address)
        and path in ("", url.path)
    )
