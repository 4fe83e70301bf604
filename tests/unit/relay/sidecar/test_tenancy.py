"""Who is served where, from one configuration to the next."""

from __future__ import annotations

import asyncio
import gc
import os
import weakref
from dataclasses import replace

import pytest

from git_credential_relay.config import load
from git_credential_relay.errors import ConfigError
from git_credential_relay.relay.deadline import Clock
from git_credential_relay.relay.sidecar.peer import Callers, Peer
from git_credential_relay.relay.sidecar.room import Room
from git_credential_relay.relay.sidecar.tenancy import Tenancy
from git_credential_relay.relay.sidecar.workspaces import Tenant
from git_credential_relay.trace import Trace
from tests.fakes.sidecar import socket_directory


@pytest.fixture
def directory():
    """Where sockets may be."""
    with socket_directory() as directory:
        yield directory


def tenant(directory, name: str, uid: int, socket: str = "s", gh: str | None = None) -> Tenant:
    """A workspace for one user."""
    environ = {"WORKSPACE_ID": f"id-{name}", "WORKSPACE_TOKEN": "x"}
    config = load({**environ, "CLOUD_API_URL": "https://cloud.example"}, files=[])
    callers = Callers(frozenset({uid}), frozenset())
    gh_socket = f"{directory}/{gh}" if gh else None
    return Tenant(name, config, callers, f"{directory}/{socket}", gh_socket)


def tenancy(lines: list[str]) -> Tenancy:
    """One that serves nobody yet."""
    return Tenancy(lines.append, Clock(), Trace(), Room())


def peer(uid: int, pid: int = 1) -> Peer:
    """A process of this user."""
    return Peer(pid, uid, frozenset())


def test_a_removed_workspace_is_forgotten(directory):
    """Nothing holds it, nor its tokens, once it is no more served."""

    async def test() -> None:
        served = tenancy([])
        await served.apply([tenant(directory, "a", 1), tenant(directory, "b", 2)])
        gone = weakref.ref(served.workspaces[0])
        cache = weakref.ref(served.workspaces[0]._cache)
        await served.apply([tenant(directory, "b", 2)])
        await asyncio.sleep(0.05)
        gc.collect()
        found = served.find(f"{directory}/s", peer(1)), gone(), cache()
        await served.close(0)

        assert found == (None, None, None)

    asyncio.run(test())


def test_what_did_not_change_stays(directory):
    """An edit of one workspace leaves the others as they are."""

    async def test() -> None:
        served = tenancy([])
        await served.apply([tenant(directory, "a", 1), tenant(directory, "b", 2)])
        before = served.find(f"{directory}/s", peer(1))
        await served.apply([tenant(directory, "a", 1), tenant(directory, "b", 3)])
        after = served.find(f"{directory}/s", peer(1))
        await served.close(0)

        assert before is after
        assert before is not None

    asyncio.run(test())


def test_another_workspace_of_the_same_name_knows_nothing_of_the_first(directory):
    """An edit keeps tokens and history; another identity in the same file has neither."""

    async def test() -> None:
        served = tenancy([])
        first = tenant(directory, "a", 1)
        await served.apply([first])
        [before] = served.workspaces
        await served.apply([replace(first, ca_facts=(1, 1, 1, 1))])
        [edited] = served.workspaces
        await served.apply([replace(first, config=tenant(directory, "b", 1).config)])
        [other] = served.workspaces
        await served.close(0)

        assert before is not edited
        assert (edited.record, edited._cache) == (before.record, before._cache)
        assert other.record is not before.record
        assert other._cache is not before._cache

    asyncio.run(test())


def test_the_own_user_sees_all_of_them_from_here_alone(directory):
    """The same uid in another container, whose pid we do not see, is somebody else."""

    async def test() -> None:
        served = tenancy([])
        await served.apply([tenant(directory, "a", 1), tenant(directory, "b", 2)])
        path = f"{directory}/s"
        seen = [
            [each.name for each in served.see(path, who)]
            for who in (peer(os.geteuid()), peer(os.geteuid(), pid=0), peer(2, pid=0), peer(3))
        ]
        await served.close(0)

        assert seen == [["a", "b"], [], ["b"], []]

    asyncio.run(test())


def test_one_socket_is_not_two_things(directory):
    """Git's socket does not become gh's under the clients' feet, nor is it both."""

    async def test() -> None:
        served = tenancy([])
        with pytest.raises(ConfigError):
            await served.apply([tenant(directory, "a", 1, "s", "s")])
        await served.apply([tenant(directory, "a", 1, "s", "g")])
        with pytest.raises(ConfigError):
            await served.apply([tenant(directory, "a", 1, "g", "s")])
        sockets = served.sockets
        await served.close(0)

        assert sockets == [f"{directory}/s", f"{directory}/g"]
        assert not any(p.name in ("s", "g") for p in directory.iterdir())

    asyncio.run(test())
