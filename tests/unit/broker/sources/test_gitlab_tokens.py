"""Access tokens of GitLab projects and groups: made, checked, ended."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from git_credential_relay.broker.errors import (
    ForgeRefusedError,
    ForgeUnavailableError,
    GrantMissingError,
)
from git_credential_relay.broker.sources.gitlab.api import GitLabApi, client_of
from git_credential_relay.broker.sources.gitlab.cleanup import Cleanup
from git_credential_relay.broker.sources.gitlab.places import PROJECTS, Place
from git_credential_relay.broker.sources.hooks import SourceHooks
from git_credential_relay.broker.sources.interface import Lease, Minted, Scope
from git_credential_relay.broker.sources.secret_file import secret_reader
from git_credential_relay.demo.forge import ApiAnswer
from tests.fakes.gitlab import (
    OTHER_REPOSITORY,
    REPOSITORY,
    TOKENS,
    Clock,
    GitLabWorld,
    deadline,
    scope_of,
    use,
)

LATE = datetime(2026, 11, 20, 23, 59, tzinfo=UTC).timestamp()
GROUP = 'token_file = "gitlab.token"\nmode = "group"\ngroup = "acme/tools"'


@pytest.fixture
def clock() -> Clock:
    """One minute before midnight, when a token until tomorrow would live for a minute."""
    return Clock(LATE)


@pytest.fixture
def world(clock: Clock) -> Iterator[GitLabWorld]:
    """A GitLab that nothing of ours may surprise."""
    with GitLabWorld(clock) as world:
        yield world
        assert world.faults.violations == []


def mint(
    world: GitLabWorld, scope: Scope | None = None, lease: Lease | None = None, settings: str = ""
) -> Minted:
    """A token of a source that is closed afterwards."""
    source = world.source(world.config(settings) if settings else None)
    return asyncio.run(
        use(source, lambda s: s.mint(scope or scope_of(), lease or world.lease(), deadline()))
    )


def refusal(world: GitLabWorld, scope: Scope | None = None, settings: str = "") -> str:
    """The code of the refusal that a mint ends in."""
    with pytest.raises((ForgeRefusedError, GrantMissingError)) as caught:
        mint(world, scope, settings=settings)
    return caught.value.code


def test_works_for_its_project_alone(world):
    """A token pushes to the project it was made for and reads no other."""
    minted = mint(world)
    assert world.git_works(minted.token, minted.username, REPOSITORY, push=True)
    assert not world.git_works(minted.token, minted.username, OTHER_REPOSITORY, push=False)
    assert minted.repositories == (REPOSITORY,)
    assert minted.permissions == {"contents": "write"}


def test_reading_is_only_reading(world):
    """A token for a grant that only reads cannot push."""
    minted = mint(world, scope_of(contents="read"))
    assert world.git_works(minted.token, minted.username, REPOSITORY, push=False)
    assert not world.git_works(minted.token, minted.username, REPOSITORY, push=True)


def test_a_minute_before_midnight_it_still_lives_an_hour(world, clock):
    """The date is the day after tomorrow where tomorrow's start is too soon."""
    minted = mint(world)
    assert minted.expires_at == int(clock()) + 3600
    clock.seconds += 3599
    assert world.git_works(minted.token, minted.username, REPOSITORY, push=True)


def test_says_the_name_scopes_role_and_date(world):
    """What is asked of the forge is the least that covers the grant, under the lease's name."""
    lease = world.lease()
    mint(world, lease=lease)
    request = next(r for r in world.faults.requests if r.method == "POST")
    assert request.json() == {
        "name": f"broker/{lease.id}/{lease.expires_at}",
        "scopes": ["read_repository", "write_repository"],
        "access_level": 40,
        "expires_at": "2026-11-22",
    }


def test_revoking_ends_it_twice_without_trouble(world):
    """A revoked token is dead at once, and one that is gone already is no error."""
    lease = world.lease()
    minted = mint(world, lease=lease)
    for _ in range(2):
        source = world.source()
        asyncio.run(use(source, lambda s: s.revoke(replace(lease, handle=minted.handle))))
    assert not world.git_works(minted.token, minted.username, REPOSITORY, push=False)


@pytest.mark.parametrize("location", [REPOSITORY, "", "number"])
def test_revoking_without_a_handle_finds_it_by_name(world, location):
    """The token of an interrupted mint is found by its lease's name, and no other is touched."""
    place = str(world.project) if location == "number" else location
    lease = world.lease(location=place)

    async def interrupted(source):
        await source.mint(scope_of(), lease, deadline())
        other = await source.mint(scope_of(), world.lease("lease12"), deadline())
        await source.revoke(lease)
        return other

    other = asyncio.run(use(world.source(), interrupted))
    assert world.gitlab.names_of_living_tokens() == [f"broker/lease12/{lease.expires_at}"]
    assert world.git_works(other.token, other.username, REPOSITORY, push=True)


