"""What an address says: who is in it, whether a secret is, and how to write it without: pure."""

from __future__ import annotations

import re
from urllib.parse import unquote

from git_credential_relay.credential.forge import Forge, Target, find_target
from git_credential_relay.credential.url import normalise_host
from git_credential_relay.doctor.urlmatch import parse_url
from git_credential_relay.errors import ProtocolError
from git_credential_relay.secret import Secret, redact

_USER_INFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)([^/]*)@")
# `git@host:owner/name`: a colon before the first slash, and no scheme.
_SCP = re.compile(r"(?:([^@/:]+)@)?([^/:@]+|\[[^\]/]+\]):(?!//)(.+)", re.DOTALL)
# A user name as long as this is no name: old tokens were 40 bare hexadecimal digits.
_LONGEST_NAME = 30


def user_info(url: str) -> str | None:
    """What stands before the `@` of `scheme://…@host/`, or None."""
    match = _USER_INFO.match(url)
    return match[2] if match else None


def secrets_in(url: str) -> list[Secret]:
    """The secrets in an address, each as it is written and decoded; empty when there is none.

    A password is one, and so is a user name that is a token. ssh's users are not.
    """
    info = user_info(url)
    if not info or url.lower().startswith("ssh://"):
        return []
    user, _, password = info.partition(":")
    found = [password] if password else []
    if redact(user) != user or len(unquote(user)) >= _LONGEST_NAME:
        found.append(user)
    return [Secret(text) for part in found for text in dict.fromkeys((part, unquote(part)))]


def without_user(url: str) -> str:
    """The address without user name and password."""
    return _USER_INFO.sub(r"\1", url, count=1)


def shown(url: str) -> str:
    """The address as it may be shown: whoever is in it, and a query, are left out."""
    if not url.lower().startswith("ssh://"):
        url = without_user(url)
    return re.split(r"[?#]", url, maxsplit=1)[0]


def ssh_place(url: str) -> tuple[str, str] | None:
    """Host and path of an ssh address, in either of its forms; None for another one."""
    if url.lower().startswith(("ssh://", "git+ssh://", "ssh+git://")):
        parts = parse_url(url)
        return (parts.host, parts.path) if parts else None
    match = None if "://" in url else _SCP.fullmatch(url)
    return (match[2].lower(), match[3].strip("/")) if match else None


def target_of(forges: list[Forge], url: str) -> Target | None:
    """What the helper would be asked for: the repository of one of our hosts, or None."""
    parts = parse_url(url)
    if parts is None:
        return None
    return find_target(forges, parts.scheme, parts.address, parts.path or None)


def forge_at(forges: list[Forge], host: str, scheme: str = "https") -> Forge | None:
    """Our forge at `host[:port]`, or None."""
    try:
        name = normalise_host(host, scheme)
    except ProtocolError:
        return None
    return next((f for f in forges if (f.host, f.scheme) == (name, scheme)), None)
