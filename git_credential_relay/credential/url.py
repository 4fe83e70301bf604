"""Splitting a URL or a host into the parts that may be compared.

Strict on purpose and small on purpose: `urllib.parse` accepts far more than we want to
compare for equality, and would cost more than the rest of a warm `get`.
"""

from __future__ import annotations

from git_credential_relay.errors import ProtocolError

DEFAULT_PORTS = {"https": ":443", "http": ":80"}
_HOST = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-_:[]")


def split_url(url: str) -> tuple[str, str, str]:
    """`scheme://host[:port]/path` as (scheme, normalised host, path without outer slashes).

    Raises ProtocolError for anything else: user info, a query, a fragment, spaces, another
    scheme than http and https.
    """
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in DEFAULT_PORTS:
        raise ProtocolError("not an http or https URL")
    authority, _, path = rest.partition("/")
    if "@" in authority:
        raise ProtocolError("a URL must not carry a user name or password")
    if any(c in "?#\\" or not "!" <= c <= "~" for c in path):
        raise ProtocolError("the URL has a query, a fragment or characters that need escaping")
    return scheme, normalise_host(authority, scheme), path.strip("/")


def normalise_host(host: str, scheme: str) -> str:
    """`host` in the one spelling in which hosts are compared for equality.

    Lower case, without the scheme's default port and without one trailing dot. Nothing else
    is touched: any other port, or a name that only resembles ours, stays different. Raises
    ProtocolError for an empty host, one with characters no host has, or a port that is none.
    """
    if not host.isascii():
        raise ProtocolError("not a host name")  # lower() makes ASCII of the Kelvin sign
    host = host.lower().removesuffix(DEFAULT_PORTS.get(scheme, "")).removesuffix(".")
    if not host or not _HOST.issuperset(host):
        raise ProtocolError("not a host name")
    _, colon, port = host.rpartition("]")[2].partition(":")
    if colon and not (port.isdigit() and len(port) <= 5 and 0 < int(port) <= 65535):
        raise ProtocolError("not a port number")
    return host


def is_loopback(host: str) -> bool:
    """Whether `host[:port]` can only be this machine."""
    name, _, port = host.rpartition(":")
    if not name or "]" in port:
        name = host
    octets = name.split(".")
    return name in ("localhost", "[::1]") or (
        len(octets) == 4
        and octets[0] == "127"
        # Anything else that looks like an address is a name somebody's DNS may answer for.
        and all(o.isdecimal() and len(o) <= 3 and int(o) <= 255 for o in octets)
    )
