"""The head of a request: which shapes are taken, and which headers go on. Pure.

h11 parses, and it is kind: it takes bare line feeds, folded lines, and two lengths that agree. A
proxy that lets pass what the next one reads differently is how requests are smuggled (RFC 9112
§11.2), so here everything of that sort is refused, though our only client never sends it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import h11

from git_credential_relay.credential.url import normalise_host
from git_credential_relay.errors import ProtocolError
from git_credential_relay.relay.sidecar.api_proxy.refusal import BadRequestError

Headers = list[tuple[bytes, bytes]]

# TRACE would hand the token back in its answer, CONNECT is for anywhere.
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"))
SAFE_METHODS = frozenset(("GET", "HEAD"))
# RFC 9110 §7.6.1, and what others invented.
_HOP_BY_HOP = frozenset(
    (
        *(b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate"),
        *(b"proxy-authorization", b"te", b"trailer", b"transfer-encoding", b"upgrade"),
    )
)
# Written anew for the next hop; we answer the expectation ourselves.
_OURS = frozenset((b"host", b"content-length", b"authorization", b"expect"))
_END = re.compile(rb"\n\r?\n")
_TARGET = re.compile(r"/(?!/)[!-~]*")
_DOTS = re.compile(r"(?:\.|%2e){1,2}", re.IGNORECASE)
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_LENGTH = re.compile(rb"[0-9]{1,18}")


class RequestHead:
    """A request without its body. `length` is None where it has none or comes in chunks."""

    __slots__ = ("_headers", "host", "is_chunked", "length", "method", "path", "target")

    def __init__(self, request: h11.Request) -> None:
        self.method = request.method.decode("ascii")
        self.target = request.target.decode("ascii")
        self.path = self.target.partition("?")[0]
        self._headers: Headers = [(bytes(n), bytes(v)) for n, v in request.headers.raw_items()]
        if request.http_version != b"1.1":
            raise BadRequestError("only HTTP/1.1 is spoken here")
        if self.method not in METHODS:
            raise BadRequestError(f"the method {self.method} is not taken")
        _check_target(self.target, self.path)
        self.host = _host(self.values(b"host"))
        self.is_chunked = bool(self.values(b"transfer-encoding"))
        lengths = self.values(b"content-length")
        self.length = int(lengths[0]) if lengths else None

    @property
    def has_body(self) -> bool:
        """Whether anything follows the head."""
        return self.is_chunked or bool(self.length)

    @property
    def is_led_from_elsewhere(self) -> bool:
        """Whether another host redirected gh here, by the Referer that Go's client then sets.

        With a token it would act at this forge as that host pleases; older ones of gh, other
        than newer ones, do not leave theirs out then.
        """
        return any(
            referer.split(b"/")[2:3] != [self.host.encode()] for referer in self.values(b"referer")
        )

    def values(self, name: bytes) -> list[bytes]:
        """Every value of the header called `name`, in lower case."""
        return [value for header, value in self._headers if header.lower() == name]

    def headers_for(self, host: str, authorization: str | None) -> Headers:
        """The headers for the next hop, which is `host`.

        Without `authorization` it is a stranger, who gets nothing that says who asks.
        """
        secret = frozenset() if authorization else frozenset((b"cookie",))
        headers = [(b"Host", host.encode("ascii"))]
        headers += _without(self._headers, _OURS | secret)
        if authorization:
            headers.append((b"Authorization", authorization.encode("ascii")))
        if self.is_chunked:
            headers.append((b"Transfer-Encoding", b"chunked"))
        elif self.length is not None:
            headers.append((b"Content-Length", str(self.length).encode()))
        return headers


def find_end(data: bytes | bytearray, start: int = 0) -> int | None:
    """Where the first head in `data` ends, by the kindest reading; None while it does not."""
    found = _END.search(data, start)
    return found.end() if found else None


def check_head(head: bytes) -> None:
    """Refuse what parsers disagree about. Raises BadRequestError."""
    if not head.endswith(b"\r\n\r\n"):
        raise BadRequestError("a line does not end in CR LF")
    lines = head[:-4].split(b"\r\n")
    for line in lines:
        # After splitting any CR or LF is a bare one. A tab is the one control that may stand here.
        if _CONTROL.search(line):
            raise BadRequestError("the head has control characters")
    if any(line[:1] in (b" ", b"\t", b"") for line in lines):
        raise BadRequestError("the head has an empty or a folded line")
    _check_framing(lines[1:])


def answer_headers(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The headers of an answer for the one who asked: all but those of the hop."""
    given = list(headers)
    is_chunked = any(name.lower() == b"transfer-encoding" for name, _ in given)
    return _without(given, frozenset((b"content-length",)) if is_chunked else frozenset())


def _check_framing(lines: list[bytes]) -> None:
    fields = [line.partition(b":") for line in lines]
    lengths = [value.strip() for name, _, value in fields if name.lower() == b"content-length"]
    codings = [value.strip() for name, _, value in fields if name.lower() == b"transfer-encoding"]
    if len(lengths) + len(codings) > 1:
        raise BadRequestError("the request has more than one length")
    if lengths and not _LENGTH.fullmatch(lengths[0]):
        raise BadRequestError("the length is not a number")
    if codings and codings[0].lower() != b"chunked":
        raise BadRequestError("a transfer coding other than chunked")


def _check_target(target: str, path: str) -> None:
    """Only /path?query. Dots that a server resolves would name another path than we read."""
    if not _TARGET.fullmatch(target) or "#" in target or "\\" in target:
        raise BadRequestError("the request's target is not a path")
    if any(_DOTS.fullmatch(segment) for segment in path.split("/")):
        raise BadRequestError("the request's path has dot segments")


def _host(values: list[bytes]) -> str:
    """The one host, which must already be in the spelling in which hosts are compared."""
    if len(values) != 1:
        raise BadRequestError("the request names no host, or more than one")
    try:
        host = values[0].decode("ascii")
        is_normal = normalise_host(host, "https") == host
    except (UnicodeDecodeError, ProtocolError) as error:
        raise BadRequestError("the Host header is not a host") from error
    if not is_normal:
        raise BadRequestError("the Host header is not in its plain spelling")
    return host


def _without(headers: Headers, names: frozenset[bytes]) -> Headers:
    """`headers` but for `names`, the hop's own, and those that Connection declares to be so."""
    declared = {
        word.strip().lower()
        for name, value in headers
        if name.lower() == b"connection"
        for word in value.split(b",")
    }
    dropped = names | _HOP_BY_HOP | declared
    return [(name, value) for name, value in headers if name.lower() not in dropped]
