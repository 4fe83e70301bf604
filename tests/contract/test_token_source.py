"""The contract of a TokenSource, held by each of them over a forge of its kind."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from git_credential_relay.broker.errors import (
    BrokerError,
    ForgeUnavailableError,
    GrantMissingError,
)
from git_credential_relay.broker.policy import is_within
from git_credential_relay.broker.sources.interface import Lease, Minted, Repository
from git_credential_relay.broker.vend.mint import UNRESTRICTED
from tests.contract.forgejo_harness import ForgejoHarness
from tests.contract.github_harness import GitHubHarness
from tests.contract.gitlab_harness import GitLabHarness
from tests.contract.static_harness import StaticHarness

ALL: dict[str, Callable[[], Any]] = {
    "github": GitHubHarness,
    "forgejo-admin": lambda: ForgejoHarness("admin"),
    "forgejo-basic": lambda: ForgejoHarness("basic"),
    "gitlab-project": lambda: GitLabHarness("project"),
    "gitlab-oauth": lambda: GitLabHarness("oauth"),
    "gitlab-static": lambda: GitLabHarness("static"),
    "static": StaticHarness,
}
LENT = {"static", "gitlab-static", "gitlab-oauth"}  # their tokens are somebody else's to end
SILENT = {"static"}  # the forge is not asked at all
NAMED = {"forgejo-admin", "forgejo-basic", "gitlab-project"}  # found by the lease's name
NOT_THERE = {"FORGE_REPOSITORY_NOT_FOUND", "FORGE_NOT_INSTALLED", "REPOSITORY_NOT_GRANTED"}

every = pytest.mark.parametrize("kind", ALL)
every_mint = pytest.mark.parametrize("kind", [kind for kind in ALL if kind not in SILENT])
every_own = pytest.mark.parametrize("kind", [kind for kind in ALL if kind not in LENT])
every_named = pytest.mark.parametrize("kind", [kind for kind in ALL if kind in NAMED])


def run(kind: str, scenario: Callable[[Any], Awaitable[Any]]) -> Any:
    """What the scenario returns, after checking that the forge's API was used as documented."""

    async def within() -> Any:
        async with ALL[kind]() as harness:
            result = await scenario(harness)
            assert list(harness.violations) == []
            return result

    return asyncio.run(within())


async def mint(harness: Any, lease: Lease, *, seconds: float = 6.0, **scope: Any) -> Minted:
    """A token as the chain asks for one."""
    narrowed = harness.source.narrow(harness.scope(**scope))
    minted: Minted = await harness.source.mint(narrowed, lease, time.monotonic() + seconds)
    return minted


def finished(lease: Lease, minted: Minted) -> Lease:
    """The lease's record once the mint is done."""
    return replace(lease, handle=minted.handle, token=minted.token)


@every
def test_a_token_works_for_its_repository_alone(kind):
    """git pushes to the repository of the scope, and cannot even read another one."""

    async def scenario(harness):
        minted = await mint(harness, harness.lease())
        assert harness.works(minted.token, minted.username, push=False)
        assert harness.works(minted.token, minted.username, push=True)
        assert not harness.other_repository_works(minted.token, minted.username)

    run(kind, scenario)


@every
def test_a_read_only_scope_cannot_push(kind):
    """A scope without write access gets a token that cannot push, or none."""

    async def scenario(harness):
        try:
            minted = await mint(harness, harness.lease(), write=False)
        except GrantMissingError as error:
            return error.code
        assert harness.works(minted.token, minted.username, push=False)
        assert not harness.works(minted.token, minted.username, push=True)
        return None

    # What is lent cannot be narrowed: it is refused rather than given.
    assert run(kind, scenario) == ("PERMISSION_NOT_GRANTED" if kind in LENT else None)


@every
def test_what_came_out_is_said_and_is_within_what_was_asked(kind):
    """Repositories and permissions of the token are those of the scope, and never more."""

    async def scenario(harness):
        asked = harness.source.narrow(harness.scope())
        minted = await mint(harness, harness.lease())
        names = [] if minted.token_type == UNRESTRICTED else [asked.repositories[0].name]
        assert minted.is_ours <= (minted.token_type != UNRESTRICTED)
        assert [name.lower() for name in minted.repositories] == names
        assert is_within(minted.permissions, asked.permissions)
        assert minted.permissions["contents"] == "write"
        assert minted.username
        assert minted.token_type

    run(kind, scenario)


@every
def test_the_end_of_a_token_is_said(kind):
    """A token has time left when it comes, as whole Unix seconds, and no more than promised."""

    async def scenario(harness):
        lease = harness.lease()
        minted = await mint(harness, lease)
        promised = harness.source.lease_seconds(time.time())
        assert promised > 0
        if minted.expires_at is None:
            assert not minted.is_ours
            return
        assert isinstance(minted.expires_at, int)
        assert time.time() < minted.expires_at <= time.time() + promised + 5

    run(kind, scenario)


@every_own
def test_revoking_ends_the_token(kind):
    """After a revoke nothing works any more, and another revoke is no error."""

    async def scenario(harness):
        lease = harness.lease()
        minted = await mint(harness, lease)
        assert minted.is_ours
        assert await harness.source.is_accepted(minted.token, harness.scope())
        for _ in range(2):
            await harness.source.revoke(finished(lease, minted))
            assert not harness.works(minted.token, minted.username, push=False)
        assert not await harness.source.is_accepted(minted.token, harness.scope())

    run(kind, scenario)


