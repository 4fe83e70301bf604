"""The Forgejo source: what it asks for, what it refuses, and what each answer means."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from git_credential_relay.broker.errors import BrokerError, ForgeRefusedError
from git_credential_relay.broker.sources.hooks import SourceHooks
from git_credential_relay.broker.sources.interface import Lease, Minted, Repository, Scope
from git_credential_relay.demo.forge import ApiAnswer
from git_credential_relay.errors import ConfigError
from tests.fakes.forgejo import FORGEJO_11, FORGEJO_15, GITEA
from tests.fakes.forgejo_world import (
    BOT,
    OTHER_REPOSITORY,
    REPOSITORY,
    TOKENS,
    ForgejoWorld,
    git_works,
    new_forge,
    new_lease,
)

UNRESTRICTED = "allows_unrestricted_tokens = true"
WRITE = {"contents": "write"}


async def no_sleep(seconds: float) -> None:
    """Waits are not waited for."""


HOOKS = SourceHooks(sleep=no_sleep)


def scope_of(*repositories: Repository, use: str = "git", **permissions: str) -> Scope:
    return Scope(repositories or (Repository(REPOSITORY),), permissions or WRITE, use)


def run(
    world: ForgejoWorld, scenario: Callable[[Any], Awaitable[Any]], extra: str = "", **hooks: Any
) -> Any:
    async def within() -> Any:
        source = world.source(extra, hooks=replace(HOOKS, **hooks))
        try:
            return await scenario(source)
        finally:
            await source.aclose()

    return asyncio.run(within())


def mint(
    world: ForgejoWorld, scope: Scope | None = None, extra: str = "", lease: Lease | None = None
) -> Minted:
    scope, lease = scope or scope_of(), lease or new_lease()
    minted: Minted = run(
        world, lambda source: source.mint(scope, lease, time.monotonic() + 5), extra
    )
    return minted


def refused(world: ForgejoWorld, scope: Scope | None = None, extra: str = "") -> BrokerError:
    with pytest.raises(BrokerError) as caught:
        mint(world, scope, extra)
    assert world.secret not in f"{caught.value!r}{caught.value.hint}{caught.value.reason}"
    return caught.value


@pytest.fixture(params=["admin", "basic"])
def mode(request):
    return request.param


@pytest.fixture(scope="module")
def forge():
    with new_forge() as forge:
        yield forge


@pytest.fixture
def world(mode, forge):
    """Forgejo 16 with an administrator's token, and 15 with the bot's password."""
    with ForgejoWorld(mode, forge=forge) as world:
        yield world


@pytest.fixture
def admin(forge):
    with ForgejoWorld("admin", forge=forge) as world:
        yield world


@pytest.fixture
def world_of(forge):
    """Makes worlds of other versions."""
    return lambda version, mode="basic": ForgejoWorld(mode, version, forge=forge)


def last_body(world: ForgejoWorld) -> Any:
    return next(r for r in reversed(world.faults.requests) if r.method == "POST").json()


def test_the_request_names_everything(world):
    """Exactly the repository and the scope, under the name of the lease and its end."""
    lease = new_lease(2_000_000_000)

    minted = mint(world, lease=lease)

    assert last_body(world) == {
        "name": f"broker/{lease.id}/2000000000",
        "scopes": ["write:repository"],
        "repositories": [{"owner": "acme", "name": "app"}],
    }
    assert (minted.username, minted.expires_at, minted.token_type) == (BOT, 2_000_000_000, "token")
    assert minted.repositories == (REPOSITORY,)
    assert minted.permissions == WRITE


def test_a_token_for_several_repositories(world):
    """One token reaches all repositories of a scope."""
    minted = mint(world, scope_of(Repository(REPOSITORY), Repository(OTHER_REPOSITORY)))

    assert set(minted.repositories) == {REPOSITORY, OTHER_REPOSITORY}
    for name in (REPOSITORY, OTHER_REPOSITORY):
        assert git_works(world.forge, minted.token, BOT, name, push=True)


def test_names_are_compared_without_case(world):
    """Forgejo answers with its own spelling, which is the same repository."""
    assert mint(world, scope_of(Repository("ACME/App"))).repositories == (REPOSITORY,)


def test_an_unlimited_token_is_deleted_and_refused(world_of):
    """A server that ignores the repositories makes a token for all: nobody gets it."""
    for version in (FORGEJO_11, GITEA):
        with world_of(version) as world:
            error = refused(world)

            assert error.code == "FORGE_SCOPE_MISMATCH"
            assert "has been revoked" in error.message
            assert world.forgejo.mints == 1
            assert world.forgejo.names(BOT) == []


def test_an_unlimited_token_that_is_allowed_says_so(world_of):
    """With allows_unrestricted_tokens it is given, as what it is."""
    with world_of(GITEA) as world:
        minted = mint(world, extra=UNRESTRICTED)

    assert (minted.token_type, minted.repositories) == ("unrestricted", ())


def test_allowing_unlimited_tokens_allows_no_others(world):
    """A token for other repositories than those asked for is refused all the same."""
    _change_answer(world, repositories=[{"id": 1, "owner": "evil", "name": "x", "full_name": "e"}])

    assert refused(world, extra=UNRESTRICTED).code == "FORGE_SCOPE_MISMATCH"
    assert world.forgejo.names(BOT) == []


def test_what_came_back_wrong_is_deleted(world):
    """Wider scopes, other repositories, no token: each is refused and none is left."""
    meta = {"id": world.ids[REPOSITORY], "owner": "acme", "name": "app", "full_name": REPOSITORY}
    more = {**meta, "id": world.ids[OTHER_REPOSITORY], "name": "lib"}
    wrong: tuple[dict[str, Any], ...] = (
        {"scopes": ["write:repository", "write:admin"]},
        {"scopes": ["all"]},
        {"scopes": ["write:issue"]},
        {"scopes": []},
        {"scopes": None},
        {"scopes": "write:repository"},
        {"repositories": None},
        {"repositories": []},
        {"repositories": [meta, more]},
        {"repositories": [more]},
        {"repositories": ["acme/app"]},
        {"repositories": "acme/app"},
        {"sha1": ""},
        {"sha1": "A" * 40},
        {"sha1": "a" * 41},
        {"sha1": "a" * 40 + "\n"},
        {"sha1": None},
        {"id": None},
        {"id": "7"},
    )
    for changes in wrong:
        _change_answer(world, **changes)

        assert refused(world).code == "FORGE_SCOPE_MISMATCH", changes
        assert world.forgejo.names(BOT) == [], changes


def test_a_token_that_cannot_be_deleted_is_still_refused(admin):
    """The forge breaks between the mint and the delete: nobody gets the token."""
    _change_answer(admin, scopes=["all"])
    admin.faults.inject("DELETE", status=403, body={"message": "no"}, times=None)

    error = refused(admin)

    assert error.code == "FORGE_SCOPE_MISMATCH"
    assert "has been revoked" not in error.message


def test_a_pinned_repository(world):
    """A repository with the pinned id is given, another one of the same name is not."""
    pinned = scope_of(Repository(REPOSITORY, world.ids[REPOSITORY]))
    assert mint(world, pinned).repositories == (REPOSITORY,)

    world.forgejo.renew_repository(REPOSITORY)
    before = world.forgejo.names(BOT)

    assert refused(world, pinned).code == "FORGE_SCOPE_MISMATCH"
    assert world.forgejo.names(BOT) == before


def test_a_pinned_repository_of_an_unlimited_token(world_of):
    """Where the forge names no repositories, it is asked for their ids."""
    with world_of(GITEA) as world:
        pinned = scope_of(Repository(REPOSITORY, world.ids[REPOSITORY]))
        assert mint(world, pinned, UNRESTRICTED).token_type == "unrestricted"

        world.forgejo.renew_repository(REPOSITORY)
        assert refused(world, pinned, UNRESTRICTED).code == "FORGE_SCOPE_MISMATCH"
        assert len(world.forgejo.names(BOT)) == 1


def test_a_name_that_is_taken(world):
    """An earlier attempt of the same lease, whose answer was lost, makes way."""
    lease = new_lease()
    lost = mint(world, lease=lease)

    minted = mint(world, lease=lease)

    assert minted.token != lost.token
    assert not git_works(world.forge, lost.token, BOT, REPOSITORY, push=False)
    assert len(world.forgejo.names(BOT)) == 1


@pytest.mark.parametrize("drop", ["before", "after"])
def test_a_mint_is_not_sent_twice(world, drop):
    """Nobody knows what became of a request whose answer is lost, so it is not repeated."""
    world.faults.inject("POST", TOKENS, drops=drop, times=3)

    error = refused(world)

    assert (error.code, error.retryable) == ("FORGE_UNAVAILABLE", True)
    assert world.faults.count("POST", TOKENS) == 1


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_mint_is_not_repeated_after_5xx(world, status):
    """Behind a proxy's error the forge may have made the token."""
    world.faults.inject("POST", TOKENS, status=status, body={}, times=3)

    assert refused(world).code == "FORGE_UNAVAILABLE"
    assert world.faults.count("POST", TOKENS) == 1


