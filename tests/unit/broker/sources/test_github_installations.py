"""Where the App is installed: looked up by repository, remembered by owner, dropped when gone."""

import pytest

from git_credential_relay.broker.errors import ForgeRefusedError
from git_credential_relay.broker.sources.interface import Repository
from tests.fakes.fake_clock import FakeClock
from tests.fakes.github_app import (
    LOOKUPS,
    MINTS,
    GitHubAppWorld,
    hooks_of,
    minting,
    new_lease,
    scope_of,
)


def moved(location):
    """The fields of a redirect to there."""
    return {"status": 301, "body": {"message": "Moved"}, "headers": {"Location": location}}


def test_an_owner_is_looked_up_once():
    """Repositories of one owner share the look-up, whatever the case of the name."""
    with GitHubAppWorld() as world:

        async def act(source):
            for name in ("acme/app", "Acme/lib", "acme/app"):
                await minting(scope_of(name))(source)

        world.run(act)

        assert (world.github.lookups, world.github.mints) == (1, 3)


def test_what_is_not_there_is_not_asked_for_again_for_five_minutes():
    """A refusal is remembered for its repository, and for no other one of the owner."""
    clock = FakeClock()
    with GitHubAppWorld(lambda: clock.now) as world:

        async def refused(source, name):
            with pytest.raises(ForgeRefusedError) as caught:
                await minting(scope_of(name))(source)
            assert caught.value.code == "FORGE_NOT_INSTALLED"

        async def act(source):
            await refused(source, "other/app")
            clock.advance(299)
            await refused(source, "Other/App")
            assert world.github.lookups == 1
            await refused(source, "other/more")
            assert world.github.lookups == 2
            world.github.install("other", {"contents": "write"})
            clock.advance(2)
            return await minting(scope_of("other/app"))(source)

        assert world.run(act, hooks=hooks_of(clock)).repositories == ("other/app",)


@pytest.mark.parametrize("is_renamed", [False, True])
def test_a_repository_that_is_refused_is_not_asked_for_again_at_once(is_renamed):
    """Who asks again and again does not use the App's rate limit up; a pinned id counts at once."""
    clock = FakeClock()
    with GitHubAppWorld(lambda: clock.now) as world:
        number = world.id_of("acme/app")

        async def refused(source):
            with pytest.raises(ForgeRefusedError) as caught:
                await minting(scope_of("acme/app"))(source)
            return caught.value.code

        async def act(source):
            if is_renamed:
                world.github.rename("acme/app", "acme/new")
            else:
                world.github.install("acme", {"contents": "write"}, ["acme/lib"])
            await minting(scope_of("acme/lib"))(source)
            codes = {await refused(source) for _ in range(5)}
            assert world.faults.count("POST") == 2
            await minting(scope_of("acme/lib"))(source)
            if is_renamed:
                pinned = scope_of(Repository("acme/app", number))
                assert (await minting(pinned)(source)).repositories == ("acme/new",)
            clock.advance(301)
            return codes | {await refused(source)}

        (code,) = world.run(act, hooks=hooks_of(clock))

        assert code == ("FORGE_REPOSITORY_RENAMED" if is_renamed else "FORGE_REPOSITORY_NOT_FOUND")


def test_creating_a_workspace_asks_anew():
    """Whoever has just installed the App need not wait until a refusal is forgotten."""
    with GitHubAppWorld() as world:

        async def act(source):
            with pytest.raises(ForgeRefusedError):
                await minting(scope_of("other/app"))(source)
            world.github.install("other", {"contents": "write"})
            with pytest.raises(ForgeRefusedError):
                await minting(scope_of("other/app"))(source)
            await source.verify("other/app", {"contents": "write"})
            return await minting(scope_of("other/app"))(source)

        assert world.run(act).repositories == ("other/app",)


def test_an_app_that_was_installed_anew_is_found():
    """A 404 at the mint drops the remembered id and asks once more."""
    with GitHubAppWorld() as world:

        async def act(source):
            await minting(scope_of("acme/app"))(source)
            world.github.install("acme", {"contents": "write"})
            return await minting(scope_of("acme/app"))(source)

        assert world.run(act).repositories == ("acme/app",)
        assert world.github.lookups == 2


def test_an_app_that_was_taken_away_is_refused():
    """Where the second look-up finds nothing, nothing is minted."""
    with GitHubAppWorld() as world:

        async def act(source):
            await minting(scope_of("acme/app"))(source)
            world.github.uninstall("acme")
            await minting(scope_of("acme/app"))(source)

        with pytest.raises(ForgeRefusedError) as caught:
            world.run(act)

        assert caught.value.code == "FORGE_NOT_INSTALLED"


