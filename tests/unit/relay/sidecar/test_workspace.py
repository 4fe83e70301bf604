"""A workspace that many ask at a time, that forgets, and that ends."""

import asyncio
import threading

import pytest

from git_credential_relay.credential.forge import Target
from git_credential_relay.errors import NoCredentialError, RelayError, SidecarError
from git_credential_relay.relay.sidecar.workspace import MAX_FLIGHTS
from git_credential_relay.secret import Secret
from tests.fakes.api import issues, serve_api
from tests.fakes.configs import GITHUB_COM, REPOSITORY
from tests.fakes.served_workspace import DUE, HOUR, SHORT, Scene, at_hand, get, in_use, until

OTHER = Target(GITHUB_COM, "octo/fork")


@pytest.fixture
def scene():
    with serve_api() as api:
        yield Scene(api)


@pytest.mark.parametrize("token", ["tok-1", "another"])
def test_an_erase_during_a_renewal_counts(scene, token):
    """Git waits for no lock; the refused token is gone at once and does not come back, though
    the API should give it again."""

    async def scenario(workspace):
        await in_use(scene, workspace)
        scene.api.gate.clear()
        scene.api.script(issues(token, lifetime=2 * HOUR))
        workspace.refresh()
        await scene.asked(2)
        await asyncio.wait_for(workspace.forget(REPOSITORY, Secret("tok-1")), 1)
        assert at_hand(workspace) is None
        scene.api.gate.set()
        await until(lambda: workspace.record.api.answered_at == scene.clock.now)
        await asyncio.sleep(0.05)
        assert at_hand(workspace) == (None if token == "tok-1" else token)

    scene.play(scenario)


def test_an_erase_is_for_all_that_hold_the_token(scene):
    """One token may be kept for several repositories and uses. Without a password it is for one
    repository alone, with both its uses."""

    async def scenario(workspace):
        third = Target(GITHUB_COM, "octo/third", "api")
        targets = [REPOSITORY, REPOSITORY.for_use("api"), OTHER, third]
        scene.api.script(issues("same"))
        for target in targets:
            await get(workspace, target)
        await workspace.forget(REPOSITORY, None)
        assert [at_hand(workspace, target) for target in targets] == [None, None, "same", "same"]
        await workspace.forget(REPOSITORY, Secret("other"))
        assert at_hand(workspace, OTHER) == "same"
        await workspace.forget(REPOSITORY, Secret("same"))
        assert [at_hand(workspace, target) for target in targets] == [None] * 4

    scene.play(scenario)


def test_many_askers_share_one_answer(scene):
    """One request for all who ask the same; each has its own question for another token."""

    async def scenario(workspace):
        scene.api.gate.clear()
        asking = [asyncio.ensure_future(get(workspace)) for _ in range(50)]
        await scene.asked(1)
        scene.api.gate.set()
        assert await asyncio.gather(*asking) == ["tok-1"] * 50
        assert (len(scene.api.requests), workspace.record.uses()[0].asks) == (1, 50)

    scene.play(scenario)


def test_many_askers_share_one_failure(scene):
    """Each of them gets it without the traces of the others."""

    async def scenario(workspace):
        scene.api.gate.clear()
        scene.fails(403)
        asking = [asyncio.ensure_future(get(workspace)) for _ in range(50)]
        await scene.asked(1)
        scene.api.gate.set()
        depths = set()
        for asker in asking:
            with pytest.raises(NoCredentialError) as caught:
                await asker
            depths.add(len(caught.traceback))
        assert (len(scene.api.requests), len(depths)) == (1, 1)

    scene.play(scenario)


def test_who_gives_up_costs_the_others_nothing(scene):
    """The question goes on without the asker; and who asks `why` afterwards is told."""

    async def scenario(workspace):
        scene.api.gate.clear()
        asking = [asyncio.ensure_future(get(workspace)) for _ in range(2)]
        await scene.asked(1)
        asking[0].cancel()
        scene.api.gate.set()
        assert await asking[1] == "tok-1"
        scene.api.gate.clear()
        scene.fails(403)
        alone = asyncio.ensure_future(get(workspace, OTHER))
        await scene.asked(2)
        alone.cancel()
        scene.api.gate.set()
        await until(lambda: workspace.record.last_trouble() is not None)
        assert workspace.record.find(OTHER).is_troubled

    scene.play(scenario)


