"""gh's side of git's credential protocol: what `gh auth git-credential` reads and prints.

Source: pkg/cmd/auth/gitcredential of gh 2.23 and 2.102, run and read. Unlike the protocol of
git's own helpers the answer repeats protocol and host, a refusal is exit code 1 without a word,
and the request may hold the whole URL in one line.

Where we differ: gh answers for foo.github.com and gist.github.com with the token of github.com;
here a token goes to the one host it was issued for. And `erase` drops the token from the cache.
"""

from __future__ import annotations

from git_credential_relay.credential.attributes import Attributes, parse, serialize
from git_credential_relay.credential.forge import GITHUB, find_target
from git_credential_relay.credential.request import Request
from git_credential_relay.errors import ProtocolError
from git_credential_relay.relay.remotes import parse_address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from git_credential_relay.credential.credential import Credential
    from git_credential_relay.credential.forge import Forge, Target


def parse_gh_request(data: bytes) -> Request:
    """The request in `data`. Raises ProtocolError when it is malformed or names no host."""
    attributes: Attributes = []
    for key, value in parse(data):
        attributes += _url_attributes(value) if key == "url" else [(key, value)]
    return Request(attributes)


def github_target(request: Request, forges: Iterable[Forge], use: str) -> Target | None:
    """What `request` asks for, if it is one of our GitHub hosts over https; else None."""
    if request.protocol != "https":
        return None
    ours = [forge for forge in forges if forge.kind == GITHUB]
    target = find_target(ours, request.protocol, request.host, request.path, use)
    # gh takes no notice of a path; one that names no repository must not cost the answer.
    return target or find_target(ours, request.protocol, request.host, None, use)


def answer(request: Request, credential: Credential) -> bytes:
    """The lines gh prints; whoever is asked for, the user name is the one of the token."""
    lines = serialize(
        [
            ("protocol", request.protocol),
            ("host", request.host),
            ("username", credential.username),
            ("password", credential.password.reveal()),
        ]
    )
    return lines.removesuffix(b"\n")  # gh ends without an empty line


def _url_attributes(url: str) -> Attributes:
    scheme = url.partition("://")[0]
    address = parse_address(url) if scheme == "https" else None
    if address is None:
        raise ProtocolError("not an https URL")
    return [("protocol", scheme), ("host", address.host), ("path", address.path)]
