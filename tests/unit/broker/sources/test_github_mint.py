"""Minting with a GitHub App: what is asked, and what is taken of what comes back."""

import asyncio
import dataclasses
import json
import time

import pytest

from git_credential_relay.broker.errors import ForgeRefusedError, GrantMissingError
from git_credential_relay.broker.sources.interface import Repository
from git_credential_relay.demo.forge import ApiAnswer
from tests.fakes.fake_clock import FakeClock
from tests.fakes.github_app import (
    MINTS,
    GitHubAppWorld,
    hooks_of,
    minting,
    new_lease,
    scope_of,
)


def bodies(world):
    """The bodies of the mints that the forge was asked for."""
    return [r.json() for r in world.faults.requests if r.path.endswith("/access_tokens")]


def changed(**fields):
    """A fault that changes the forge's own answer; a field that is None is left out."""

    def change(answer):
        body = {**answer.body, **fields}
        return ApiAnswer(
            answer.status, {name: value for name, value in body.items() if value is not None}
        )

    return change


def test_a_token_is_for_exactly_what_was_asked():
    """The mint names the bare repositories and the permissions; the token does no more."""
    with GitHubAppWorld(has_git=True) as world:
        minted = world.run(minting(scope_of("acme/app", contents="read", issues="read")))

        assert bodies(world) == [
            {"repositories": ["app"], "permissions": {"contents": "read", "issues": "read"}}
        ]
        assert minted.username == "x-access-token"
        assert minted.repositories == ("acme/app",)
        assert dict(minted.permissions) == {
            "contents": "read",
            "issues": "read",
            "metadata": "read",
        }
        assert world.git_works(minted.token, minted.username, "acme/app", push=False)
        assert not world.git_works(minted.token, minted.username, "acme/app", push=True)
        assert not world.git_works(minted.token, minted.username, "acme/lib", push=False)


def test_the_enterprise_path_works():
    """A GitHub Enterprise Server has its API below /api/v3."""
    with GitHubAppWorld(has_git=True) as world:
        minted = world.run(minting(scope_of("acme/app")), api="/api/v3")

        assert world.git_works(minted.token, minted.username, "acme/app", push=True)


def test_several_repositories_share_one_token():
    """A token can be for several repositories of one owner."""
    with GitHubAppWorld() as world:
        minted = world.run(minting(scope_of("acme/lib", "acme/app")))

        assert bodies(world)[0]["repositories"] == ["app", "lib"]
        assert sorted(minted.repositories) == ["acme/app", "acme/lib"]


def test_pinned_repositories_are_asked_for_by_id():
    """Where every repository has a pinned id, ids are sent, and a rename does no harm."""
    with GitHubAppWorld() as world:
        number = world.id_of("acme/app")
        world.github.rename("acme/app", "acme/renamed")
        minted = world.run(minting(scope_of(Repository("acme/app", number))))

        assert bodies(world)[0]["repository_ids"] == [number]
        assert minted.repositories == ("acme/renamed",)


def test_a_pinned_repository_is_checked_among_named_ones():
    """Where not all ids are known names are sent, and the known ids are compared."""
    with GitHubAppWorld() as world:
        pinned = Repository("acme/app", world.id_of("acme/app"))
        minted = world.run(minting(scope_of(pinned, "acme/lib")))
        with pytest.raises(ForgeRefusedError) as caught:
            world.run(minting(scope_of(Repository("acme/app", 4242), "acme/lib")))

        assert "repository_ids" not in bodies(world)[0]
        assert len(minted.repositories) == 2
        assert caught.value.code == "FORGE_SCOPE_MISMATCH"


def test_names_differ_in_case():
    """GitHub takes names without regard to case, and so do we."""
    with GitHubAppWorld() as world:
        minted = world.run(minting(scope_of("Acme/APP")))

        assert minted.repositories == ("acme/app",)


def test_a_token_that_is_too_wide_is_revoked():
    """What was issued and is not handed out does not stay alive."""
    with GitHubAppWorld() as world:
        world.faults.inject("POST", MINTS, changes=changed(permissions={"contents": "admin"}))
        with pytest.raises(ForgeRefusedError) as caught:
            world.run(minting(scope_of("acme/app")))

        issued = world.forge.tokens.issued[0]
        assert world.forge.tokens.find_usable(issued.token) is None
        assert "it is revoked" in str(caught.value.reason)
        assert issued.token not in f"{caught.value} {caught.value.hint} {caught.value.reason}"


def test_a_token_that_cannot_be_revoked_is_not_handed_out_either():
    """A forge that fails in the middle makes no difference to the refusal."""
    with GitHubAppWorld() as world:
        world.faults.inject("POST", MINTS, changes=changed(permissions={"contents": "admin"}))
        world.faults.inject("DELETE", status=500, body={}, times=None)
        with pytest.raises(ForgeRefusedError) as caught:
            world.run(minting(scope_of("acme/app")), hooks=hooks_of(FakeClock(time.time())))

        assert caught.value.code == "FORGE_SCOPE_MISMATCH"
        assert "could not be revoked" in str(caught.value.reason)


