"""GitLab's OAuth pair: one writer, never lost, never refreshed for nothing."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from git_credential_relay.broker.errors import ForgeRefusedError, ForgeUnavailableError
from git_credential_relay.broker.sources.gitlab.held import HeldTokenSource
from git_credential_relay.broker.sources.http import ATTEMPT_SECONDS
from git_credential_relay.broker.sources.interface import Lease, Minted, TokenSource
from git_credential_relay.broker.store.oauth_pairs import PairState, lock_pair, read_state
from git_credential_relay.errors import ConfigError
from git_credential_relay.secret import token_sha256
from tests.fakes.gitlab import (
    CLIENT_SECRET,
    REPOSITORY,
    Clock,
    GitLabWorld,
    deadline,
    scope_of,
    use,
)

OAUTH = "/oauth/token"


@pytest.fixture
def clock() -> Clock:
    """The clock of forge and broker."""
    return Clock()


@pytest.fixture
def world(clock: Clock) -> Iterator[GitLabWorld]:
    """A GitLab whose pair is in the broker's files."""
    with GitLabWorld(clock) as world:
        world.write_pair()
        yield world
        assert world.faults.violations == []


def source_of(world: GitLabWorld) -> TokenSource:
    """A source as another broker process on the same database would have it."""
    config = world.oauth_config()
    return world.source(config, world.store())


def mint(world: GitLabWorld) -> Minted:
    """A token of a broker of its own."""
    return asyncio.run(use(source_of(world), ask))


async def ask(source: TokenSource) -> Minted:
    """A token for the repository there is."""
    return await source.mint(scope_of(), _LEASE, deadline(15))


# An OAuth token belongs to no lease.
_LEASE = Lease("none", "w1", "lab", 0)


def state_of(world: GitLabWorld) -> PairState:
    """What the database has."""
    store = world.store()
    return asyncio.run(store.run(read_state, store.cipher, "lab", None, world.now()))


def works(world: GitLabWorld, minted: Minted) -> bool:
    """Whether git can push with the token."""
    return world.git_works(minted.token, minted.username, REPOSITORY, push=True)


def test_pushes_as_oauth2_until_the_pair_is_due(world, clock):
    """One refresh gives a token for all who ask while enough of its life is left."""
    first = mint(world)
    assert works(world, first)
    assert (first.username, first.is_ours, first.repositories) == ("oauth2", False, ())
    assert first.expires_at in (int(clock()) + 7199, int(clock()) + 7200, int(clock()) + 7201)
    clock.seconds += 6000
    assert mint(world).token == first.token
    assert world.gitlab.counts["refresh"] == 1
    clock.seconds += 700
    second = mint(world)
    assert second.token != first.token
    assert works(world, second)
    assert world.gitlab.counts["refresh"] == 2


def test_a_promise_longer_than_a_tokens_life_is_not_kept_at_others_cost(world):
    """Who asks does not end the token that another one has just got."""
    config = world.oauth_config("min_lifetime = 7200")
    first, second = (asyncio.run(use(world.source(config, world.store()), ask)) for _ in range(2))
    assert first.token == second.token


def test_many_askers_and_brokers_refresh_once(world):
    """Twenty requests at two brokers on one database lead to one refresh."""

    async def crowd() -> list[Minted]:
        sources = [source_of(world), source_of(world)]
        try:
            return await asyncio.gather(*(ask(sources[n % 2]) for n in range(20)))
        finally:
            for source in sources:
                await source.aclose()

    tokens = {minted.token for minted in asyncio.run(crowd())}
    assert len(tokens) == 1
    assert world.gitlab.counts["refresh"] == 1


def test_a_rejected_token_is_refreshed_and_only_that_one(world):
    """A token that the forge refused is not given again; an older one's refusal changes nothing."""

    async def rejected(source):
        first = await ask(source)
        await source.reject(token_sha256(first.token))
        second = await ask(source)
        await source.reject(token_sha256(first.token))
        return first, second, await ask(source)

    first, second, third = asyncio.run(use(source_of(world), rejected))
    assert first.token != second.token == third.token


def test_an_answer_that_is_lost_ends_in_reconnect(world):
    """Never sent twice in a doubt; and if the forge did act, a person is told what to do."""
    world.faults.inject("POST", OAUTH, drops="after")
    with pytest.raises(ForgeUnavailableError) as unclear:
        mint(world)
    assert unclear.value.code == "FORGE_UNAVAILABLE"
    assert world.gitlab.counts["refresh"] == 1
    with pytest.raises(ForgeRefusedError) as caught:
        mint(world)
    assert caught.value.code == "FORGE_OAUTH_RECONNECT"
    assert "refresh_token_file" in (caught.value.hint or "")


