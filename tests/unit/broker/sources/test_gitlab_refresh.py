"""One refresh of an OAuth pair, by a process that comes too late: it must not ask the forge."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from git_credential_relay.broker.sources.gitlab.refresh import Refresh
from git_credential_relay.broker.sources.gitlab.refresh_job import (
    BUSY,
    CHANGED,
    REFRESHED,
    RefreshJob,
)
from git_credential_relay.broker.store.oauth_pairs import lock_pair
from tests.fakes.gitlab import CLIENT_ID, CLIENT_SECRET, Clock, GitLabWorld


@pytest.fixture
def world() -> Iterator[GitLabWorld]:
    """A GitLab with a pair that no broker knows yet."""
    with GitLabWorld(Clock()) as world:
        yield world


def job_of(world: GitLabWorld, revision: int, seed: str | None = None) -> RefreshJob:
    """What a broker wants that has seen this revision."""
    return RefreshJob(
        name="lab",
        revision=revision,
        seed=seed,
        now=world.now(),
        forge_url=world.forge.url,
        ca_file=None,
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        redirect_uri=None,
        config_path="",
        database="",
        key_file=None,
    )


def run(world: GitLabWorld, job: RefreshJob) -> str:
    """How the job ends."""
    store = world.store()
    return Refresh(job, store.engine, store.cipher).run().outcome


def test_a_pair_that_another_broker_has_refreshed_meanwhile_is_left_alone(world):
    """Two brokers found the same pair due: the later one would end what the first was given."""
    _, seed = world.write_pair()
    assert run(world, job_of(world, 0, seed)) == REFRESHED
    assert run(world, job_of(world, 1)) == REFRESHED
    late = run(world, job_of(world, 1))

    assert late == CHANGED
    assert world.gitlab.counts["refresh"] == 2
    assert run(world, job_of(world, 2)) == REFRESHED


def test_a_seed_is_used_once(world):
    """It is dead after its first use, and GitLab ends the whole family when it comes again."""
    _, seed = world.write_pair()
    assert run(world, job_of(world, 0, seed)) == REFRESHED
    again = run(world, job_of(world, 1, seed))

    assert again == CHANGED
    assert world.gitlab.counts["refresh"] == 1


def test_whoever_holds_the_lock_is_not_disturbed(world):
    """While another process asks, nobody else does; and its lock is not taken from it."""
    _, seed = world.write_pair()
    store, now = world.store(), world.now()
    with store.engine.begin() as connection:
        assert lock_pair(connection, store.cipher, "lab", "another", now, now + 30)
    outcomes = {run(world, job_of(world, 0, seed)) for _ in range(2)}

    assert outcomes == {BUSY}
    assert world.gitlab.counts["refresh"] == 0
