"""The shared cache over a real server: what the server sees, and what it can do to us."""

import asyncio
import logging
import time
from contextlib import asynccontextmanager

import pytest
import trustme

from git_credential_relay.broker.cache.choose import open_cache
from git_credential_relay.broker.cache.memory import MemoryCache
from git_credential_relay.broker.cache.valkey import PAUSE_SECONDS, open_valkey
from git_credential_relay.broker.store.cipher import Cipher, new_key
from git_credential_relay.errors import ConfigError
from tests.fakes.fake_clock import FakeClock
from tests.fakes.servers import PASSWORD, free_port, running_valkey

KEY = "canary-workspace acme/canary-repository"
TOKEN = b"ghs_canary-token"


@pytest.fixture(scope="module")
def shared():
    """One server for the tests that leave it alone."""
    with running_valkey() as server:
        yield server


@pytest.fixture
def server():
    """A server of its own, for tests that take it away."""
    with running_valkey() as server:
        yield server


@pytest.fixture
def clock():
    """The clock by which a server in trouble is left alone."""
    return FakeClock()


@pytest.fixture
def cipher():
    """What the brokers of one test share."""
    return Cipher([new_key()])


@asynccontextmanager
async def connected(url, cipher, clock=None):
    """The cache at `url`."""
    cache = open_valkey(url, cipher, (lambda: clock.ticks) if clock else time.monotonic)
    try:
        yield cache
    finally:
        await cache.aclose()


def test_the_server_learns_nothing(shared, cipher):
    """Neither its memory nor its file on the disk shows a token, or whom it is for."""

    async def scenario():
        async with connected(shared.url, cipher) as cache:
            await cache.put(KEY, TOKEN, 60)
            assert await cache.lead(KEY, 60)
            return await cache.get(KEY)

    assert asyncio.run(scenario()) == TOKEN
    names = shared.ask("KEYS", "*")
    dumps = [shared.ask("DUMP", name) for name in names]
    shared.ask("SAVE")
    written = (shared.directory / "dump.rdb").read_bytes()
    assert len(dumps) == 2
    assert b"git-credential-relay:token:" in written, "looked at the wrong file"
    for seen in (*names, *dumps, written):
        assert b"canary" not in seen


def test_everything_at_the_server_dies_by_itself(shared, cipher):
    """No token and no lead stays when the brokers are gone."""

    async def scenario():
        async with connected(shared.url, cipher) as cache:
            await cache.put(KEY, TOKEN, 60)
            await cache.lead(KEY, 30)

    shared.ask("FLUSHALL")
    asyncio.run(scenario())

    lives = sorted(shared.ask("PTTL", name) for name in shared.ask("KEYS", "*"))
    assert 20_000 < lives[0] <= 30_000
    assert 50_000 < lives[1] <= 60_000


@pytest.mark.parametrize(
    "damage", ["garbage", "empty", "cut", "another key's", "of another broker"]
)
def test_a_wrong_value_is_no_value(shared, cipher, damage):
    """What is not ours, for this very key, is a miss: never an error, never somebody's token."""

    async def scenario():
        async with connected(shared.url, cipher) as cache:
            await cache.put(KEY, TOKEN, 60)
            (name,) = shared.ask("KEYS", "*")
            sealed = shared.ask("GET", name)
            if damage == "another key's":
                await cache.put("another", b"another's token", 60)
                (another,) = set(shared.ask("KEYS", "*")) - {name}
                value = shared.ask("GET", another)
            elif damage == "of another broker":
                value = Cipher([new_key()]).encrypt(b"value")
            else:
                value = {"garbage": b"garbage", "empty": b"", "cut": sealed[:-20]}[damage]
            shared.ask("SET", name, value)
            return await cache.get(KEY), cache.last_trouble

    shared.ask("FLUSHALL")
    assert asyncio.run(scenario()) == (None, None)


def test_a_value_of_another_type_is_no_value(shared, cipher):
    """A list where a text belongs does not fail a vend."""

    async def scenario():
        async with connected(shared.url, cipher) as cache:
            await cache.put(KEY, TOKEN, 60)
            (name,) = shared.ask("KEYS", "*")
            shared.ask("DEL", name)
            shared.ask("LPUSH", name, "value")
            value = await cache.get(KEY)
            await cache.drop(KEY, TOKEN)
            return value

    shared.ask("FLUSHALL")
    assert asyncio.run(scenario()) is None