def test_revoking_where_the_project_is_gone_is_done(world):
    """A project that is not there any more has no token either."""
    lease = world.lease(location="acme/tools/gone")
    asyncio.run(use(world.source(), lambda s: s.revoke(lease)))


def test_a_group_token_says_that_it_is_for_all_of_the_group(world):
    """A group's token reaches every project below, so it does not claim to be for one."""
    minted = mint(world, settings=GROUP)
    assert world.git_works(minted.token, minted.username, OTHER_REPOSITORY, push=True)
    assert (minted.repositories, minted.token_type) == ((), "unrestricted")


@pytest.mark.parametrize("group", ["acme/tools", "number"])
def test_a_group_token_is_for_repositories_below_the_group(world, group):
    """A repository elsewhere, also in a group whose name begins the same, is refused."""
    world.gitlab.create_project("acme/tools-of-others/app")
    name = f'"{group}"' if group != "number" else str(world.gitlab.group_id("acme/tools"))
    settings = f'token_file = "gitlab.token"\nmode = "group"\ngroup = {name}'
    assert refusal(world, scope_of("acme/tools-of-others/app"), settings) == (
        "REPOSITORY_NOT_GRANTED"
    )
    assert world.gitlab.counts["mint"] == 0


def test_a_name_is_looked_up_once(world):
    """Two mints need one look-up, and a pinned project needs none."""

    async def twice(source):
        for number in range(2):
            await source.mint(scope_of(), world.lease(f"l{number}"), deadline())
        await source.mint(scope_of(id=world.project), world.lease("l3"), deadline())

    asyncio.run(use(world.source(), twice))
    assert world.gitlab.counts["lookup"] == 1
    assert "acme%2Ftools%2Fapp" in world.faults.requests[0].path


def test_an_unknown_name_is_remembered_for_a_while(world, clock):
    """A name that is not there is asked for once a minute, not with every request."""

    async def ask(source):
        for _ in range(3):
            with pytest.raises(ForgeRefusedError, match="acme/none"):
                await source.mint(scope_of("acme/none"), world.lease(), deadline())
        clock.seconds += 61
        world.gitlab.create_project("acme/none")
        await source.mint(scope_of("acme/none"), world.lease(), deadline())

    asyncio.run(use(world.source(), ask))
    assert world.gitlab.counts["lookup"] == 2


def test_a_renamed_project_is_refused_unless_pinned(world):
    """Nobody gets a token for another project through a name that was this one's once."""
    world.gitlab.rename_project(world.project, "acme/tools/renamed")
    assert refusal(world) == "FORGE_REPOSITORY_RENAMED"
    minted = mint(world, scope_of(id=world.project))
    assert world.git_works(minted.token, minted.username, REPOSITORY, push=True)


def test_a_moved_project_answers_with_a_redirect(world):
    """A redirect is not followed: the broker's own token would go along."""
    world.faults.inject("GET", status=301, headers={"Location": "http://127.0.0.1:1/"})
    assert refusal(world) == "FORGE_REPOSITORY_RENAMED"


def test_a_number_that_is_gone_is_looked_up_again_once(world):
    """A project deleted and made anew under its name gets a token at the second attempt."""
    world.faults.inject("POST", TOKENS, status=404, body={"message": "404 Project Not Found"})
    minted = mint(world)
    assert world.gitlab.counts["lookup"] == 2
    assert world.git_works(minted.token, minted.username, REPOSITORY, push=True)


CHANGES = {
    "scopes": ["read_repository", "write_repository", "api"],
    "access_level": 50,
    "expires_at": "2027-11-20",
    "resource_id": 1,
    "resource_type": "group",
    "name": "another",
    "active": False,
    "revoked": True,
    "token": "not\x7fprintable",
}


@pytest.mark.parametrize("field", [*CHANGES, "missing"])
def test_what_is_not_as_asked_is_deleted_and_refused(world, field):
    """A token that may do more, lives longer or is elsewhere never gets out, and does not stay."""

    def change(answer: ApiAnswer) -> ApiAnswer:
        changed = {"id": answer.body["id"]} if field == "missing" else {field: CHANGES[field]}
        return replace(answer, body=changed if field == "missing" else {**answer.body, **changed})

    world.faults.inject("POST", TOKENS, changes=change)
    assert refusal(world) == "FORGE_SCOPE_MISMATCH"
    assert world.gitlab.names_of_living_tokens() == []


def test_a_token_that_may_less_says_so(world):
    """A role too small to push makes the token one that reads."""

    def change(answer: ApiAnswer) -> ApiAnswer:
        return replace(answer, body={**answer.body, "access_level": 20})

    world.faults.inject("POST", TOKENS, changes=change)
    assert mint(world).permissions == {"contents": "read"}


