"""What is renewed ahead of its end, when, and what is left alone."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from git_credential_relay.credential.credential import Credential
from git_credential_relay.credential.forge import Target
from git_credential_relay.errors import (
    ConfigError,
    DeniedError,
    RateLimitedError,
    RelayError,
    TransportError,
    UnavailableError,
)
from git_credential_relay.relay.sidecar.record import Record, answered
from git_credential_relay.relay.sidecar.refresh import RefreshAhead
from git_credential_relay.secret import Secret, token_sha256
from tests.fakes.configs import GITHUB_COM
from tests.fakes.fake_clock import FakeClock
from tests.fakes.issued import issued

HOUR = 3600.0
MIN_LIFETIME = 600.0
# With the chance taken out: before a token has less than its minimum.
BEGINS = HOUR - MIN_LIFETIME - 175
ENDS = HOUR - MIN_LIFETIME
UNREACHED = TransportError("nobody there", code="connect-failed")


class Workspace:
    """A record with tokens in it, whose renewals a test ends as it likes."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.record = Record()
        self.asked: list[str] = []
        self.futures: list[asyncio.Future[Credential | RelayError | None]] = []
        self.served: Callable[[Target], bool] = lambda target: True
        self.broken: RelayError | None = None
        self.ahead = RefreshAhead(
            self.record,
            self.renew,
            lambda target: self.served(target),
            MIN_LIFETIME,
            self.clock.clock,
            rng=lambda least, most: least,
        )

    def renew(self, target: Target) -> asyncio.Future[Credential | RelayError | None]:
        if self.broken is not None:
            raise self.broken
        self.asked.append(str(target.repository))
        self.futures.append(asyncio.get_running_loop().create_future())
        return self.futures[-1]

    def fetched(self, name: str, life: float | None = HOUR) -> None:
        """Somebody asked and had to wait for it."""
        use = self.record.asked(Target(GITHUB_COM, name), self.clock.now)
        answered(use, issued(f"{name} at {self.clock.now}", self.clock, life), self.clock.now)

    def used(self, *names: str) -> None:
        """Somebody gets it from memory."""
        for name in names:
            self.record.asked(Target(GITHUB_COM, name), self.clock.now)

    def looks(self, seconds: float = 0.0) -> list[str]:
        """What is asked for by a look after so many seconds."""
        self.clock.advance(seconds)
        before = len(self.asked)
        self.ahead.look()
        return self.asked[before:]

    async def ends(self, result: Credential | RelayError | None, number: int = -1) -> None:
        """The renewal of that number, the last one as a rule, ends so."""
        self.futures[number].set_result(result)
        await asyncio.sleep(0)


def play(scenario: Callable[[Workspace], Coroutine[Any, Any, object]]) -> None:
    asyncio.run(scenario(Workspace()))


def in_use(workspace: Workspace, *names: str, until: float = BEGINS) -> None:
    """Tokens that are fetched now and used a little before `until` seconds have passed."""
    for name in names:
        workspace.fetched(name)
    workspace.clock.advance(until - 10)
    workspace.used(*names)
    workspace.clock.advance(10)


def test_what_is_in_use_is_renewed_before_it_runs_short():
    """Three minutes before a get would have to wait, and not before."""

    async def scenario(workspace):
        in_use(workspace, "a/b", until=BEGINS - 1)
        assert workspace.looks() == []
        assert workspace.looks(1) == ["a/b"]
        assert workspace.looks(10) == []  # it is under way

    play(scenario)


@pytest.mark.parametrize(
    ("life", "used_at", "looked_at"),
    [
        (1000, None, 300),
        (1000, 0, 300),
        (2 * HOUR, HOUR, HOUR + 1801),
        (HOUR, BEGINS, ENDS + 1),
        (959, 200, 250),
        (None, 200, 250),
    ],
    ids=[
        "not used",
        "used as it was fetched",
        "used long ago",
        "too late: the next get asks",
        "too short a life",
        "unknown life",
    ],
)
def test_what_is_left_alone(life, used_at, looked_at):
    """Nobody would miss it, or it would be fetched all the time."""

    async def scenario(workspace):
        workspace.fetched("a/b", life)
        if used_at is not None:
            workspace.clock.advance(used_at)
            workspace.used("a/b")
        assert workspace.looks(looked_at - (used_at or 0)) == []

    play(scenario)