def test_brokers_with_changed_keys_understand_each_other(shared):
    """While the encryption key is being changed, what the new ones wrote is no trouble to any."""
    old, new = new_key(), new_key()

    async def scenario():
        async with (
            connected(shared.url, Cipher([old])) as before,
            connected(shared.url, Cipher([new, old])) as after,
        ):
            await before.put(KEY, b"old", 60)
            await after.put(KEY, b"new", 60)
            return await before.get(KEY), await after.get(KEY)

    assert asyncio.run(scenario()) == (b"old", b"new")


def test_killed_in_the_middle_everybody_is_answered(server, cipher, clock, caplog):
    """With the server gone, what this broker knows still serves, everybody may mint, none waits."""

    async def scenario():
        async with connected(server.url, cipher, clock) as cache:
            await cache.put(KEY, TOKEN, 60)
            assert await cache.get(KEY) == TOKEN
            server.kill()
            got = await asyncio.gather(*(cache.get(KEY) for _ in range(1000)))
            lead = await cache.lead(KEY, 60)
            await cache.put("new", b"minted meanwhile", 60)
            await lead.release()
            during = cache.last_trouble, await cache.get("new"), await cache.get("other")
            server.start()
            clock.advance(PAUSE_SECONDS)
            await cache.ping()
            await cache.put(KEY, b"after", 60)
            return set(got), lead, during, cache.last_trouble, await cache.get(KEY)

    with caplog.at_level(logging.INFO):
        got, lead, during, trouble, after = asyncio.run(scenario())

    assert got == {TOKEN}
    assert lead is not None
    assert during == ("no connection", b"minted meanwhile", None)
    assert (trouble, after) == (None, b"after")
    assert [record.getMessage() for record in caplog.records] == [
        "the shared cache cannot be used: no connection",
        "the shared cache can be used again",
    ]


def test_a_restart_between_two_requests_is_not_noticed(server, cipher):
    """Connections that died with the old server are no trouble once there is a new one."""

    async def scenario():
        async with connected(server.url, cipher) as cache:
            await cache.put(KEY, TOKEN, 60)
            server.kill()
            server.start()
            await asyncio.sleep(0)
            empty = await cache.get(KEY)
            await cache.put(KEY, TOKEN, 60)
            return empty, await cache.get(KEY), cache.last_trouble

    assert asyncio.run(scenario()) == (None, TOKEN, None)


def test_a_hanging_server_costs_one_short_wait(server, cipher, clock):
    """A server that takes requests and never answers is left alone after the first of them."""

    async def scenario():
        async with connected(server.url, cipher, clock) as cache:
            await cache.put(KEY, TOKEN, 60)
            server.hang()
            begin = time.monotonic()
            got = await asyncio.gather(*(cache.get(KEY) for _ in range(100)))
            first = time.monotonic() - begin
            begin = time.monotonic()
            for _ in range(100):
                got.append(await cache.get(KEY))
                await cache.put(KEY, TOKEN, 60)
                await (await cache.lead(KEY, 60)).release()
            rest = time.monotonic() - begin
            trouble = cache.last_trouble
            server.resume()
            clock.advance(PAUSE_SECONDS)
            await cache.ping()
            return set(got), first, rest, trouble, cache.last_trouble

    got, first, rest, trouble, after = asyncio.run(scenario())

    assert got == {TOKEN}
    assert first < 5
    assert rest < 5, "300 waits would take 150 seconds"
    assert (trouble, after) == ("no answer in time", None)


def test_a_late_answer_is_nobody_elses(server, cipher, clock):
    """What a hanging server answers at last is not taken for the answer to the next question."""

    async def scenario():
        async with connected(server.url, cipher, clock) as cache:
            for number in range(20):
                await cache.put(f"{number}", b"%d" % number, 60)
            server.hang()
            await asyncio.gather(*(cache.get(f"{number}") for number in range(20)))
            server.resume()
            clock.advance(PAUSE_SECONDS)
            await cache.ping()
            answers = [await cache.get(f"{number}") for number in reversed(range(20))]
            return answers, cache.last_trouble

    expected = [b"%d" % number for number in reversed(range(20))]
    assert asyncio.run(scenario()) == (expected, None)


def test_what_was_dropped_while_the_server_hung_stays_dropped(server, cipher, clock):
    """A refused token does not come back from a server that could not be told."""

    async def scenario():
        async with connected(server.url, cipher, clock) as cache:
            await cache.put(KEY, TOKEN, 60)
            server.hang()
            await cache.drop(KEY, TOKEN)
            server.resume()
            clock.advance(PAUSE_SECONDS)
            await cache.ping()
            return await cache.get(KEY), cache.last_trouble

    assert asyncio.run(scenario()) == (None, None)


