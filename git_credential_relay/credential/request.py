"""What git asks a helper, read from its attributes: pure, but for who hands the bytes in."""

from __future__ import annotations

from git_credential_relay.credential.attributes import Attributes, collect, last, parse
from git_credential_relay.errors import ProtocolError
from git_credential_relay.secret import Secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

# Git's requests are a few hundred bytes; 401 answers with many wwwauth[] some thousand.
MAX_REQUEST = 256 * 1024

# state[] values carry the helper's name so that helpers do not read each other's. The rest is
# the hash of the token we gave: when git asks again, that token was refused.
STATE_PREFIX = "git-credential-relay:"
_BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")


class Request:
    """One request of git's: what it wants (`get`) or reports (`store`, `erase`).

    `refused_sha256` is the hash of the token that we gave earlier in the same git command and
    that the server refused (git >= 2.46 hands our state back), else None.
    """

    __slots__ = (
        "host",
        "knows_authtype",
        "knows_state",
        "password",
        "path",
        "protocol",
        "refused_sha256",
        "username",
    )

    def __init__(self, attributes: Attributes) -> None:
        protocol = last(attributes, "protocol")
        host = last(attributes, "host")
        if not protocol or not host:
            # A missing field must not act as a wildcard (CVE-2020-11008).
            raise ProtocolError("the request names no protocol or no host")
        password = last(attributes, "password")
        capabilities = collect(attributes, "capability[]")
        self.protocol: Final = protocol
        self.host: Final = host
        self.path: Final = last(attributes, "path")
        self.username: Final = last(attributes, "username")
        self.password: Final = Secret(password) if password else None
        self.knows_authtype: Final = "authtype" in capabilities
        self.knows_state: Final = "state" in capabilities
        self.refused_sha256: Final = _own_state(collect(attributes, "state[]"))


def read_request(read: Callable[[int], bytes]) -> bytes:
    """The bytes up to git's empty line or the end; not more, whoever keeps the pipe open.

    Raises ProtocolError when there is no end to them.
    """
    data = b""
    while len(data) < MAX_REQUEST:
        chunk = read(65536)
        data += chunk
        if not chunk or b"\n\n" in data[-len(chunk) - 1 :] or data.startswith(b"\n"):
            return data
    raise ProtocolError("the request is too long")


def parse_request(data: bytes) -> Request:
    """The request in `data`. Raises ProtocolError when it is malformed or names no host."""
    return Request(parse(data))


def _own_state(states: list[str]) -> str | None:
    for state in states:
        sha256 = state.removeprefix(STATE_PREFIX)
        # Others may write our name too, and this becomes an HTTP header.
        if state.startswith(STATE_PREFIX) and sha256 and _BASE64.issuperset(sha256):
            return sha256
    return None
