"""One mint for everybody who may share it, and never a token that somebody may not have."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from git_credential_relay.broker.errors import (
    ForgeRefusedError,
    ForgeUnavailableError,
    StoreError,
    TooManyRequestsError,
)
from git_credential_relay.secret import Secret, token_sha256
from tests.unit.broker.vend.chain import Chain, workspace_with


def sha256(token):
    return token_sha256(Secret(token))


def test_the_second_asker_gets_the_first_ones_token():
    """While a token lives long enough, nobody else is made."""

    async def scenario():
        chain = Chain()
        return [await chain.ask() for _ in range(2)], chain.source.mints

    assert asyncio.run(scenario()) == ([("tok-1", "miss"), ("tok-1", "hit")], 1)


def test_a_thousand_askers_at_once_make_one_mint():
    """A cold key that everybody asks for at once is minted once."""

    async def scenario():
        chain = Chain()
        chain.source.seconds = 0.05
        answers = await asyncio.gather(*(chain.ask() for _ in range(1000)))
        return set(answers), chain.source.mints

    answers, mints = asyncio.run(scenario())

    assert (answers, mints) == ({("tok-1", "miss"), ("tok-1", "joined")}, 1)


def test_an_asker_who_hangs_up_does_not_end_the_mint_for_others():
    """The mint is nobody's own: the first asker may go away while others wait for it."""

    async def scenario():
        chain = Chain()
        chain.source.seconds = 0.05
        first = asyncio.ensure_future(chain.ask())
        await asyncio.sleep(0.01)
        second = asyncio.ensure_future(chain.ask())
        await asyncio.sleep(0.01)
        first.cancel()
        return await second, chain.source.mints

    assert asyncio.run(scenario()) == (("tok-1", "joined"), 1)


def test_a_token_that_will_not_live_long_enough_is_not_given_again():
    """The promise of a minimum life holds to the second, and a longer wish is honoured."""

    async def scenario():
        chain = Chain()
        await chain.ask()
        chain.clock.time += 3000
        exactly = await chain.ask()
        wish = await chain.ask(chain.order(min_lifetime=900))
        chain.clock.time += 3001
        return exactly, wish, await chain.ask()

    assert asyncio.run(scenario()) == (("tok-1", "hit"), ("tok-2", "miss"), ("tok-3", "miss"))


def test_a_wish_for_more_life_than_forges_give_does_not_mint_each_time():
    """An absurd minimum is taken for the longest that makes sense."""

    async def scenario():
        chain = Chain()
        return [await chain.ask(chain.order(min_lifetime=10**9)) for _ in range(2)]

    assert asyncio.run(scenario())[1] == ("tok-1", "hit")


@pytest.mark.parametrize("askers", [1, 50])
def test_a_refused_token_is_minted_anew_exactly_once(askers):
    """However many report the same refused token, at once or later, one new one is made."""

    async def scenario():
        chain = Chain()
        await chain.ask()
        chain.clock.time += 60
        again = chain.order(no_cache=True, rejected_sha256=sha256("tok-1"))
        at_once = {(await answer)[0] for answer in [chain.ask(again) for _ in range(askers)]}
        together = await asyncio.gather(*(chain.ask(again) for _ in range(askers)))
        chain.clock.time += 60
        late, _ = await chain.ask(again)
        return at_once | {token for token, _ in together} | {late}, chain.source.mints

    assert asyncio.run(scenario()) == ({"tok-2"}, 2)


def test_a_refusal_right_after_the_mint_is_checked_with_the_forge():
    """Copies of a forge lag behind: a young token that the forge takes is not thrown away."""

    async def scenario():
        chain = Chain()
        await chain.ask()
        chain.clock.time += 2
        again = chain.order(no_cache=True, rejected_sha256=sha256("tok-1"))
        kept = await chain.ask(again)
        chain.source.refused.add(sha256("tok-1"))
        return kept, await chain.ask(again)

    assert asyncio.run(scenario()) == (("tok-1", "hit"), ("tok-2", "miss"))


def test_no_cache_without_a_refused_token_mints_but_not_in_bursts():
    """`no-cache` alone gets a new token, unless one was made a moment ago."""

    async def scenario():
        chain = Chain()
        await chain.ask()
        young = await chain.ask(chain.order(no_cache=True))
        chain.clock.time += 60
        return young, await chain.ask(chain.order(no_cache=True))

    assert asyncio.run(scenario()) == (("tok-1", "hit"), ("tok-2", "miss"))


def test_a_source_that_can_only_give_the_refused_token_says_so():
    """A token made by hand that the forge refuses is not handed out again in a circle."""

    async def scenario():
        chain = Chain()
        chain.source.same_token = "tok-static"
        await chain.ask()
        chain.clock.time += 60
        chain.source.refused.add(sha256("tok-static"))
        await chain.ask(chain.order(no_cache=True, rejected_sha256=sha256("tok-static")))

    with pytest.raises(ForgeRefusedError) as caught:
        asyncio.run(scenario())
    assert caught.value.code == "FORGE_TOKEN_REJECTED"