def test_a_full_server_is_no_outage(server, cipher, clock):
    """A server that takes nothing more says so, and this broker goes on by itself."""
    server.ask("CONFIG", "SET", "maxmemory", "1")

    async def scenario():
        async with connected(server.url, cipher, clock) as cache:
            await cache.put(KEY, TOKEN, 60)
            return await cache.get(KEY), cache.last_trouble

    assert asyncio.run(scenario()) == (TOKEN, "it refuses: OutOfMemoryError")


@pytest.mark.parametrize(
    "url",
    [
        "valkey://:canary@127.0.0.1:{port}/0",
        "redis://canary:canary@127.0.0.1:{port}/0",
    ],
)
def test_a_refused_password_is_told_without_it(shared, cipher, url, caplog):
    """A wrong password is no outage, and is nowhere to be read."""

    async def scenario():
        async with connected(url.format(port=shared.port), cipher) as cache:
            await cache.ping()
            return cache.last_trouble, repr(cache), await cache.lead(KEY, 60)

    with caplog.at_level(logging.DEBUG):
        trouble, text, lead = asyncio.run(scenario())

    assert trouble == "the password is not accepted"
    assert lead is not None
    assert "canary" not in trouble + text + caplog.text


def test_a_server_that_is_away_at_the_start_is_no_outage(cipher, clock):
    """The broker starts without it, and uses it once it is there."""

    async def scenario():
        url = f"valkey://:{PASSWORD}@127.0.0.1:{free_port()}/0"
        async with connected(url, cipher, clock) as cache:
            await cache.put(KEY, TOKEN, 60)
            return await cache.get(KEY), cache.last_trouble

    assert asyncio.run(scenario()) == (TOKEN, "no connection")


@pytest.mark.parametrize("scheme", ["valkey", "redis"])
def test_both_names_of_the_scheme_work(shared, cipher, scheme):
    """The same server, whatever its maker calls it."""

    async def scenario():
        async with connected(shared.url.replace("valkey", scheme, 1), cipher) as cache:
            await cache.ping()
            return cache.last_trouble

    assert asyncio.run(scenario()) is None


def test_a_unix_socket_works(shared, cipher):
    """A server beside the broker needs no port."""

    async def scenario():
        async with connected(shared.socket_url, cipher) as cache:
            await cache.put(KEY, TOKEN, 60)
            return await cache.get(KEY), cache.last_trouble

    assert asyncio.run(scenario()) == (TOKEN, None)


@pytest.mark.parametrize(
    ("name", "is_trusted", "trouble"),
    [
        ("127.0.0.1", True, None),
        ("elsewhere.example", True, "its certificate is not accepted"),
        ("127.0.0.1", False, "its certificate is not accepted"),
    ],
)
def test_tls_is_only_for_the_right_server(tmp_path, cipher, name, is_trusted, trouble):
    """A certificate for another name, or of nobody we trust, gets neither password nor token."""
    authority = trustme.CA()
    certificate = authority.issue_cert(name)
    files = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate.cert_chain_pems[0].write_to_path(files[0])
    certificate.private_key_pem.write_to_path(files[1])
    trusted = tmp_path / "authority.pem"
    (authority if is_trusted else trustme.CA()).cert_pem.write_to_path(trusted)

    async def scenario(port):
        url = f"rediss://:{PASSWORD}@127.0.0.1:{port}/0?ssl_ca_certs={trusted}"
        async with connected(url, cipher) as cache:
            await cache.ping()
            return cache.last_trouble

    with running_valkey(files) as server:
        assert asyncio.run(scenario(server.tls_port)) == trouble


@pytest.mark.parametrize(
    "url",
    [
        "",
        "canary",
        "http://canary@host",
        "memcached://canary",
        "valkey://:canary@host:port/0",
        "valkey://:canary@host/0?no_such_option=1",
        "valkey://:canary@host/0?socket_timeout=canary",
    ],
)
def test_a_url_of_nothing_we_know_is_refused(cipher, url):
    """A mistyped address is found at the start, and is not repeated: it may hold a password."""
    with pytest.raises(ConfigError) as caught:
        open_cache(url, cipher)

    assert "canary" not in f"{caught.value!r} {caught.value.hint}"
    assert caught.value.__suppress_context__


def test_without_a_url_memory_serves(cipher):
    """A single broker needs no server."""
    assert isinstance(open_cache(None, cipher), MemoryCache)
