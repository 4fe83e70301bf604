"""A workspace whose tokens run short, with an API that answers or does not."""

import asyncio

import pytest

from git_credential_relay.credential.forge import Target
from git_credential_relay.errors import NoCredentialError
from git_credential_relay.secret import Secret
from tests.fakes.api import issues, serve_api
from tests.fakes.configs import GITHUB_COM, REPOSITORY
from tests.fakes.served_workspace import DUE, HOUR, SHORT, Scene, at_hand, get, in_use, until

OTHER = Target(GITHUB_COM, "octo/fork")


@pytest.fixture
def scene():
    with serve_api() as api:
        yield Scene(api)


def test_a_token_in_use_is_renewed_without_anybody_waiting(scene):
    """A longer life is asked for than a get does, and the next get has it from memory."""

    async def scenario(workspace):
        await in_use(scene, workspace)
        workspace.refresh()
        await until(lambda: at_hand(workspace) == "tok-2")
        lives = [seen.fields["minLifetime"] for seen in scene.api.requests]
        assert lives == ["600", "960"]
        [use] = workspace.record.uses()
        assert (use.is_troubled, use.expires_at) == (False, round(scene.clock.now + HOUR))

    scene.play(scenario)


def test_gets_go_on_from_memory_while_it_is_renewed(scene):
    """However long the API takes, there is no wait, and no second request."""

    async def scenario(workspace):
        await in_use(scene, workspace)
        scene.api.gate.clear()
        workspace.refresh()
        await scene.asked(2)
        assert [await get(workspace) for _ in range(3)] == ["tok-1"] * 3
        workspace.refresh()
        scene.api.gate.set()
        await until(lambda: at_hand(workspace) == "tok-2")
        assert len(scene.api.requests) == 2

    scene.play(scenario)


def test_the_same_token_again_changes_nothing(scene):
    """An API that ignores what life is asked for is not asked in a loop."""

    async def scenario(workspace):
        same = issues("tok-1", lifetime=HOUR)
        scene.api.script(same)
        await in_use(scene, workspace)
        ends_at = round(scene.clock.now - DUE + HOUR)
        # What it says is of its own clock, which stood still.
        scene.api.script(issues("tok-1", lifetime=HOUR - DUE))
        for _ in range(5):
            workspace.refresh()
            await scene.asked(2)
            await asyncio.sleep(0.02)
        [use] = workspace.record.uses()
        assert (len(scene.api.requests), use.expires_at) == (2, ends_at)
        assert at_hand(workspace) == "tok-1"

    scene.play(scenario)


def test_a_renewal_that_fails_costs_nothing(scene):
    """The old token is served, `why` has nothing to say, and `status` says that the API fails."""

    async def scenario(workspace):
        await in_use(scene, workspace)
        scene.fails()
        workspace.refresh()
        await until(lambda: workspace.record.api.failed_at is not None)
        assert await get(workspace) == "tok-1"
        [use] = workspace.record.uses()
        trouble = workspace.record.api.trouble
        assert (use.trouble, trouble.code) == (None, "SOME")

    scene.play(scenario)


def test_a_refused_renewal_leaves_the_token_until_it_runs_short(scene):
    """Then a get asks by itself, and is told of the refusal."""

    async def scenario(workspace):
        await in_use(scene, workspace)
        scene.fails(403)
        workspace.refresh()
        await until(lambda: workspace.record.api.trouble is not None)
        assert await get(workspace) == "tok-1"
        scene.clock.advance(SHORT - DUE)
        with pytest.raises(NoCredentialError):
            await get(workspace)

    scene.play(scenario)


def test_during_an_outage_nobody_waits_again(scene):
    """Once it is known, the old token is given at once while somebody tries in the background;
    and when that has a new token, so has the next get."""

    async def scenario(workspace):
        await in_use(scene, workspace, SHORT)
        scene.fails()
        assert await get(workspace) == "tok-1"  # whoever found out
        scene.api.gate.clear()
        scene.clock.advance(10)
        scene.mints()
        for _ in range(3):
            assert await asyncio.wait_for(get(workspace), 1) == "tok-1"
        await scene.asked(3)
        scene.api.gate.set()
        await until(lambda: at_hand(workspace) == "tok-2")
        assert len(scene.api.requests) == 3

    scene.play(scenario)


def test_an_old_token_is_given_only_while_the_api_is_down(scene):
    """An API that was down a while ago, or for somebody else, is asked and waited for."""

    async def scenario(workspace):
        await in_use(scene, workspace, SHORT - 100)
        await get(workspace, OTHER)
        scene.clock.advance(101)
        scene.fails()
        with pytest.raises(NoCredentialError):
            await get(workspace, Target(GITHUB_COM, "octo/third"))
        scene.mints()
        assert await get(workspace) == "tok-3"
        scene.fails()
        scene.clock.advance(SHORT - 101)
        assert await get(workspace, OTHER) == "tok-2"
        scene.clock.advance(61)
        scene.mints()
        assert await get(workspace, OTHER) == "tok-4"

    scene.play(scenario)


def test_an_api_that_wants_to_be_left_alone_is(scene):
    """After a 429 nobody with a token asks until the time is over, whatever it is for."""

    async def scenario(workspace):
        assert [await get(workspace), await get(workspace, OTHER)] == ["tok-1", "tok-2"]
        scene.clock.advance(SHORT)
        scene.fails(429, {"Retry-After": "90"})
        assert await get(workspace) == "tok-1"
        for _ in range(8):
            scene.clock.advance(11)
            workspace.refresh()
            assert [await get(workspace), await get(workspace, OTHER)] == ["tok-1", "tok-2"]
        assert len(scene.api.requests) == 3
        scene.mints()
        scene.clock.advance(15)
        assert await get(workspace, OTHER) == "tok-3"

    scene.play(scenario)


def test_a_token_about_to_die_is_worth_waiting_for(scene):
    """With less than a minute left it may not outlive the push, outage or not."""

    async def scenario(workspace):
        await in_use(scene, workspace, HOUR - 65)
        scene.fails()
        assert await get(workspace) == "tok-1"
        scene.clock.advance(10)
        scene.mints()
        assert await get(workspace) == "tok-2"

    scene.play(scenario)


def test_a_refused_token_is_no_stand_in(scene):
    """Neither for who says so, nor for anybody after an erase."""

    async def scenario(workspace):
        await in_use(scene, workspace, SHORT)
        sha256 = workspace.record.uses()[0].token_sha256
        scene.fails()
        assert await get(workspace) == "tok-1"
        with pytest.raises(NoCredentialError):
            await get(workspace, REPOSITORY, sha256)
        await workspace.forget(REPOSITORY, Secret("tok-1"))
        with pytest.raises(NoCredentialError):
            await get(workspace)

    scene.play(scenario)


def test_a_token_of_unknown_life_stands_in_and_is_renewed(scene):
    """A cloud that tells no expiry is asked in the background too."""

    async def scenario(workspace):
        scene.life = None
        await get(workspace)
        scene.clock.advance(30)
        scene.fails()
        assert await get(workspace) == "tok-1"
        scene.clock.advance(10)
        scene.mints()
        assert await get(workspace) == "tok-1"
        await until(lambda: workspace.record.uses()[0].fetched_at == scene.clock.now)
        scene.clock.advance(10)
        assert await get(workspace) == "tok-3"

    scene.play(scenario)