@pytest.mark.parametrize("error", [ForgeUnavailableError("down"), StoreError("away")])
def test_a_living_token_is_better_than_none_while_none_can_be_minted(error):
    """Forge or database away: a token with some life is given, but never a refused one."""

    async def scenario():
        chain = Chain()
        await chain.ask()
        chain.clock.time += 3200
        if isinstance(error, StoreError):
            chain.leases.fails = error
        else:
            chain.source.fails = error
        stale = await chain.ask()
        try:
            await chain.ask(chain.order(no_cache=True, rejected_sha256=sha256("tok-1")))
        except type(error):
            return stale
        return None

    assert asyncio.run(scenario()) == ("tok-1", "stale")


def test_a_failure_is_everybodys_and_the_next_asker_tries_anew():
    """Those who wait together fail together; nothing of the failure is kept."""

    async def scenario():
        chain = Chain()
        chain.source.fails, chain.source.seconds = ForgeRefusedError("no"), 0.02
        failed = await asyncio.gather(*(chain.ask() for _ in range(5)), return_exceptions=True)
        chain.source.fails = None
        return [type(error) for error in failed], await chain.ask(), chain.source.mints

    assert asyncio.run(scenario()) == ([ForgeRefusedError] * 5, ("tok-1", "miss"), 2)


def test_workspaces_policies_and_repositories_never_share_a_token():
    """Whatever a token depends on is part of its key: an edit leaves no old one within reach."""

    async def scenario():
        chain = Chain()
        base = workspace_with("acme/*")
        orders = [
            chain.order(workspace=base),
            chain.order("acme/lib", workspace=base),
            chain.order(workspace=replace(base, id="w2")),
            chain.order(workspace=replace(base, revision=7)),
            chain.order(workspace=workspace_with("acme/*", permissions={"contents": "read"})),
            chain.order(workspace=workspace_with("acme/*", "other/app")),
        ]
        return [await chain.ask(order) for order in orders]

    assert [cache for _, cache in asyncio.run(scenario())] == ["miss"] * 6


def test_another_spelling_of_a_repository_is_no_other_mint():
    """Where the forge folds case there would be thousands of them to ask for."""

    async def scenario():
        chain = Chain()
        return [await chain.ask(chain.order(name)) for name in ("acme/app", "Acme/APP")]

    assert asyncio.run(scenario()) == [("tok-1", "miss"), ("tok-1", "hit")]


def test_a_workspace_cannot_have_the_forge_mint_without_end():
    """However it asks: beyond its share it gets what is alive, else waits; others are served."""

    async def scenario():
        chain = Chain(mints_per_minute=3)
        workspace = workspace_with("acme/*")
        for name in ("a", "b", "c"):
            await chain.ask(chain.order(f"acme/{name}", workspace=workspace))
        with pytest.raises(TooManyRequestsError) as caught:
            await chain.ask(chain.order("acme/d", workspace=workspace))
        chain.clock.time += 6
        order = chain.order("acme/a", workspace=workspace)
        alive = await chain.ask(replace(order, no_cache=True))
        with pytest.raises(TooManyRequestsError):
            await chain.ask(replace(order, no_cache=True, rejected_sha256=sha256("tok-1")))
        other = await chain.ask(chain.order("acme/a", workspace=replace(workspace, id="w2")))
        return caught.value.retry_after, alive, other, chain.source.mints

    assert asyncio.run(scenario()) == (
        pytest.approx(20),
        ("tok-1", "stale"),
        ("tok-4", "miss"),
        4,
    )


def test_tokens_without_an_end_are_looked_up_again_within_a_minute():
    """A secret that a person changes by hand must not live on in the cache."""

    async def scenario():
        chain = Chain()
        chain.source.lifetime = None
        await chain.ask()
        chain.clock.time += 59
        before = await chain.ask()
        chain.clock.time += 2
        return before, await chain.ask()

    assert asyncio.run(scenario()) == (("tok-1", "hit"), ("tok-2", "miss"))


def test_the_forges_short_lives_are_shared_by_simultaneous_askers():
    """Tokens that live shorter than the promise are shared by those who ask together."""

    async def scenario():
        chain = Chain()
        chain.source.lifetime, chain.source.seconds = 8, 0.02
        together = await asyncio.gather(*(chain.ask() for _ in range(20)))
        chain.clock.time += 1
        return {token for token, _ in together}, (await chain.ask())[1]

    assert asyncio.run(scenario()) == ({"tok-1"}, "miss")
