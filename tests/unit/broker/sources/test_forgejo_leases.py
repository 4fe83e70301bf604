"""How tokens end at a forge where nothing expires, and what a new workspace is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from git_credential_relay.broker.errors import (
    ForgeError,
    ForgeRefusedError,
    ForgeUnavailableError,
)
from git_credential_relay.broker.sources.hooks import SourceHooks
from git_credential_relay.broker.sources.interface import Repository, Scope
from tests.fakes.forgejo import GITEA
from tests.fakes.forgejo_world import (
    BOT,
    REPOSITORY,
    TOKENS,
    ForgejoWorld,
    git_works,
    new_forge,
    new_lease,
)

NOW = 1_900_000_000
SCOPE = Scope((Repository(REPOSITORY),), {"contents": "write"}, "git")


async def no_sleep(seconds: float) -> None:
    """Waits are not waited for."""


@pytest.fixture(scope="module")
def forge():
    with new_forge() as forge:
        yield forge


@pytest.fixture(params=["admin", "basic"])
def world(request, forge):
    """A forge with small pages, so that every list has several."""
    with ForgejoWorld(request.param, page_limit=2, forge=forge) as world:
        yield world


def run(world: ForgejoWorld, scenario: Callable[[Any], Awaitable[Any]], extra: str = "") -> Any:
    async def within() -> Any:
        source = world.source(extra, SourceHooks(now=lambda: NOW, sleep=no_sleep))
        try:
            return await scenario(source)
        finally:
            await source.aclose()

    return asyncio.run(within())


def test_reaping_ends_what_is_over_and_is_ours(world):
    """Of all tokens only those of brokers whose end has come are deleted, on every page."""
    over = [world.forgejo.add_token(BOT, f"broker/l{n}/{NOW - n}") for n in range(5)]
    kept = [
        "laptop",
        f"broker/l/{NOW + 1}",
        f"broker//{NOW - 1}",
        f"broker/a/b/{NOW - 1}",
        f"broker/l/{NOW - 1}x",
        f"broker/l/-{NOW}",
        f"broker/l/{NOW - 1}\n",
        f"xbroker/l/{NOW - 1}",
        f"Broker/l/{NOW - 1}",
        f"broker/l/{NOW - 1} ",
        "broker/l/" + "١٢٣",  # digits to Python, but none that a broker writes
        "broker/l/",
    ]
    for name in kept:
        world.forgejo.add_token(BOT, name)

    assert run(world, lambda source: source.reap(NOW)) == 5
    assert world.forgejo.names(BOT) == kept
    assert all(world.forge.tokens.find_usable(token.issued.token) is None for token in over)
    assert run(world, lambda source: source.reap(NOW)) == 0


def test_reaping_without_a_total_goes_on_to_the_last_page(forge):
    """A server that does not say how many there are is read until a page is empty."""
    with ForgejoWorld("basic", GITEA, page_limit=2, forge=forge) as world:
        for number in range(4):
            world.forgejo.add_token(BOT, f"broker/l{number}/1")

        assert run(world, lambda source: source.reap(NOW)) == 4
        assert world.forgejo.names(BOT) == []


def test_a_token_that_cannot_be_deleted_keeps_no_other_alive(world):
    """The others end all the same, and that one is told of."""
    first, _ = (world.forgejo.add_token(BOT, f"broker/l{n}/1") for n in range(2))
    path = f".*/tokens/{first.id}"
    world.faults.inject("DELETE", path, status=403, body={"message": "no", "url": ""})

    with pytest.raises(ForgeRefusedError):
        run(world, lambda source: source.reap(NOW))
    assert world.forgejo.names(BOT) == [first.name]


def test_two_brokers_reap_at_once(world):
    """What the other one has deleted meanwhile is no error, and counts once."""
    for number in range(4):
        world.forgejo.add_token(BOT, f"broker/l{number}/1")

    async def scenario(source):
        return await asyncio.gather(source.reap(NOW), source.reap(NOW))

    assert sum(run(world, scenario)) == 4
    assert world.forgejo.names(BOT) == []


def test_a_lost_token_is_found_and_others_stay(world):
    """The token of a lease without a handle is found by the lease, on whatever page."""
    lease = new_lease()
    for number in range(3):
        world.forgejo.add_token(BOT, f"broker/other{number}/{lease.expires_at}")
    world.faults.inject("POST", TOKENS, drops="after")

    async def scenario(source):
        with pytest.raises(ForgeUnavailableError):
            await source.mint(SCOPE, lease, time.monotonic() + 2)
        made = world.forgejo.names(BOT)
        await source.revoke(lease)
        return made

    made = run(world, scenario)

    assert f"broker/{lease.id}/{lease.expires_at}" in made
    assert len(world.forgejo.names(BOT)) == 3


def test_revoking_is_tried_again(world):
    """Deleting twice does no harm, so a broken connection does not leave a token alive."""

    async def scenario(source):
        lease = new_lease()
        minted = await source.mint(SCOPE, lease, time.monotonic() + 5)
        world.faults.inject("DELETE", drops="after")
        await source.revoke(replace(lease, handle=minted.handle, token=minted.token))
        return minted

    minted = run(world, scenario)

    assert not git_works(world.forge, minted.token, BOT, REPOSITORY, push=False)
    assert world.faults.count("DELETE") == 2


@pytest.mark.parametrize(
    ("status", "code"),
    [(503, "FORGE_UNAVAILABLE"), (403, "FORGE_FORBIDDEN"), (401, "FORGE_TOKEN_REJECTED")],
)
def test_a_revoke_that_fails_says_so(world, status, code):
    """Only what is gone counts as gone."""
    world.faults.inject("DELETE", status=status, body={"message": "no"}, times=None)

    async def scenario(source):
        lease = new_lease()
        minted = await source.mint(SCOPE, lease, time.monotonic() + 5)
        with pytest.raises(ForgeError) as caught:
            await source.revoke(replace(lease, handle=minted.handle))
        return caught.value.code

    assert run(world, scenario) == code


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429])
def test_asking_and_deleting_are_tried_again(world, status):
    """A forge that stumbles once costs no token its end: neither does any harm twice."""
    world.forgejo.add_token(BOT, "broker/l/1")
    for method in ("GET", "DELETE"):
        world.faults.inject(method, status=status, body={})

    assert run(world, lambda source: source.reap(NOW)) == 1
    assert world.forgejo.names(BOT) == []


def test_a_damaged_handle_counts_as_none(world):
    """A handle that cannot be read is replaced by a look for the name."""

    async def scenario(source):
        for handle in ("{}", "[]", "x", '{"user": "u", "id": "y"}', "null"):
            lease = new_lease()
            await source.mint(SCOPE, lease, time.monotonic() + 5)
            await source.revoke(replace(lease, handle=handle))

    run(world, scenario)

    assert world.forgejo.names(BOT) == []


def test_verifying_says_id_and_what_works(world):
    """A repository the bot may push to works wholly; its id is the forge's own."""
    wanted = {"contents": "write", "issues": "write", "metadata": "read"}

    verified = run(world, lambda source: source.verify("Acme/App", wanted))

    assert verified.repository == Repository(REPOSITORY, world.ids[REPOSITORY])
    assert verified.permissions == {"contents": "write", "issues": "write"}
    assert verified.missing == {}
    assert world.forgejo.names(BOT) == []


