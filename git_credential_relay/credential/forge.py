"""Which hosts are ours, and which repository of theirs a path names."""

from __future__ import annotations

from git_credential_relay.credential.url import normalise_host
from git_credential_relay.errors import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

GITHUB = "github"
GITLAB = "gitlab"
FORGEJO = "forgejo"
KINDS = (GITHUB, GITLAB, FORGEJO)
# Any other forge, known to the broker alone, which has a token for it.
STATIC = "static"
_NESTING = frozenset((GITLAB, STATIC))

# The user name that goes with a token. Forgejo wants the bot's own login: a wrong one next to
# the right password is a 401 that says nothing, so there is no default.
USERNAMES = {GITHUB: "x-access-token", GITLAB: "oauth2"}

# Anything else is refused rather than escaped: `..` names another repository once the HTTP
# client has resolved it, `?` and `#` end the path the forge sees.
_SEGMENT = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~+")


class Forge:
    """A host we may answer for: its kind, scheme, `host[:port]` and the path it lives under.

    `is_named` tells a host somebody configured (a failure there is worth a message) from one
    that is only asked about because the API might know it.
    """

    __slots__ = ("host", "is_named", "kind", "root", "scheme")

    def __init__(
        self, kind: str, scheme: str, host: str, root: str = "", is_named: bool = True
    ) -> None:
        self.kind: Final = kind
        self.scheme: Final = scheme
        self.host: Final = host
        self.root: Final = root
        self.is_named: Final = is_named

    @property
    def url(self) -> str:
        """The forge's address, with the path it lives under."""
        return f"{self.scheme}://{self.host}" + (f"/{self.root}" if self.root else "")

    @property
    def username(self) -> str | None:
        """The user name that goes with a token of this kind of forge, where it is fixed."""
        return USERNAMES.get(self.kind)

    def repository(self, path: str) -> str:
        """`owner/name` of what git sent as path; `a/b/c` too where groups nest (GitLab).

        Raises ProtocolError for everything else: a token must be bound to one repository, so
        a path that could name two is none.
        """
        segments = path.strip("/").split("/")
        if self.root:
            root = self.root.split("/")
            if segments[: len(root)] != root:
                raise ProtocolError("the path is not below the forge's own")
            segments = segments[len(root) :]
        if len(segments) < 2 or (len(segments) > 2 and self.kind not in _NESTING):
            raise ProtocolError("the path is not owner/name")
        segments[-1] = segments[-1].removesuffix(".git")
        for segment in segments:
            if segment in ("", ".", "..") or not _SEGMENT.issuperset(segment):
                raise ProtocolError("the path has a segment no repository has")
        return "/".join(segments)

    def __repr__(self) -> str:
        return f"Forge({self.kind}, {self.url})"


class Target:
    """What a credential is asked for: one repository of one forge, for git or for its API.

    `repository` is None when git did not say (useHttpPath is off); that is a target of its
    own and stands for no other.
    """

    __slots__ = ("forge", "repository", "use")

    def __init__(self, forge: Forge, repository: str | None, use: str = "git") -> None:
        self.forge: Final = forge
        self.repository: Final = repository
        self.use: Final = use

    def for_use(self, use: str) -> Target:
        """The same repository for another use."""
        return Target(self.forge, self.repository, use)

    def __str__(self) -> str:
        return self.forge.url + (f"/{self.repository}" if self.repository else "")


def find_target(
    forges: Iterable[Forge], protocol: str, host: str, path: str | None, use: str = "git"
) -> Target | None:
    """The target that git's protocol, host and path name, or None when it is not ours.

    Hosts are compared for equality after normalising, never by pattern. Scheme and port count:
    `http://` to an https forge, or another port of it, is somebody else.
    """
    scheme = protocol.lower()
    try:
        host = normalise_host(host, scheme)
    except ProtocolError:
        return None
    candidates = [forge for forge in forges if (forge.host, forge.scheme) == (host, scheme)]
    if not path:
        # Which of two forges on one host is meant only the path tells.
        is_clear = len({forge.root for forge in candidates}) == 1
        return Target(candidates[0], None, use) if is_clear else None
    for forge in candidates:
        try:
            return Target(forge, forge.repository(path), use)
        except ProtocolError:
            continue
    return None
