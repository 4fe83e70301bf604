"""Where a redirect may lead: never into the network that the sidecar is in.

The agent cannot reach that network itself, and whoever can make a forge redirect (a release's
asset, a page) could otherwise have the sidecar ask there: server-side request forgery.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from git_credential_relay.relay.sidecar.api_proxy.refusal import ForeignUrlError, UpstreamError

Resolve = Callable[[str, int], Awaitable[list[str]]]
HTTPS_PORT = 443
# Of its own: names that never resolve must not take the threads in which the forges' own do.
_LOOKUPS = ThreadPoolExecutor(4, thread_name_prefix="redirect")
MAX_ADDRESSES = 4
# RFC 6052: an IPv4 address that a translator reaches for us.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# All that is given out to networks. Beyond it are translators' own prefixes (RFC 8215, 7915).
_GLOBAL = ipaddress.ip_network("2000::/3")
# RFC 6762 appendix G and ICANN's `internal`; `svc` is Kubernetes' by its search list. A name
# without a dot is looked up nowhere else either.
_INSIDE = frozenset(
    (
        *("localhost", "local", "internal", "intranet", "private"),
        *("corp", "home", "lan", "arpa", "svc"),
    )
)


def split_port(host: str) -> tuple[str, int]:
    """`name[:port]` of an https URL as name, without an address's brackets, and port."""
    name, colon, port = host.rpartition(":")
    if not colon or "]" in port:
        name, port = host, ""
    return name.removeprefix("[").removesuffix("]"), int(port or HTTPS_PORT)


def is_public(address: str) -> bool:
    """Whether an IP address is anybody's on the Internet, and nothing within it is not."""
    try:
        number = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(number, ipaddress.IPv6Address):
        if number.scope_id or number.sixtofour or number.teredo:
            return False
        inner = number.ipv4_mapped
        if number in _NAT64:
            inner = ipaddress.IPv4Address(int(number) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if number not in _GLOBAL:
            return False
    return number.is_global and not number.is_multicast


async def resolve(name: str, port: int) -> list[str]:
    """The addresses of `name`, in the order in which they should be tried. Raises OSError."""
    loop = asyncio.get_running_loop()
    find = partial(socket.getaddrinfo, name, port, type=socket.SOCK_STREAM)
    found = await loop.run_in_executor(_LOOKUPS, find)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def public_addresses(host: str, find: Resolve, seconds: float) -> list[str]:
    """The addresses to connect to for `host[:port]`.

    Connecting to them, and not to the name, is what keeps a name from meaning something else a
    moment later. Raises ForeignUrlError when any of them is not public.
    """
    name, port = split_port(host)
    try:
        async with asyncio.timeout(seconds):
            addresses = await find(name, port)
    except (OSError, UnicodeError) as error:
        raise UpstreamError(f"the name {name} cannot be resolved") from error
    if not addresses or not all(is_public(address) for address in addresses):
        raise not_public(name)
    return addresses[:MAX_ADDRESSES]


def check_name(host: str) -> None:
    """For a host that a proxy will resolve: refuse what can only be inside.

    Raises ForeignUrlError.
    """
    name, _ = split_port(host)
    last = name.rpartition(".")[2]
    # A numeric last label makes an address of it (WHATWG URL §3.5), in spellings nobody needs.
    is_address = ":" in name or last[:1].isdigit()
    if (is_address and not is_public(name)) or last in _INSIDE or (not is_address and last == name):
        raise not_public(name)


def not_public(name: str) -> ForeignUrlError:
    """Why `name` is not asked."""
    return ForeignUrlError(
        f"{name} is not on the Internet, and a redirect leads nowhere else",
        hint="add it to GIT_CREDENTIAL_RELAY_HOSTS if it is the forge",
    )