def test_verifying_leaves_no_token_behind(world):
    """Not even one that was made although its answer never came."""
    world.faults.inject("POST", TOKENS, drops="after")

    async def within(source):
        with pytest.raises(ForgeUnavailableError):
            await source.verify(REPOSITORY, {"contents": "write"})

    run(world, within)
    assert world.forgejo.mints == 1
    assert world.forgejo.names(BOT) == []


def test_verifying_where_the_bot_only_reads(world):
    """A repository that the bot may not push to is said to be read-only, and why."""
    world.forgejo.add_repository("acme/docs", push=False)

    verified = run(world, lambda source: source.verify("acme/docs", {"contents": "write"}))

    assert verified.permissions == {"contents": "read"}
    assert BOT in verified.missing["contents"]


def test_verifying_an_archived_repository(world):
    """Nobody pushes to an archive, whatever permissions there are."""
    world.forgejo.archived.add(REPOSITORY)

    verified = run(
        world,
        lambda source: source.verify(REPOSITORY, {"contents": "write", "pull_requests": "write"}),
    )

    assert verified.permissions == {"contents": "read", "pull_requests": "read"}
    assert "archived" in verified.missing["contents"]


def test_verifying_what_the_forge_does_not_know(world):
    """Permissions without a counterpart are named, and the others still work."""
    wanted = {"contents": "read", "pull_requests": "write", "checks": "write"}

    verified = run(world, lambda source: source.verify(REPOSITORY, wanted))

    assert verified.permissions == {"contents": "read"}
    assert verified.missing.keys() == {"pull_requests", "checks"}


@pytest.mark.parametrize(
    ("repository", "permissions", "code"),
    [
        ("acme/none", {"contents": "write"}, "FORGE_REPOSITORY_NOT_FOUND"),
        (REPOSITORY, {"checks": "write"}, "FORGE_REFUSED"),
        (REPOSITORY, {"metadata": "read"}, "FORGE_REFUSED"),
    ],
)
def test_verifying_what_cannot_work(world, repository, permissions, code):
    """Where nothing would work there is an error with a hint, and no token is left."""
    with pytest.raises(ForgeRefusedError) as caught:
        run(world, lambda source: source.verify(repository, permissions))

    assert caught.value.code == code
    assert caught.value.hint
    assert world.forgejo.names(BOT) == []


def test_verifying_a_bot_that_has_to_change_its_password(world):
    """Tokens can be made for such a bot, and none of them works: said before the first push."""
    world.bot.must_change_password = True

    with pytest.raises(ForgeRefusedError) as caught:
        run(world, lambda source: source.verify(REPOSITORY, {"contents": "write"}))

    assert caught.value.code == "FORGE_MUST_CHANGE_PASSWORD"
    assert world.forgejo.names(BOT) == []
