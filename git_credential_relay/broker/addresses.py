"""Whose address a request came from, and which addresses count as one client. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from git_credential_relay.errors import ConfigError

Network = IPv4Network | IPv6Network
UNKNOWN = "-"
# What one customer of a provider has to himself: with fewer bits he would have 2^64 addresses.
_IPV6_PREFIX = 64


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """The networks of `trusted_proxies`. Raises ConfigError."""
    networks = []
    for text in texts:
        try:
            networks.append(ip_network(text))
        except ValueError as error:
            raise ConfigError(
                f"trusted_proxies: not a network: {text!r}", hint='as in "10.0.0.0/8"'
            ) from error
    return tuple(networks)


def client_address(scope: Mapping[str, Any], trusted: Sequence[Network]) -> str:
    """The address of the client: the peer, or whom trusted proxies say they speak for.

    X-Forwarded-For is read from the right, where each proxy adds whom it heard from. What is
    left of the first address that is not a trusted proxy anybody can have written.
    """
    client = scope.get("client")
    peer: str = client[0] if client else UNKNOWN
    if not trusted or not _is_trusted(peer, trusted):
        return peer
    for hop in reversed(_forwarded_for(scope)):
        address = _parse(hop)
        if address is None:
            return peer
        peer = str(address)
        if not _is_trusted(peer, trusted):
            return peer
    return peer


def client_scheme(scope: Mapping[str, Any], trusted: Sequence[Network]) -> str:
    """How the client came: `https` also where a trusted proxy says that it took the TLS off.

    Of several values the last counts, which is that proxy's own.
    """
    scheme: str = scope.get("scheme", "http")
    client = scope.get("client")
    if not trusted or not client or not _is_trusted(client[0], trusted):
        return scheme
    values = [value for name, value in scope["headers"] if name == b"x-forwarded-proto"]
    said = b",".join(values).rpartition(b",")[2].strip().lower()
    return said.decode() if said in (b"http", b"https") else scheme


@lru_cache(maxsize=8192)
def bucket_key(address: str) -> str:
    """What is counted as one client: an IPv4 address, or the network of an IPv6 one."""
    if ":" not in address:
        return address
    parsed = _parse(address)
    if not isinstance(parsed, IPv6Address):
        return str(parsed or address)
    return str(ip_network((int(parsed), _IPV6_PREFIX), strict=False))


def _forwarded_for(scope: Mapping[str, Any]) -> list[str]:
    values = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    text = b",".join(values).decode("latin-1")
    return [hop.strip() for hop in text.split(",")] if values else []


@lru_cache(maxsize=1024)
def _is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    parsed = _parse(address)
    return parsed is not None and any(
        parsed.version == network.version and parsed in network for network in trusted
    )


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.strip("[]"))
    except ValueError:
        return None
    # As a socket for both families names IPv4 peers.
    return getattr(address, "ipv4_mapped", None) or address