def test_a_far_end_is_not_trusted_ahead_either():
    """After 55 minutes a get asks anew whatever the expiry, so that is when it runs short."""

    async def scenario(workspace):
        workspace.fetched("a/b", 8 * HOUR)
        workspace.clock.advance(3000)
        workspace.used("a/b")
        assert workspace.looks(124) == []
        assert workspace.looks(1) == ["a/b"]

    play(scenario)


def test_a_renewed_token_has_to_be_used_again():
    """One that nobody uses is renewed once, and then no more."""

    async def scenario(workspace):
        in_use(workspace, "a/b")
        workspace.looks()
        await workspace.ends(issued("new", workspace.clock))
        [use] = workspace.record.uses()
        assert (use.token_sha256, use.hits) == (token_sha256(Secret("new")), 0)
        assert workspace.looks(BEGINS) == []
        workspace.used("a/b")
        assert workspace.looks(1) == ["a/b"]

    play(scenario)


def test_a_refusal_of_the_replaced_token_is_still_noted():
    """Git got the old one just before; that the forge refused it is worth knowing."""

    async def scenario(workspace):
        in_use(workspace, "a/b")
        [use] = workspace.record.uses()
        old = use.token_sha256
        workspace.looks()
        await workspace.ends(issued("new", workspace.clock))
        workspace.record.refused(use.target, old, workspace.clock.now)
        assert use.is_troubled

    play(scenario)


def test_four_at_a_time():
    """The next one begins when one has ended, and each is asked for once."""

    async def scenario(workspace):
        names = [f"a/{number}" for number in range(7)]
        in_use(workspace, *names)
        assert len(workspace.looks()) == 4
        assert workspace.looks(10) == []
        for number in range(7):
            assert len(workspace.asked) == min(7, 4 + number)
            await workspace.ends(issued("new", workspace.clock), number)
        assert sorted(workspace.asked) == names

    play(scenario)


def test_an_api_that_gives_nothing_better_is_not_asked_in_a_loop():
    """It is asked again after a minute, then two, and never after the token ran short."""

    async def scenario(workspace):
        in_use(workspace, "a/b")
        asked_after = []
        for second in range(0, 400, 5):
            if workspace.looks():
                asked_after.append(second)
                await workspace.ends(None)
            workspace.used("a/b")
            workspace.clock.advance(5)
        assert asked_after == [0, 60]

    play(scenario)


@pytest.mark.parametrize(("said", "quiet"), [(90, 90), (None, 60), (10**9, 3600)])
def test_a_rate_limit_quietens_the_whole_workspace(said, quiet):
    """As long as the server says, up to an hour; whoever of us it was said to."""

    async def scenario(workspace):
        workspace.ahead.quieten(RateLimitedError("busy", retry_after=said))
        workspace.ahead.quieten(UNREACHED)  # 15 s, which shorten nothing
        for name in ("a/b", "a/c"):
            workspace.ahead.hurry(Target(GITHUB_COM, name))
        workspace.clock.advance(quiet - 1)
        workspace.ahead.hurry(Target(GITHUB_COM, "a/b"))
        assert workspace.asked == []
        workspace.clock.advance(1)
        workspace.ahead.hurry(Target(GITHUB_COM, "a/b"))
        assert workspace.asked == ["a/b"]

    play(scenario)


def test_an_api_that_is_not_reached_is_tried_by_one_after_the_other():
    """Nothing else begins for a quarter of a minute; then on and on while there is a token in
    use, also when it has run short: so that we know when the API is back."""

    async def scenario(workspace):
        in_use(workspace, "a/b")
        asked_after = []
        for second in range(0, 240, 5):
            if workspace.looks():
                asked_after.append(second)
                await workspace.ends(UNREACHED)
            workspace.used("a/b")
            workspace.clock.advance(5)
        assert asked_after == list(range(0, 240, 15))

    play(scenario)


