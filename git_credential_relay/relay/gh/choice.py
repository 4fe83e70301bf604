"""Which host and repository gh will turn to, by gh's own rules. Pure.

Source: the manual page of each command, `gh help environment`, and gh's remote resolver.
"""

from __future__ import annotations

from git_credential_relay.relay.remotes import Address, parse_address
from git_credential_relay.relay.variables import GITHUB_COM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Final

    from git_credential_relay.relay.gh.arguments import Call

# gh takes the token in GH_TOKEN for github.com, and for these too, where one of github.com does
# not belong; only newer ones do for tenants of ghe.com.
LOCALHOST = "github.localhost"
TENANCY = ".ghe.com"


class Place:
    """A host, and the repository `owner/name` there, where one is meant."""

    __slots__ = ("host", "repository")

    def __init__(self, host: str, repository: str | None = None) -> None:
        self.host: Final = host
        self.repository: Final = repository

    def __repr__(self) -> str:
        return f"Place({self.host}, {self.repository})"


def choose(
    call: Call,
    environ: Mapping[str, str],
    hosts: Iterable[str],
    remotes: Callable[[], Iterable[Address]],
) -> Place:
    """Where `call` goes. `hosts` are the GitHub hosts we know; `remotes` is asked when needed."""
    default = _host(environ.get("GH_HOST", "")) or None
    host = _host(call.hostname or "") or default
    for named in _named(call, environ):
        place = _parse(named)
        if place is not None:
            return Place(place.host or host or GITHUB_COM, place.repository)
    if not call.is_about_here:
        return Place(host or GITHUB_COM)
    path = _api_repository(call.subject or "") if call.words[:1] == ["api"] else None
    known = {*hosts, GITHUB_COM}
    for address in remotes():
        remote = _host(address.host)
        # A tenant may be known to gh from its own login; what is served for it is not for us.
        if remote == host or (host is None and (remote in known or remote.endswith(TENANCY))):
            return Place(remote, path or _owner_and_name(address.path))
    return Place(host or GITHUB_COM, path)


def takes_gh_token(host: str) -> bool:
    """Whether some gh takes the token in GH_TOKEN for `host`."""
    return host in (GITHUB_COM, LOCALHOST) or host.endswith(TENANCY)


def mentions_another_taker(text: str) -> bool:
    """Whether `text` may lead gh to a host besides github.com that it takes GH_TOKEN for."""
    lower = text.lower()
    return TENANCY in lower or LOCALHOST in lower


def _named(call: Call, environ: Mapping[str, str]) -> Iterable[str]:
    """The repositories that are named, the one that counts first."""
    subject = call.subject or ""
    if "://" in subject or (call.subject and call.words[:1] != ["api"]):
        yield subject
    if call.repository:
        yield call.repository
    if environ.get("GH_REPO") and call.is_about_here and not _api_repository(subject):
        yield environ["GH_REPO"]


def _parse(text: str) -> Place | None:
    """`[HOST/]OWNER/NAME` or a URL; the host is empty where none is named."""
    if "://" in text or ("@" in text and ":" in text):
        address = parse_address(text)
        if address is None:
            return None
        host = _host(address.host)
        is_api = address.host.startswith("api.") or address.path.startswith("api/")
        if is_api:
            return Place(host, _api_repository(address.path.removeprefix("api/v3/")))
        if address.host.startswith("gist."):
            return Place(host)
        return Place(host, _owner_and_name(address.path))
    parts = text.split("/")
    if len(parts) == 3 and all(parts):
        return Place(_host(parts[0]), "/".join(parts[1:]))
    return Place("", text) if len(parts) == 2 and all(parts) else None


def _api_repository(path: str) -> str | None:
    """The repository in an API path such as `repos/o/r/pulls`; not gh's placeholders."""
    parts = path.strip("/").partition("?")[0].split("/")
    if len(parts) < 3 or parts[0] != "repos" or any(part[:1] in "{:" for part in parts[1:3]):
        return None
    return "/".join(parts[1:3])


def _owner_and_name(path: str) -> str | None:
    parts = path.split("/")
    return "/".join(parts[:2]).removesuffix(".git") if len(parts) >= 2 else None


def _host(name: str) -> str:
    """`name` as gh compares hosts: its API's and other subdomains count as the host itself."""
    host = name.lower()
    for base in (GITHUB_COM, LOCALHOST):
        if host.endswith("." + base):
            return base
    if host.endswith(TENANCY):
        return host.removesuffix(TENANCY).rpartition(".")[2] + TENANCY
    return host