def test_a_mint_that_stays_unknown_is_tried_once_more_only():
    """A forge that finds the installation and yet refuses it does not make us turn in circles."""
    with GitHubAppWorld() as world:
        world.faults.inject("POST", MINTS, status=404, body={}, times=None)
        with pytest.raises(ForgeRefusedError) as caught:
            world.run(minting(scope_of("acme/app")))

        assert caught.value.code == "FORGE_NOT_INSTALLED"
        assert world.faults.count("POST") == 2
        assert world.faults.count("GET") == 2


def test_a_repository_that_moved_away_does_not_take_its_owner_along():
    """After a move to another owner, that one's installation is not the old owner's."""
    with GitHubAppWorld() as world:
        world.github.install("other", {"contents": "write"})
        world.github.rename("acme/app", "other/moved")

        async def act(source):
            with pytest.raises(ForgeRefusedError) as caught:
                await minting(scope_of("acme/app"))(source)
            return caught.value, await minting(scope_of("acme/lib"))(source)

        error, minted = world.run(act)

        assert error.code == "FORGE_REPOSITORY_RENAMED"
        assert minted.repositories == ("acme/lib",)


def test_a_pinned_repository_is_followed_to_its_new_owner():
    """It is the same by its id, whether or not the old owner's installation is remembered."""
    with GitHubAppWorld() as world:
        world.github.install("other", {"contents": "write"})
        pinned = scope_of(Repository("acme/app", world.id_of("acme/app")))
        world.github.rename("acme/app", "other/moved")

        async def act(source):
            cold = await minting(pinned)(source)
            await minting(scope_of("acme/lib"))(source)
            return {cold.repositories, (await minting(pinned)(source)).repositories}

        assert world.run(act) == {("other/moved",)}


def test_a_repository_with_a_pinned_ones_name_is_another():
    """Whoever takes over the name gets no token for what was called so before."""
    with GitHubAppWorld() as world:
        pinned = scope_of(Repository("acme/app", world.id_of("acme/app")))
        world.github.rename("acme/app", "other/app-of-acme")
        world.github.add_repository("acme/app", has_git=False)
        with pytest.raises(ForgeRefusedError) as caught:
            world.run(minting(pinned))

        assert caught.value.code == "FORGE_REPOSITORY_NOT_FOUND"
        assert world.github.mints == 0


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_only_a_look_up_follows_a_redirect(method):
    """A mint or a revocation never goes elsewhere."""
    with GitHubAppWorld() as world:
        location = f"{world.forge.url}/app/installations/{world.installation.id}/access_tokens"
        world.faults.inject(method, ".*", **moved(location))

        async def act(source):
            minted = await minting(scope_of("acme/app"))(source)
            await source.revoke(new_lease(minted.token))

        with pytest.raises(ForgeRefusedError) as caught:
            world.run(act)

        assert caught.value.code == "FORGE_REFUSED"
        assert world.faults.count(method) == 1


def test_a_redirect_never_leads_the_apps_key_elsewhere():
    """Another scheme, host, port, user or path of a redirect is refused; nobody sees the JWT."""
    with GitHubAppWorld() as world, GitHubAppWorld() as stranger:
        host, other = world.forge.host, stranger.forge.host
        for location in (
            f"http://{other}/api/v3/repositories/1000/installation",
            f"https://{host}/api/v3/repositories/1000/installation",
            f"http://{host}@{other}/api/v3/repositories/1000/installation",
            f"http://{host}/elsewhere",
            f"http://{host}/api/v3/../../elsewhere",
            f"http://{host}/api/v3/%2e%2e/elsewhere",
            "/api/v3/repositories/1000/installation",
            "",
        ):
            world.faults.inject("GET", LOOKUPS, **moved(location))
            with pytest.raises(ForgeRefusedError) as caught:
                world.run(minting(scope_of("acme/app")), api="/api/v3")
            assert caught.value.code == "FORGE_REFUSED", location

        assert stranger.faults.requests == []
        assert {request.path for request in world.faults.requests} == {
            "/api/v3/repos/acme/app/installation"
        }


def test_a_circle_of_redirects_ends():
    """A forge that redirects for ever is given up."""
    with GitHubAppWorld() as world:
        location = f"{world.forge.url}/repositories/1000/installation"
        world.faults.inject("GET", ".*", **moved(location), times=None)
        with pytest.raises(ForgeRefusedError):
            world.run(minting(scope_of("acme/app")))

        assert world.faults.count() == 3


@pytest.mark.parametrize("body", [{}, [], "<html>", {"id": "1; DROP"}, {"id": 5}])
def test_an_answer_that_is_no_installation_is_refused(body):
    """A captive portal's 200 is not GitHub's."""
    with GitHubAppWorld() as world:
        world.faults.inject("GET", LOOKUPS, status=200, body=body)
        with pytest.raises(ForgeRefusedError) as caught:
            world.run(minting(scope_of("acme/app")))

        assert "api_url" in str(caught.value.hint)
