"""Where a redirect may lead."""

import asyncio
import ipaddress
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.relay.sidecar.api_proxy.addresses import (
    MAX_ADDRESSES,
    check_name,
    is_public,
    public_addresses,
    resolve,
    split_port,
)
from git_credential_relay.relay.sidecar.api_proxy.refusal import ForeignUrlError, UpstreamError

INSIDE = [
    *("127.0.0.1", "127.8.8.8", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
    *("0.0.0.0", "100.64.0.1", "224.0.0.1", "255.255.255.255", "198.18.0.1"),
    *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "64:ff9b::7f00:1"),
    *("64:ff9b:1::a00:1", "::ffff:0:a00:1", "::a00:1", "fec0::1"),
    *("2002:7f00:1::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2"),
    *("", "store.example", "1", "127.1", "0x7f.1", "017700000001"),
]


def found(addresses):
    """A resolver that knows these."""

    async def find(name, port):
        return addresses

    return find


@pytest.mark.parametrize("address", INSIDE)
def test_addresses_that_are_inside(address):
    """Loopback, private, link-local, shared, multicast, and those hidden in IPv6 ones."""
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["140.82.121.3", "1.1.1.1", "2606:50c0:8000::153", "::ffff:1.1.1.1", "64:ff9b::101:101"],
)
def test_addresses_that_are_outside(address):
    """The Internet's own, through a translator too."""
    assert is_public(address)


@given(st.ip_addresses(network="10.0.0.0/8") | st.ip_addresses(network="192.168.0.0/16"))
def test_no_spelling_of_a_private_address(address):
    """As it is, mapped into IPv6, and behind a translator."""
    number = int(address)
    mapped = ipaddress.IPv6Address((0xFFFF << 32) | number)
    translated = ipaddress.IPv6Address(int(ipaddress.IPv6Address("64:ff9b::")) | number)

    assert not any(is_public(str(spelling)) for spelling in (address, mapped, translated))


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["1.1.1.1", "10.0.0.1"], ["10.0.0.1", "1.1.1.1"], []]
)
def test_one_address_inside_is_one_too_many(addresses):
    """A name that also means something inside is not asked at all."""
    with pytest.raises(ForeignUrlError):
        asyncio.run(public_addresses("store.example", found(addresses), 1))


def test_the_addresses_of_a_public_name():
    """In their order, and not too many of them."""
    many = [f"1.1.1.{number}" for number in range(1, 9)]

    assert asyncio.run(public_addresses("a.example:8443", found(many), 1)) == many[:MAX_ADDRESSES]


def test_a_name_that_is_not_found():
    """It is told as trouble on the way."""

    async def find(name, port):
        raise OSError("no such name")

    with pytest.raises(UpstreamError, match=r"store\.example cannot be resolved"):
        asyncio.run(public_addresses("store.example", find, 1))


def test_a_name_service_that_does_not_answer():
    """It does not hold the request."""

    async def find(name, port):
        await asyncio.Event().wait()
        return []

    with pytest.raises(UpstreamError):
        asyncio.run(public_addresses("store.example", find, 0.01))


def test_the_machines_own_resolver():
    """What this machine calls localhost is not public."""
    with pytest.raises(ForeignUrlError):
        asyncio.run(public_addresses("localhost", resolve, 5))


def test_names_of_strangers_take_nobody_elses_threads():
    """Names that hang are looked up apart from those of forges, and neither keeps the other."""

    async def look():
        is_done = threading.Event()
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        waiting = loop.run_in_executor(None, is_done.wait, 10)
        try:
            return await asyncio.wait_for(resolve("127.0.0.1", 443), 5)
        finally:
            is_done.set()
            await waiting

    assert asyncio.run(look()) == ["127.0.0.1"]


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "x.localhost:8443", "printer.local", "metadata.google.internal"),
        *("127.0.0.1", "169.254.169.254", "[::1]:8443", "2130706433", "127.1", "0x7f.0.0.1"),
    ],
)
def test_names_that_a_proxy_would_look_for_inside(host):
    """Addresses in any spelling, and names that are reserved for inside."""
    with pytest.raises(ForeignUrlError):
        check_name(host)


@pytest.mark.parametrize("host", ["store.example", "store.example:8443", "1.1.1.1", "[2606::1]"])
def test_names_that_a_proxy_may_look_for(host):
    """Which network they are in is then the proxy's to decide."""
    check_name(host)


@pytest.mark.parametrize(
    ("host", "parts"),
    [
        ("a.example", ("a.example", 443)),
        ("a.example:8443", ("a.example", 8443)),
        ("[::1]", ("::1", 443)),
        ("[::1]:8443", ("::1", 8443)),
    ],
)
def test_name_and_port(host, parts):
    """As an https URL has them."""
    assert split_port(host) == parts
