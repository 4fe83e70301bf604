"""GitLab's OAuth pair over a real PostgreSQL, where the brokers are replicas."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from git_credential_relay.broker.sources.interface import Lease, Minted, TokenSource
from git_credential_relay.broker.store.cipher import load_cipher, new_key
from git_credential_relay.broker.store.store import Store
from tests.fakes.gitlab import REPOSITORY, Clock, GitLabWorld, deadline, scope_of

LEASE = Lease("none", "w1", "lab", 0)


@pytest.fixture
def world() -> Iterator[GitLabWorld]:
    """A GitLab with an OAuth pair in the brokers' files."""
    with GitLabWorld(Clock()) as world:
        world.write_pair()
        yield world


def test_replicas_refresh_a_pair_once(world, postgresql):
    """Whoever asks, before its first refresh and when it is due again, gets the one that lives."""

    async def crowd(sources: list[TokenSource]) -> Minted:
        asked = [sources[n % len(sources)] for n in range(12)]
        minted = await asyncio.gather(
            *(source.mint(scope_of(), LEASE, deadline(20)) for source in asked)
        )
        assert len({it.token for it in minted}) == 1
        return minted[0]

    async def replicas(url: str) -> list[Minted]:
        world.write("broker.key", new_key())
        config = world.oauth_config('encryption_key_file = "broker.key"')
        stores = [Store.open(url, load_cipher(config)) for _ in range(3)]
        sources = [world.source(config, store) for store in stores]
        try:
            first = await crowd(sources)
            world.now.seconds += 7000
            return [first, await crowd(sources)]
        finally:
            for source, store in zip(sources, stores, strict=True):
                await source.aclose()
                store.close()

    first, second = asyncio.run(replicas(postgresql.create_database()))

    assert world.gitlab.counts["refresh"] == 2
    assert not world.git_works(first.token, first.username, REPOSITORY, push=True)
    assert world.git_works(second.token, second.username, REPOSITORY, push=True)
