"""Every request is authorised anew, whatever the cache holds."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace

import pytest

from git_credential_relay.broker.audit.event import AuditEvent
from git_credential_relay.broker.buckets import Buckets
from git_credential_relay.broker.errors import (
    BadRequestError,
    BrokerError,
    CallerUnknownError,
    ForgeRefusedError,
    TooManyRequestsError,
    WorkspaceChangedError,
)
from git_credential_relay.broker.identity.guesses import Guesses
from git_credential_relay.broker.identity.identify import Identifier
from git_credential_relay.broker.policy import Denied, NotServed
from git_credential_relay.broker.vend.authorised import AuthorisedVending
from git_credential_relay.broker.vend.interface import Query, Vended
from git_credential_relay.broker.workspace import AcceptedSecret
from tests.unit.broker.vend.chain import Chain, workspace_with

SECRET = "the secret of workspace w1"
QUERY = Query(SECRET, "w1", "github.com", "acme/app", address="192.0.2.1")


def w1(*repositories, **more):
    hashed = hashlib.sha256(SECRET.encode()).digest()
    return replace(workspace_with(*repositories, **more), secrets=(AcceptedSecret(hashed),))


class NoIssuer:
    """Vouches for nobody."""

    async def verify(self, unverified_token):
        """Refuse."""
        raise CallerUnknownError("no issuer")


class World:
    """An authorised chain over the workspaces in `workspaces`, which a test may edit."""

    def __init__(self, *, per_minute=600, on_order=lambda order: None):
        self.chain = Chain()
        self.workspaces = {"w1": w1("acme/*")}
        self.has_source = True
        self.ended: list[str] = []
        self.before_answer = lambda: None
        clock = self.chain.clock
        self.vending = AuthorisedVending(
            self,
            Identifier(NoIssuer(), None, clock),
            Buckets(per_minute, now=clock),
            Guesses(20, now=clock),
            lambda allowed: self.chain.source if self.has_source else None,
            self._inner,
            min_lifetime=600,
            on_order=on_order,
            on_too_late=self._end,
        )

    async def find(self, workspace_id):
        """What there is right now."""
        return self.workspaces.get(workspace_id)

    async def ask(self, **changes):
        """The answer and the event of a query that differs from QUERY in this."""
        event = AuditEvent(at=0, request_id="r")
        return await self.vending.vend(replace(QUERY, **changes), event), event

    async def _inner(self, order, event):
        answer = await self.chain.cached.vend(order, event)
        self.before_answer()
        return answer

    async def _end(self, workspace_id):
        self.ended.append(workspace_id)


def test_who_may_gets_a_token_and_the_event_says_who_it_was():
    """A known secret and a granted repository make a vend, with all that the audit needs."""
    answer, event = asyncio.run(World().ask())

    assert isinstance(answer, Vended)
    assert (answer.host, answer.repositories) == ("github.com", ("acme/app",))
    assert (event.workspace, event.caller, event.source) == ("w1", "secret:w1", "fake")
    assert event.permissions_asked == {"contents": "write"}


@pytest.mark.parametrize(
    "changes",
    [
        {"unverified_bearer": "wrong"},
        {"unverified_bearer": None},
        {"unverified_workspace_id": "w2"},
        {"unverified_bearer": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ3MSJ9."},
    ],
    ids=["wrong secret", "no secret", "no such workspace", "unsigned token"],
)
def test_who_is_unknown_learns_nothing(changes):
    """One answer for a wrong secret, no secret and no workspace; nothing is minted."""
    world = World()

    with pytest.raises(CallerUnknownError) as caught:
        asyncio.run(world.ask(**changes))
    assert str(caught.value) == str(CallerUnknownError("x"))
    assert world.chain.source.mints == 0


def test_a_request_without_a_workspace_is_malformed():
    """The workspace has to be named."""
    with pytest.raises(BadRequestError):
        asyncio.run(World().ask(unverified_workspace_id=None))


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"path": "evil/app"}, Denied),
        ({"host": "gitlab.com"}, NotServed),
    ],
)
def test_denied_and_not_served_reach_no_source(changes, kind):
    """What the policy does not allow is answered before cache and forge."""
    world = World()

    answer, _ = asyncio.run(world.ask(**changes))

    assert isinstance(answer, kind)
    assert world.chain.source.mints == 0


async def end_of(asking):
    """The kind of answer, or of error, that a question ends with."""
    try:
        answer, _ = await asking
    except BrokerError as error:
        return type(error)
    return type(answer)


def test_a_warm_cache_authorises_nobody():
    """Right after a permitted request its token is denied to wrong secrets and edited policies."""

    async def scenario():
        world = World()
        await world.ask()
        ends = [await end_of(world.ask(unverified_bearer="wrong"))]
        world.workspaces["w1"] = w1("other/app")
        ends.append(await end_of(world.ask()))
        del world.workspaces["w1"]
        ends.append(await end_of(world.ask()))
        return ends, world.chain.source.mints

    assert asyncio.run(scenario()) == ([CallerUnknownError, Denied, CallerUnknownError], 1)


def test_a_narrowed_grant_takes_effect_on_the_next_request():
    """After an edit the next token has the new permissions, not the cached ones."""

    async def scenario():
        world = World()
        before, _ = await world.ask()
        world.workspaces["w1"] = w1("acme/*", permissions={"contents": "read"})
        after, event = await world.ask()
        return before.permissions, after.permissions, event.cache

    assert asyncio.run(scenario()) == ({"contents": "write"}, {"contents": "read"}, "miss")


@pytest.mark.parametrize(
    ("edit", "ended", "error"),
    [
        (lambda workspaces: workspaces.pop("w1"), ["w1"], CallerUnknownError),
        (lambda workspaces: workspaces.update(w1=w1("other/app")), [], WorkspaceChangedError),
        (
            lambda workspaces: workspaces.update(w1=w1("acme/*", revision=7)),
            [],
            WorkspaceChangedError,
        ),
    ],
    ids=["deleted", "edited", "made anew"],
)
def test_an_edit_while_the_forge_mints_is_not_too_late(edit, ended, error):
    """A workspace that changes in the middle of its mint gets no token of the old policy."""
    world = World()
    world.before_answer = lambda: edit(world.workspaces)

    with pytest.raises(error):
        asyncio.run(world.ask())
    assert world.ended == ended


def test_a_workspace_without_a_source_is_told_what_is_missing():
    """A grant that no integration mints for ends with a hint for the operator."""
    world = World()
    world.has_source = False

    with pytest.raises(ForgeRefusedError) as caught:
        asyncio.run(world.ask())
    assert caught.value.code == "NO_INTEGRATION"


def test_a_workspace_that_asks_too_often_waits_and_others_do_not():
    """The limit is the workspace's own, and the answer says when to come back."""

    async def scenario():
        world = World(per_minute=2)
        world.workspaces["w2"] = replace(w1("acme/*"), id="w2")
        for _ in range(2):
            await world.ask()
        try:
            await world.ask()
        except TooManyRequestsError as error:
            other, _ = await world.ask(unverified_workspace_id="w2")
            return error.retry_after, type(other)
        return None

    wait, other = asyncio.run(scenario())

    assert 0 < wait <= 60
    assert other is Vended


def test_guesses_are_limited_by_address_and_do_not_lock_the_workspace_out():
    """Wrong secrets from one address end in waiting; the owner elsewhere, and whoever else is
    behind that address, are served."""

    async def scenario():
        world = World()
        ends = []
        for _ in range(60):
            try:
                await world.ask(unverified_bearer="guess")
            except BrokerError as error:
                ends.append(type(error))
        served, _ = await world.ask(address="192.0.2.2")
        world.workspaces["w2"] = replace(w1("acme/*"), id="w2")
        neighbour, _ = await world.ask(unverified_workspace_id="w2")
        return ends[0], ends[-1], type(served), type(neighbour)

    assert asyncio.run(scenario()) == (CallerUnknownError, TooManyRequestsError, Vended, Vended)


def test_only_what_was_vended_is_renewed_later():
    """A name that the forge does not know is not remembered: there is no end of them."""

    async def scenario():
        asked = []
        world = World(on_order=lambda order: asked.append(order.scope.repositories[0].name))
        await world.ask()
        world.chain.source.fails = ForgeRefusedError("there is no such repository")
        with pytest.raises(ForgeRefusedError):
            await world.ask(path="acme/none")
        return asked

    assert asyncio.run(scenario()) == ["acme/app"]
