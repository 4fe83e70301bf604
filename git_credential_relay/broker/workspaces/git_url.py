"""The URL somebody clones by, read as the repository it means. Pure.

What is wrong with a URL is said without repeating it: there may be a password in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from git_credential_relay.broker.config.load import ForgeEntry
from git_credential_relay.broker.errors import BadRequestError
from git_credential_relay.credential.forge import Forge
from git_credential_relay.credential.url import normalise_host, split_url
from git_credential_relay.errors import ProtocolError

SSH = "ssh"
MAX_URL = 2048
_SSH_SCHEMES = ("ssh://", "git+ssh://", "ssh+git://")
# Git's short form: no slash before the first colon, and no `//` after it.
_SCP = re.compile(r"(?:[A-Za-z0-9._-]+@)?(?P<host>[A-Za-z0-9.-]+):(?!//)(?P<path>.+)", re.ASCII)
_SSH_AUTHORITY = re.compile(
    r"(?:[A-Za-z0-9._-]+@)?(?P<host>[A-Za-z0-9.-]+)(?::[0-9]{1,5})?", re.ASCII
)
# Where forges take ssh on the port of https, for those behind a firewall.
_SSH_HOSTS = {"ssh.github.com": "github.com", "altssh.gitlab.com": "gitlab.com"}
_HINT = "https://host/owner/name.git, or git@host:owner/name.git"


@dataclass(frozen=True, slots=True)
class GitUrl:
    """`scheme` is https, http or ssh; `host` has a port only where it is a forge's own."""

    scheme: str
    host: str
    path: str

    @property
    def address(self) -> str:
        """The host's own address, as far as the URL tells it: ssh stands for https."""
        return f"{'https' if self.scheme == SSH else self.scheme}://{self.host}"

    def is_at(self, forge: Forge) -> bool:
        """Whether it means this forge; ssh has a port of its own there, and no path root."""
        if self.scheme == SSH:
            return self.host == forge.host.partition(":")[0]
        return (self.scheme, self.host) == (forge.scheme, forge.host)

    def repository_at(self, forge: Forge) -> str:
        """The repository it means there. Raises BadRequestError where it is none."""
        root = "" if self.scheme == SSH else forge.root
        try:
            return Forge(forge.kind, forge.scheme, forge.host, root).repository(self.path)
        except ProtocolError as error:
            raise _refusal(error.message) from error


def parse_git_url(text: str) -> GitUrl:
    """What git would clone by. Raises BadRequestError, INVALID_GIT_URL."""
    if len(text) > MAX_URL or not text.isascii() or not text.isprintable() or " " in text:
        raise _refusal("it is too long, or has characters that no such URL has")
    lower = text.lower()
    try:
        if lower.startswith(("https://", "http://")):
            return GitUrl(*_split_http(text))
        for scheme in _SSH_SCHEMES:
            if lower.startswith(scheme):
                return _parse_ssh(text[len(scheme) :])
        match = _SCP.fullmatch(text)
        if match is None or "://" in text:
            raise _refusal("it is neither https nor ssh")
        return _ssh(match["host"], match["path"])
    except ProtocolError as error:
        raise _refusal(error.message) from error


def find_forge_of(url: GitUrl, forges: Iterable[ForgeEntry]) -> Forge | None:
    """The configured forge that a URL means; None where there is none.

    Raises BadRequestError for one that could mean two, or that is at the host by another scheme.
    """
    found = {entry.forge.url: entry.forge for entry in forges if url.is_at(entry.forge)}
    if len(found) > 1:
        raise _refusal("several forges have this host name, on different ports")
    return next(iter(found.values()), None)


def _split_http(text: str) -> tuple[str, str, str]:
    authority = text.partition("://")[2].partition("/")[0]
    if "@" in authority:
        raise BadRequestError(
            "the git URL carries a user name or password",
            code="INVALID_GIT_URL",
            hint="take it out of the URL; a user's own token goes into token",
        )
    return split_url(text)


def _parse_ssh(rest: str) -> GitUrl:
    authority, _, path = rest.partition("/")
    match = _SSH_AUTHORITY.fullmatch(authority)
    if match is None:
        raise _refusal("it has no host name")
    return _ssh(match["host"], path)


def _ssh(host: str, path: str) -> GitUrl:
    host = normalise_host(host, "https")
    return GitUrl(SSH, _SSH_HOSTS.get(host, host), path.strip("/"))


def _refusal(cause: str) -> BadRequestError:
    return BadRequestError(f"not a git URL: {cause}", code="INVALID_GIT_URL", hint=_HINT)