def test_an_answer_that_never_was_is_asked_for_again(world):
    """If the forge did not act, the next request's refresh succeeds."""
    world.faults.inject("POST", OAUTH, drops="before")
    with pytest.raises(ForgeUnavailableError):
        mint(world)
    assert works(world, mint(world))


@pytest.mark.parametrize("status", [500, 503])
def test_trouble_of_the_forge_is_no_verdict_on_the_pair(world, status):
    """A 5xx is not tried again by itself and leaves the pair as it is."""
    world.faults.inject("POST", OAUTH, status=status, body="<html>", content_type="text/html")
    with pytest.raises(ForgeUnavailableError):
        mint(world)
    assert world.faults.count("POST", OAUTH) == 1
    assert works(world, mint(world))


def test_too_many_requests_say_when(world):
    """A plain 429 becomes an answer with the time to wait."""
    world.faults.inject(
        "POST", OAUTH, status=429, body="Retry later\n", headers={"Retry-After": "7"}
    )
    with pytest.raises(ForgeUnavailableError) as caught:
        mint(world)
    assert (caught.value.code, caught.value.retry_after) == ("FORGE_RATE_LIMITED", 7)


def test_a_wrong_client_is_told_apart(world):
    """A client secret that is wrong is no reason to authorise the application anew."""
    world.write("oauth.secret", "another")
    with pytest.raises(ForgeRefusedError) as caught:
        mint(world)
    assert caught.value.code == "FORGE_OAUTH_REFUSED"
    world.write("oauth.secret", CLIENT_SECRET)
    assert works(world, mint(world))


def test_a_dead_pair_is_asked_about_once_and_stays(world, clock):
    """After invalid_grant the pair is kept, and the forge is left alone."""
    mint(world)
    before = state_of(world)
    world.gitlab.forget_pairs()
    clock.seconds += 7000

    async def twice(source):
        for _ in range(2):
            with pytest.raises(ForgeRefusedError, match="refresh token"):
                await ask(source)

    asyncio.run(use(source_of(world), twice))
    assert world.gitlab.counts["refresh"] == 2
    assert state_of(world).pair == before.pair


def test_a_new_seed_reconnects_without_a_restart(world, clock):
    """Writing a new refresh token into the file is all a person has to do."""
    mint(world)
    world.gitlab.forget_pairs()
    clock.seconds += 7000

    async def reconnect(source):
        with pytest.raises(ForgeRefusedError):
            await ask(source)
        world.write_pair()
        return await ask(source)

    assert works(world, asyncio.run(use(source_of(world), reconnect)))


def test_a_seed_that_is_no_good_harms_nothing(world, clock):
    """Rubbish in the file does not take the place of a pair that lives, nor is it tried twice."""
    mint(world)
    world.write("oauth.refresh", "rubbish")
    clock.seconds += 7000
    assert works(world, mint(world))
    assert works(world, mint(world))
    assert world.gitlab.counts["refresh"] == 3


def test_a_broker_with_the_older_file_does_not_bring_it_back(world):
    """Two brokers with different files end with the newer pair, whoever starts last."""
    old = (world.directory / "oauth.refresh").read_text()
    mint(world)
    world.write_pair()
    newer = mint(world)
    (world.directory / "oauth.refresh").write_text(old)
    assert mint(world).token == newer.token


def test_the_seed_may_be_removed_after_its_use(world, clock):
    """The file is needed once; without pair and file the hint says what to do."""
    with_pair = mint(world)
    (world.directory / "oauth.refresh").unlink()
    assert mint(world).token == with_pair.token
    with GitLabWorld(clock) as empty:
        empty.write("oauth.secret", CLIENT_SECRET)
        with pytest.raises(ForgeRefusedError) as caught:
            mint(empty)
        assert caught.value.code == "FORGE_OAUTH_RECONNECT"


def test_a_held_lock_is_waited_for_and_a_dead_ones_ends(world, clock):
    """Who finds the lock taken waits; a lock whose holder died ends by its time."""
    config = world.oauth_config()
    store = world.store()

    async def locked(source):
        now = clock()
        assert await store.run(lock_pair, store.cipher, "lab", "dead", now, now + 30)
        with pytest.raises(ForgeUnavailableError) as caught:
            await source.mint(scope_of(), _LEASE, deadline(1.5))
        assert caught.value.retry_after
        clock.seconds += 31
        return await ask(source)

    assert works(world, asyncio.run(use(world.source(config, store), locked)))