def test_too_many_requests_are_waited_for(world):
    """429 means nothing was done: after Retry-After it is tried again."""
    world.faults.inject("POST", TOKENS, status=429, headers={"Retry-After": "1"}, body="later")

    assert mint(world).permissions == WRITE


def test_too_many_requests_for_too_long(world):
    """A wait that does not fit is told to the caller."""
    world.faults.inject(
        "POST", TOKENS, status=429, headers={"Retry-After": "90"}, body="later", times=None
    )

    error = refused(world)

    assert (error.code, error.retry_after, error.retryable) == ("FORGE_RATE_LIMITED", 90, True)
    assert world.faults.count("POST", TOKENS) == 1


@pytest.mark.parametrize(
    ("status", "message", "code", "hint"),
    [
        (401, "token is required", "FORGE_TOKEN_REJECTED", "admin_token_file"),
        (401, "auth method not allowed", "FORGE_TOKEN_REJECTED", "password_file"),
        (401, "invalid provided OTP", "FORGE_TOKEN_REJECTED", "second factor"),
        (401, "auth.must_change_password", "FORGE_MUST_CHANGE_PASSWORD", BOT),
        (403, "You must change your password.", "FORGE_MUST_CHANGE_PASSWORD", BOT),
        (
            403,
            "token does not have at least one of required scope(s)",
            "FORGE_FORBIDDEN",
            "write:admin",
        ),
        (404, "The target couldn't be found.", "FORGE_REPOSITORY_NOT_FOUND", BOT),
        (400, "access token must have a scope", "FORGE_REFUSED", "audit"),
        (409, "conflict", "FORGE_REFUSED", "audit"),
        (422, "validation", "FORGE_REFUSED", "audit"),
        (302, "moved", "FORGE_REFUSED", "url"),
    ],
)
def test_refusals_are_told_apart(world, status, message, code, hint):
    """Each refusal has its code and its hint, is final, and keeps the forge's words private."""
    world.faults.inject("POST", TOKENS, status=status, body={"message": message}, times=None)

    error = refused(world)

    assert (error.code, error.retryable) == (code, False)
    assert isinstance(error, ForgeRefusedError)
    assert hint in str(error.hint)
    assert message not in error.message
    assert message in str(error.reason)
    assert world.faults.count("POST", TOKENS) == 1