def test_there_is_an_end_to_what_is_asked_at_a_time(scene):
    """Ever new names do not pile up; the rest is told to come again, and that is on record."""

    async def scenario(workspace):
        scene.api.gate.clear()
        targets = [Target(GITHUB_COM, f"octo/{number}") for number in range(MAX_FLIGHTS + 1)]
        asking = [asyncio.ensure_future(get(workspace, target)) for target in targets]
        await scene.asked(16)
        with pytest.raises(RelayError) as caught:
            await asking[-1]
        assert (caught.value.code, caught.value.retryable) == ("sidecar-busy", True)
        assert workspace.record.find(targets[-1]).is_troubled
        for each in asking:
            each.cancel()
        scene.fails(403)

    scene.play(scenario)


def test_after_the_end_only_memory_answers(scene):
    """Who is with the API gets the answer; nothing else is asked, and nothing renewed."""

    async def scenario(workspace):
        await in_use(scene, workspace)
        scene.api.gate.clear()
        asking = asyncio.ensure_future(get(workspace, OTHER))
        await scene.asked(2)
        closing = asyncio.ensure_future(workspace.close())
        await asyncio.sleep(0)
        workspace.refresh()
        with pytest.raises(SidecarError) as caught:
            await get(workspace, Target(GITHUB_COM, "octo/third"))
        assert caught.value.retryable
        scene.api.gate.set()
        assert await asking == "tok-2"
        await closing
        assert await get(workspace) == "tok-1"
        assert len(scene.api.requests) == 2

    scene.play(scenario)


def test_at_the_end_nothing_is_tried_in_the_background(scene):
    """While the last ones wait for the API an old token is given, and nobody looks for another."""

    async def scenario(workspace):
        await in_use(scene, workspace, SHORT)
        scene.fails()
        assert await get(workspace) == "tok-1"
        scene.api.gate.clear()
        asking = asyncio.ensure_future(get(workspace, OTHER))
        await scene.asked(3)
        closing = asyncio.ensure_future(workspace.close())
        await asyncio.sleep(0)
        assert await get(workspace) == "tok-1"
        await asyncio.sleep(0.05)
        assert len(scene.api.requests) == 3
        scene.mints()
        asking.cancel()
        scene.api.gate.set()
        await closing

    scene.play(scenario)


def test_an_end_does_not_wait_for_renewals(scene):
    """Nobody does; and that it is cut off is no trouble of the API's."""

    async def scenario(workspace):
        await in_use(scene, workspace)
        scene.api.gate.clear()
        workspace.refresh()
        await scene.asked(2)
        await asyncio.wait_for(workspace.close(), 1)
        scene.api.gate.set()
        await asyncio.sleep(0.05)
        assert workspace.record.api.failed_at is None

    scene.play(scenario)


def test_an_edit_costs_neither_tokens_nor_history(scene):
    """The workspace by the new settings goes on where the old one was, but for the hosts that
    have gone: nothing is renewed for them."""

    async def scenario(workspace):
        enterprise = {"GH_HOST": "ghe.example"}
        before = scene.workspace(None, **enterprise)
        forges = {forge.host: forge for forge in before.config.forges}
        gone = Target(forges["ghe.example"], "octo/spoon")
        scene.api.script(issues("tok-1", host="github.com"), issues("tok-2", host="ghe.example"))
        assert [await get(before), await get(before, gone)] == ["tok-1", "tok-2"]
        scene.clock.advance(DUE)
        assert [at_hand(before), at_hand(before, gone)] == ["tok-1", "tok-2"]
        after = scene.workspace(before)
        await before.close()
        scene.mints()
        after.refresh()
        await until(lambda: at_hand(after) == "tok-1" and len(scene.api.requests) == 3)
        await asyncio.sleep(0.05)
        assert {seen.fields["host"] for seen in scene.api.requests[2:]} == {"github.com"}
        assert after.record is before.record
        await after.close()

    scene.play(scenario)


def test_the_record_is_written_by_the_loop_alone(scene):
    """Threads that ask tell it what they found; what they do not do is write it themselves."""

    async def scenario(workspace):
        writers: set[int] = set()
        workspace.record = _Noting(workspace.record, writers)
        await get(workspace)
        assert writers == {threading.get_ident()}

    scene.play(scenario)


class _Noting:
    """A record that notes who writes it."""

    def __init__(self, record, writers) -> None:
        self._record = record
        self._writers = writers

    def __getattr__(self, name):
        self._writers.add(threading.get_ident())
        return getattr(self._record, name)