BROKER = """
    import asyncio, sys, time
    from pathlib import Path
    from git_credential_relay.broker.config.load import parse_config
    from git_credential_relay.broker.sources.gitlab.source import gitlab_source
    from git_credential_relay.broker.sources.hooks import SourceHooks
    from git_credential_relay.broker.sources.interface import Lease, Repository, Scope
    from git_credential_relay.broker.store.cipher import load_cipher
    from git_credential_relay.broker.store.engine import resolve_database_url
    from git_credential_relay.broker.store.store import Store

    async def main():
        path = Path(sys.argv[1])
        config = parse_config(path, path.read_text())
        store = Store.open(resolve_database_url(config), load_cipher(config))
        source = gitlab_source(config.forges[0], config, store, SourceHooks())
        scope = Scope((Repository("acme/tools/app"),), {"contents": "write"}, "git")
        await source.mint(scope, Lease('none', 'w1', 'lab', 0), time.monotonic() + 30)

    asyncio.run(main())
"""


def test_kill_during_a_refresh_loses_no_pair(world):
    """The pair that the forge makes after the broker was killed is in the database."""
    config = world.oauth_config()
    config.path.write_text(config.text)
    world.store()
    world.faults.inject("POST", OAUTH, delay_seconds=20)
    program = [sys.executable, "-I", "-c", textwrap.dedent(BROKER), str(config.path)]
    broker = subprocess.Popen(program, start_new_session=True)
    wait_for(lambda: world.faults.count("POST", OAUTH) == 1)
    os.killpg(broker.pid, signal.SIGKILL)  # with all that is in its group
    broker.wait(timeout=10)
    assert state_of(world).pair is None
    world.faults.release()
    wait_for(lambda: state_of(world).pair is not None)
    assert works(world, mint(world))
    assert world.gitlab.counts["refresh"] == 1


def test_a_broker_that_stops_does_not_end_the_refresh(world):
    """The forge's answer is waited for and written down, however long it and however short we."""
    world.faults.inject("POST", OAUTH, delay_seconds=20)

    async def stopped() -> None:
        source: Any = source_of(world)
        minting = asyncio.ensure_future(ask(source))
        await asyncio.to_thread(wait_for, lambda: world.faults.count("POST", OAUTH) == 1)
        minting.cancel()
        await HeldTokenSource.aclose(source)  # and the loop ends in the middle of the refresh

    asyncio.run(stopped())
    gc.collect()  # as at the end of a process
    time.sleep(ATTEMPT_SECONDS + 0.3)  # longer than any other request is waited for
    world.faults.release()
    wait_for(lambda: state_of(world).pair is not None)
    assert works(world, mint(world))
    assert world.gitlab.counts["refresh"] == 1


def test_a_caller_who_gives_up_does_not_end_the_refresh(world):
    """A request that is cancelled in the middle leaves a pair for the next one."""
    world.faults.inject("POST", OAUTH, delay_seconds=20)

    async def impatient(source):
        with pytest.raises(ForgeUnavailableError):
            await source.mint(scope_of(), _LEASE, deadline(1.2))
        world.faults.release()
        return await ask(source)

    assert works(world, asyncio.run(use(source_of(world), impatient)))
    assert world.gitlab.counts["refresh"] == 1


def test_secrets_are_neither_in_arguments_nor_at_rest_nor_in_reprs(world):
    """Tokens go through a pipe and are encrypted in the database."""
    world.faults.inject("POST", OAUTH, delay_seconds=20)
    refresh = (world.directory / "oauth.refresh").read_text().strip()
    seen: list[str] = []

    async def watch(source):
        minting = asyncio.create_task(ask(source))
        await asyncio.to_thread(wait_for, lambda: world.faults.count("POST", OAUTH) == 1)
        seen.extend(await asyncio.to_thread(children))
        world.faults.release()
        return await minting

    minted = asyncio.run(use(source_of(world), watch))
    world.store().close()  # to read its files before would take its locks away
    files = b"".join(path.read_bytes() for path in world.directory.glob("broker.db*"))
    assert any("gitlab.refresh" in text for text in seen)
    for secret in (refresh, minted.token.reveal(), CLIENT_SECRET):
        assert not any(secret in text for text in seen)
        assert secret.encode() not in files
        assert secret not in repr(minted)


def test_needs_the_database(world):
    """Without a database there is nowhere to keep a pair, so the source is not made."""
    with pytest.raises(ConfigError, match="database"):
        world.source(world.oauth_config(), None)


def test_verify_says_what_the_user_may(world):
    """The pair's own user is asked about, and nothing is minted."""
    verified = asyncio.run(
        use(source_of(world), lambda s: s.verify(REPOSITORY, {"contents": "write"}))
    )
    assert verified.repository.id == world.project
    assert not verified.missing


def wait_for(is_so: Callable[[], bool]) -> None:
    """Return once it is so."""
    end = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


def children() -> list[str]:
    """Arguments and environment of the processes that refresh."""
    listed = subprocess.run(
        ["ps", "eww", "-o", "args=", "--ppid", str(os.getpid())],
        capture_output=True,
        text=True,
        check=False,
    )
    return listed.stdout.splitlines()