def test_another_name_in_the_answer_is_a_rename():
    """A name that leads to a repository of another name is refused: it is not what was granted."""
    with GitHubAppWorld() as world:
        moved = [{"id": 1000, "full_name": "elsewhere/app"}]
        world.faults.inject("POST", MINTS, changes=changed(repositories=moved))
        with pytest.raises(ForgeRefusedError) as caught:
            world.run(minting(scope_of("acme/app")))

        assert caught.value.code == "FORGE_REPOSITORY_RENAMED"
        assert "elsewhere" not in f"{caught.value} {caught.value.hint}"
        assert world.forge.tokens.find_usable(world.forge.tokens.issued[0].token) is None


def test_a_token_of_any_length_is_taken():
    """GitHub's tokens grow and vary in length, and nothing depends on it."""
    long = "ghs_" + "a.b-c_" * 1300
    with GitHubAppWorld() as world:
        world.faults.inject("POST", MINTS, changes=changed(token=long))
        minted = world.run(minting(scope_of("acme/app")))

        assert minted.token.reveal() == long
        assert long not in repr(minted)


def test_an_answer_that_cannot_be_read_gives_no_token():
    """Where there is no token to revoke, there is none to hand out either."""
    with GitHubAppWorld() as world:
        world.faults.inject("POST", MINTS, status=201, body="<html>", content_type="text/html")
        with pytest.raises(ForgeRefusedError) as caught:
            world.run(minting(scope_of("acme/app")))

        assert caught.value.code == "FORGE_SCOPE_MISMATCH"
        assert not caught.value.retryable


def test_narrowing_makes_equals_of_what_can_share_a_token():
    """Use, case, order and repetition make no other token; narrowing twice changes nothing."""
    with GitHubAppWorld() as world:
        source = world.source()
        first = source.narrow(
            scope_of("acme/app", "Acme/Lib", use="git", issues="read", contents="write")
        )
        second = source.narrow(
            scope_of("acme/lib", "ACME/app", "acme/app", use="api", contents="write", issues="read")
        )

        assert first == second
        assert source.narrow(first) == first
        assert json.dumps(first.permissions) == json.dumps(second.permissions)
        asyncio.run(source.aclose())


@pytest.mark.parametrize(
    "scope",
    [
        scope_of(),
        scope_of("acme/app", "other/app"),
        scope_of(*(f"acme/r{number}" for number in range(501))),
        dataclasses.replace(scope_of("acme/app"), permissions={}),
    ],
    ids=["no repository", "two owners", "too many", "no permission"],
)
def test_what_no_token_can_be_narrowed_to_is_refused(scope):
    """No request leaves that would mean more than the scope says."""
    with GitHubAppWorld() as world:
        with pytest.raises(GrantMissingError):
            world.run(minting(scope))

        assert world.faults.requests == []


def test_revoking_ends_the_token_and_twice_is_fine():
    """A token that is gone already is no error, nor is a lease whose token never arrived."""
    with GitHubAppWorld(has_git=True) as world:

        async def act(source):
            minted = await minting(scope_of("acme/app"))(source)
            for _ in range(2):
                await source.revoke(new_lease(minted.token))
            await source.revoke(new_lease())
            return minted

        minted = world.run(act)

        assert not world.git_works(minted.token, minted.username, "acme/app", push=False)


def test_a_fresh_token_is_accepted_once_the_forge_knows_it():
    """A 401 means not yet; any other trouble is no sign against the token."""
    with GitHubAppWorld() as world:
        world.github.lag_seconds = 60

        async def act(source):
            lagging = await minting(scope_of("acme/app"))(source)
            world.github.lag_seconds = 0
            ready = await minting(scope_of("acme/app"))(source)
            before = await source.is_accepted(lagging.token, scope_of("acme/app"))
            after = await source.is_accepted(ready.token, scope_of("acme/app"))
            world.faults.inject("GET", "/installation/repositories", status=403, body={})
            return before, after, await source.is_accepted(ready.token, scope_of("acme/app"))

        assert world.run(act) == (False, True, True)


def test_a_forge_in_trouble_does_not_speak_against_a_token():
    """When the probe cannot be answered, the token counts as accepted."""
    with GitHubAppWorld() as world:

        async def act(source):
            minted = await minting(scope_of("acme/app"))(source)
            world.faults.inject("GET", "/installation/repositories", drops="before", times=None)
            return await source.is_accepted(minted.token, scope_of("acme/app"))

        assert world.run(act, hooks=hooks_of(FakeClock(time.time())))


def test_what_the_source_promises():
    """The chain is told how to treat these tokens, and the configuration whether to probe."""
    with GitHubAppWorld() as world:
        for extra, verifies in (("", True), ("verifies_fresh_tokens = false", False)):
            source = world.source(extra)

            assert (source.name, source.kind, source.host) == ("hub", "github", world.forge.host)
            assert source.lease_seconds(0.0) == 3600
            assert (source.needs_lease_first, source.refreshes_ahead) == (False, True)
            assert source.verifies_fresh is verifies
            assert asyncio.run(source.reap(0.0)) == 0
            asyncio.run(source.aclose())