def test_an_old_server_has_no_admin_tokens(world_of):
    """Before Forgejo 16 the endpoint is missing, which is not a missing repository."""
    for version in (FORGEJO_15, FORGEJO_11, GITEA):
        with world_of(version, "admin") as world:
            error = refused(world)

            assert error.code == "FORGE_TOO_OLD"
            assert "password_file" in str(error.hint)


def test_a_real_404_of_a_new_server(world):
    """A repository that is not there is not taken for an old server."""
    error = refused(world, scope_of(Repository("acme/none")))

    assert error.code == "FORGE_REPOSITORY_NOT_FOUND"


def test_a_wrong_secret(world):
    """What the forge does not accept is said, and a new secret in the file is used at once."""
    good = world.secret_file.read_text()

    async def scenario(source):
        world.secret_file.write_text("0" * 40)
        with pytest.raises(ForgeRefusedError) as caught:
            await source.mint(scope_of(), new_lease(), time.monotonic() + 5)
        world.secret_file.write_text(good)
        return caught.value.code, await source.mint(scope_of(), new_lease(), time.monotonic() + 5)

    code, minted = run(world, scenario)

    assert code == "FORGE_TOKEN_REJECTED"
    assert minted.permissions == WRITE


def test_a_secret_that_is_gone(world):
    """A file that vanished is the broker's own trouble, told without its path."""

    async def scenario(source):
        world.secret_file.unlink()
        with pytest.raises(ForgeRefusedError) as caught:
            await source.mint(scope_of(), new_lease(), time.monotonic() + 5)
        return caught.value

    error = run(world, scenario)

    assert error.code == "FORGE_TOKEN_UNREADABLE"
    assert str(world.secret_file) not in f"{error.message} {error.hint}"


def test_no_source_without_a_secret(world):
    """At the start a missing secret is a mistake in the configuration."""
    world.secret_file.unlink()

    with pytest.raises(ConfigError):
        world.source()


def test_retries_are_counted(admin):
    """Each wait is told to whoever counts, under the source's name."""
    told: list[str] = []
    admin.faults.inject("POST", TOKENS, status=429, body="later")

    run(
        admin,
        lambda source: source.mint(scope_of(), new_lease(), time.monotonic() + 5),
        on_retry=told.append,
    )

    assert told == ["code"]


def _change_answer(world: ForgejoWorld, **fields: Any) -> None:
    def change(answer: ApiAnswer) -> ApiAnswer:
        return replace(answer, body={**answer.body, **fields})

    world.faults.inject("POST", TOKENS, changes=change)