@every_own
def test_revoking_ends_one_token_only(kind):
    """Another lease's token for the same scope lives on."""

    async def scenario(harness):
        first, second = harness.lease(), harness.lease()
        minted, other = await mint(harness, first), await mint(harness, second)
        assert minted.token != other.token
        await harness.source.revoke(finished(first, minted))
        assert harness.works(other.token, other.username, push=True)

    run(kind, scenario)


@every
def test_a_lent_token_survives_a_revoke(kind):
    """What is not ours is not ended with the lease."""

    async def scenario(harness):
        lease = harness.lease()
        minted = await mint(harness, lease)
        assert minted.is_ours == (kind not in LENT)
        if not minted.is_ours:
            await harness.source.revoke(finished(lease, minted))
            assert harness.works(minted.token, minted.username, push=True)

    run(kind, scenario)


@every
def test_a_lease_is_needed_first_where_nothing_expires(kind):
    """Sources whose tokens the forge lets live say so; the others do not cost a write."""

    async def scenario(harness):
        assert harness.source.needs_lease_first == (kind in NAMED)

    run(kind, scenario)


@every_named
def test_an_interrupted_mint_is_found_by_its_name(kind):
    """Of a lease without a handle the token is found and ended, and no other lease's."""

    async def scenario(harness):
        lost, kept = harness.lease(), harness.lease()
        minted, other = await mint(harness, lost), await mint(harness, kept)
        for _ in range(2):
            await harness.source.revoke(lost)
            assert not harness.works(minted.token, minted.username, push=False)
        assert harness.works(other.token, other.username, push=True)

    run(kind, scenario)


@every_named
def test_a_token_whose_answer_was_lost_is_found_by_its_name(kind):
    """The forge has made it and nobody knows it: it is not made twice, and a revoke ends it."""

    async def scenario(harness):
        lease = harness.lease()
        harness.fail_next(drop="after")
        with pytest.raises(ForgeUnavailableError):
            await mint(harness, lease, seconds=1.0)
        assert harness.mints == 1
        await harness.source.revoke(lease)

    run(kind, scenario)


@every_mint
@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 503}, {"drop": "before"}])
def test_a_forge_in_trouble(kind, fault):
    """A forge that fails is a ForgeUnavailableError, in time, and the next mint works."""

    async def scenario(harness):
        harness.fail_next(**fault)
        started = time.monotonic()
        with pytest.raises(ForgeUnavailableError) as caught:
            await mint(harness, harness.lease(), seconds=0.9)
        assert time.monotonic() - started < 1.5
        assert caught.value.retryable
        assert caught.value.code.startswith("FORGE_")

    run(kind, scenario)


@every_mint
def test_no_time_left(kind):
    """After the deadline nothing is waited for."""

    async def scenario(harness):
        started = time.monotonic()
        with pytest.raises(ForgeUnavailableError):
            await mint(harness, harness.lease(), seconds=-1.0)
        assert time.monotonic() - started < 0.5
        assert harness.mints == 0

    run(kind, scenario)


@every
def test_narrowing_is_pure_and_idempotent(kind):
    """The same scope is narrowed to the same, and what is narrow stays as it is."""

    async def scenario(harness):
        for use in ("git", "api"):
            once = harness.source.narrow(harness.scope(use=use))
            assert harness.source.narrow(once) == once
            assert harness.source.narrow(harness.scope(use=use)) == once
            assert is_within(once.permissions, harness.scope(use=use).permissions)
            asked = harness.scope(use=use).repositories
            assert {it.name for it in once.repositories} <= {it.name for it in asked}

    run(kind, scenario)


@every_own
def test_two_mints_are_two_tokens(kind):
    """No token is given out for two scopes, nor twice."""

    async def scenario(harness):
        scopes = [{"write": True}, {"write": False}, {"write": True}]
        minted = [await mint(harness, harness.lease(), **scope) for scope in scopes]
        assert len({it.token for it in minted}) == len(scopes) == harness.mints

    run(kind, scenario)


@every
def test_nothing_shows_a_secret(kind):
    """Neither the source nor what comes of it shows the token in its text."""

    async def scenario(harness):
        lease = harness.lease()
        minted = await mint(harness, lease)
        done = finished(lease, minted)
        shown = f"{minted!r} {minted} {harness.source!r} {harness.source} {done!r} {minted.handle}"
        assert minted.token.reveal() not in shown
        assert base64.b64encode(minted.token.reveal().encode()).decode() not in shown

    run(kind, scenario)


@every
def test_a_repository_that_is_not_there(kind):
    """For a repository nobody knows there is an error that says so, and no token."""

    async def scenario(harness):
        scope = replace(harness.scope(), repositories=(Repository("acme/no-such-repository"),))

        async def attempt():
            narrowed = harness.source.narrow(scope)
            await harness.source.mint(narrowed, harness.lease(), time.monotonic() + 6)

        with pytest.raises(BrokerError) as caught:
            await attempt()
        assert caught.value.code in NOT_THERE
        assert not caught.value.retryable
        assert caught.value.hint

    run(kind, scenario)


@every
def test_verify_says_what_will_work(kind):
    """For a repository that is there, what a workspace would get, and nothing is left behind."""

    async def scenario(harness):
        name = harness.scope().repositories[0].name
        verified = await harness.source.verify(name, {"contents": "write"})
        assert verified.repository.name == name
        assert verified.permissions["contents"] == "write"
        assert verified.missing == {}

    run(kind, scenario)


@every
def test_reaping_leaves_living_tokens_alone(kind):
    """Reaping ends what is over, and nothing that still has its time."""

    async def scenario(harness):
        minted = await mint(harness, harness.lease())
        assert await harness.source.reap(time.time()) == 0
        assert harness.works(minted.token, minted.username, push=True)

    run(kind, scenario)