def test_tokens_may_have_any_length(world):
    """The text of a token is taken as it is, however long."""
    long = "glpat-" + "x.y_z-" * 300

    def change(answer: ApiAnswer) -> ApiAnswer:
        return replace(answer, body={**answer.body, "token": long})

    world.faults.inject("POST", TOKENS, changes=change)
    assert mint(world).token.reveal() == long


def test_the_reaper_deletes_what_is_over_and_ours(world, clock):
    """Leases that are over end; living ones and tokens of other names stay."""

    clock.seconds -= 3600

    async def reap(source):
        await source.mint(scope_of(), world.lease("old", seconds=60), deadline())
        await source.mint(scope_of(), world.lease("new"), deadline())
        clock.seconds += 61
        return await source.reap(clock())

    assert asyncio.run(use(world.source(), reap)) == 1
    assert [name.split("/")[1] for name in world.gitlab.names_of_living_tokens()] == ["new"]


def test_a_token_that_cannot_be_deleted_keeps_no_other_alive(world, clock):
    """The reaper ends the others all the same, and tells of that one."""
    clock.seconds -= 3600

    async def reap(source):
        for lease in ("first", "second"):
            await source.mint(scope_of(), world.lease(lease, seconds=60), deadline())
        world.faults.inject("DELETE", f"{TOKENS}/[0-9]+", status=400, body={"message": "no"})
        clock.seconds += 61
        with pytest.raises(ForgeRefusedError):
            await source.reap(clock())

    asyncio.run(use(world.source(), reap))
    assert [name.split("/")[1] for name in world.gitlab.names_of_living_tokens()] == ["first"]


def test_a_project_that_hangs_is_not_always_the_first(world, clock):
    """What one run of the reaper had no time for, the next one begins with."""
    clock.seconds -= 3600
    config = world.config()
    lease = world.lease("old", seconds=60, location=OTHER_REPOSITORY)
    mint(world, scope_of(OTHER_REPOSITORY), lease)
    path = f"/api/v4/projects/{world.project}/access_tokens"
    world.faults.inject("GET", path, delay_seconds=20, times=None)

    async def reap() -> None:
        client = client_of(config.forges[0], config, SourceHooks())
        api = GitLabApi(client, secret_reader(config, "gitlab.token"))
        cleanup = Cleanup(api, "lab", None, clock)
        for project in (world.project, world.other_project):
            cleanup.add(Place(PROJECTS, project))
        with pytest.raises(ForgeUnavailableError):
            await cleanup.reap(clock() + 61, deadline(0.4))
        try:
            with pytest.raises(ForgeUnavailableError):
                await cleanup.reap(clock() + 61, deadline(0.4))
        finally:
            await client.aclose()

    asyncio.run(reap())
    assert world.gitlab.names_of_living_tokens() == []


def test_the_reaper_goes_through_all_pages(world, clock):
    """More tokens than a page holds are all found."""
    world.gitlab.max_per_page = 2
    clock.seconds -= 3600

    async def reap(source):
        for number in range(5):
            await source.mint(scope_of(), world.lease(f"l{number}", seconds=60), deadline())
        clock.seconds += 61
        return await source.reap(clock())

    assert asyncio.run(use(world.source(), reap)) == 5


def test_the_reaper_of_a_new_broker_knows_places_from_the_leases(world, clock):
    """After a restart the leases on record say where tokens may be."""
    clock.seconds -= 3600
    lease = world.lease("old", seconds=60)
    mint(world, lease=lease)
    store = world.store()

    async def reap(source):
        await store.add_lease(lease)
        return await source.reap(clock() + 61)

    assert asyncio.run(use(world.source(store=store), reap)) == 1


def test_a_rotated_token_file_counts_at_once(world):
    """The broker's own token is read anew, so that it can be replaced while it runs."""

    async def rotate(source):
        world.write("gitlab.token", "glpat-revoked")
        with pytest.raises(ForgeRefusedError, match="own token"):
            await source.mint(scope_of(), world.lease(), deadline())
        world.write("gitlab.token", world.gitlab.create_user_token())
        return await source.mint(scope_of(), world.lease(), deadline())

    assert asyncio.run(use(world.source(), rotate)).token


def test_a_forge_at_the_root_of_its_host(clock):
    """A GitLab without a path works as well as one below a path."""
    with GitLabWorld(clock, root="") as world:
        minted = mint(world)
        assert world.git_works(minted.token, minted.username, REPOSITORY, push=True)
        assert world.faults.violations == []


def test_is_accepted_until_it_is_revoked(world):
    """Whether the forge takes a token is asked of the forge."""
    lease = world.lease()

    async def ask(source):
        minted = await source.mint(scope_of(), lease, deadline())
        before = await source.is_accepted(minted.token, scope_of())
        await source.revoke(replace(lease, handle=minted.handle))
        return before, await source.is_accepted(minted.token, scope_of())

    assert asyncio.run(use(world.source(), ask)) == (True, False)