def test_trouble_with_one_target_is_not_the_others():
    """A forge that the API has trouble with waits half a minute; the rest goes on."""

    async def scenario(workspace):
        in_use(workspace, "a/b", "a/c")
        assert workspace.looks() == ["a/c", "a/b"]
        await workspace.ends(UnavailableError("its forge is down"), 0)
        await workspace.ends(issued("new", workspace.clock), 1)
        assert workspace.looks(29) == []
        assert workspace.looks(2) == ["a/c"]

    play(scenario)


def test_trouble_with_everything_quietens_too():
    """An API that is in trouble is not asked for a thousand things as fast as it can answer."""

    async def scenario(workspace):
        names = [f"a/{number}" for number in range(30)]
        in_use(workspace, *names)
        workspace.looks()
        for number in range(len(names)):
            if number < len(workspace.futures):
                await workspace.ends(UnavailableError("in trouble"), number)
        assert len(workspace.asked) == 8 + 3  # those that were under way when it was clear
        assert workspace.looks(14) == []
        assert len(workspace.looks(1)) == 4

    play(scenario)


def test_trouble_with_some_things_now_and_then_quietens_nothing():
    """An answer in between shows that it is not trouble with everything."""

    async def scenario(workspace):
        in_use(workspace, *[f"a/{number}" for number in range(30)])
        workspace.looks()
        for number in range(30):
            ended = None if number % 5 == 4 else UnavailableError("in trouble")
            await workspace.ends(ended, number)
        assert len(workspace.asked) == 30

    play(scenario)


@pytest.mark.parametrize("error", [DeniedError("no"), UnavailableError("no", retryable=False)])
def test_a_refusal_is_final(error):
    """The token in hand is used until it runs short, and then the asker hears of it."""

    async def scenario(workspace):
        in_use(workspace, "a/b")
        workspace.looks()
        await workspace.ends(error)
        for _ in range(30):
            workspace.used("a/b")
            assert workspace.looks(10) == []

    play(scenario)


def test_a_secret_that_cannot_be_read_is_tried_again():
    """It may be in the middle of its rotation."""

    async def scenario(workspace):
        in_use(workspace, "a/b")
        workspace.looks()
        await workspace.ends(ConfigError("no such file"))
        assert workspace.looks(29) == []
        assert workspace.looks(2) == ["a/b"]

    play(scenario)


def test_an_ended_one_begins_nothing():
    """Neither what is due nor what waits for its turn, once the workspace has gone."""

    async def scenario(workspace):
        in_use(workspace, *(f"a/{number}" for number in range(6)))
        workspace.looks()
        workspace.ahead.stop()
        await workspace.ends(issued("new", workspace.clock))
        workspace.ahead.hurry(Target(GITHUB_COM, "a/0"))
        assert workspace.looks(10) == []
        assert len(workspace.asked) == 4

    play(scenario)


def test_a_host_that_is_not_served_any_more():
    """After an edit nothing is fetched for it, though it was used a minute ago."""

    async def scenario(workspace):
        in_use(workspace, "a/b", "a/c")
        workspace.served = lambda target: target.repository == "a/b"
        assert workspace.looks() == ["a/b"]

    play(scenario)


def test_hurry_begins_at_once_and_once():
    """Whoever was given an old token makes us try; a hundred of them make us try once."""

    async def scenario(workspace):
        for _ in range(100):
            workspace.ahead.hurry(Target(GITHUB_COM, "a/b"))
        assert workspace.asked == ["a/b"]
        await workspace.ends(UnavailableError("still down"))
        workspace.ahead.hurry(Target(GITHUB_COM, "a/b"))
        assert workspace.asked == ["a/b"]
        workspace.clock.advance(31)
        workspace.ahead.hurry(Target(GITHUB_COM, "a/b"))
        assert workspace.asked == ["a/b"] * 2

    play(scenario)


def test_without_threads_it_is_tried_later():
    """A machine that has none to give fails nobody's get."""

    async def scenario(workspace):
        in_use(workspace, "a/b")
        workspace.broken = RelayError("no thread", code="sidecar-busy", retryable=True)
        workspace.ahead.hurry(Target(GITHUB_COM, "a/b"))
        workspace.broken = None
        assert workspace.looks(31) == ["a/b"]

    play(scenario)
