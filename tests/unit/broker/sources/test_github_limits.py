"""GitHub's rate limits: read, waited out where there is time, and told where there is none."""

import asyncio
import time

import pytest

from git_credential_relay.broker.errors import ForgeUnavailableError
from git_credential_relay.broker.sources.github_app.rate_limits import RateLimits, is_limited
from git_credential_relay.broker.sources.hooks import SourceHooks
from git_credential_relay.broker.sources.http import ForgeAnswer
from tests.fakes.fake_clock import START, FakeClock
from tests.fakes.github_app import (
    MINTS,
    GitHubAppWorld,
    hooks_of,
    minting,
    new_lease,
    scope_of,
    soon,
)

SECONDARY = {"message": "You have exceeded a secondary rate limit. Please wait."}


def spent(seconds):
    """The headers of a primary limit that is reset in so many seconds."""
    return {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(START + seconds))}


LIMITS = [
    (429, {}, {"Retry-After": "12"}, 12.0),
    (403, {}, {"Retry-After": "12", **spent(30)}, 12.0),
    (403, {"message": "API rate limit exceeded"}, spent(30), 31.0),
    (429, {}, spent(30), 31.0),
    (403, SECONDARY, {"X-RateLimit-Remaining": "4000"}, 60.0),
    (429, {}, {}, 60.0),
]
IDS = ["429 after", "403 after first", "403 reset", "429 reset", "secondary", "bare 429"]


@pytest.mark.parametrize(("status", "body", "headers", "seconds"), LIMITS, ids=IDS)
def test_a_limit_is_waited_out_where_there_is_time(status, body, headers, seconds):
    """In GitHub's order: Retry-After, then the reset of a spent limit, then a minute."""
    clock = FakeClock()
    with GitHubAppWorld(lambda: clock.now) as world:
        world.faults.inject("POST", MINTS, status=status, body=body, headers=headers)
        minted = world.run(minting(scope_of("acme/app"), 100.0), hooks=hooks_of(clock))

        assert minted.repositories == ("acme/app",)
        assert clock.slept == [seconds]


@pytest.mark.parametrize(("status", "body", "headers", "seconds"), LIMITS, ids=IDS)
def test_a_limit_is_told_where_there_is_no_time(status, body, headers, seconds):
    """The caller gets a 503 with the seconds to wait, at once and not after them."""
    clock = FakeClock()
    with GitHubAppWorld(lambda: clock.now) as world:
        world.faults.inject("POST", MINTS, status=status, body=body, headers=headers)
        with pytest.raises(ForgeUnavailableError) as caught:
            world.run(minting(scope_of("acme/app")), hooks=hooks_of(clock))

        error = caught.value
        assert (error.code, error.status, error.retryable) == ("FORGE_RATE_LIMITED", 503, True)
        assert error.retry_after == seconds
        assert clock.slept == []
        assert world.faults.count("POST") == 1


def test_a_limit_ends_by_the_forges_clock():
    """A broker whose clock is an hour fast does not think that the limit is over already."""
    with GitHubAppWorld() as world:
        reset = str(int(time.time()) + 300)
        headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}
        world.faults.inject("POST", MINTS, status=403, body={}, headers=headers)
        with pytest.raises(ForgeUnavailableError) as caught:
            world.run(
                minting(scope_of("acme/app")), hooks=SourceHooks(now=lambda: time.time() + 3600)
            )

        assert caught.value.retry_after == pytest.approx(301, abs=5)


def test_a_forge_that_is_limited_is_left_alone():
    """Until the time is over no request is sent: GitHub bans those who go on asking."""
    clock = FakeClock()
    with GitHubAppWorld(lambda: clock.now) as world:

        async def act(source):
            for _ in range(3):
                with pytest.raises(ForgeUnavailableError) as caught:
                    await minting(scope_of("acme/app"))(source)
                clock.advance(10)
            clock.advance(40)
            return caught.value, await minting(scope_of("acme/app"))(source)

        world.faults.inject("POST", MINTS, status=429, body={})
        error, minted = world.run(act, hooks=hooks_of(clock))

        assert error.retry_after == 40.0
        assert minted.repositories == ("acme/app",)
        assert world.faults.count("POST") == 2


def test_a_pause_that_is_nearly_over_is_waited_for():
    """A request in a pause that fits its deadline waits instead of failing."""
    clock = FakeClock()
    with GitHubAppWorld(lambda: clock.now) as world:

        async def act(source):
            with pytest.raises(ForgeUnavailableError):
                await minting(scope_of("acme/app"))(source)
            clock.advance(58)
            return await minting(scope_of("acme/app"))(source)

        world.faults.inject("POST", MINTS, status=429, body={})
        minted = world.run(act, hooks=hooks_of(clock))

        assert minted.repositories == ("acme/app",)
        assert clock.slept == [2.0]


def test_the_limit_of_one_installation_does_not_stop_the_app():
    """Agents use their installation's limit up; that says nothing about minting."""
    clock = FakeClock()
    with GitHubAppWorld(lambda: clock.now) as world:
        path = "/installation/repositories"
        world.faults.inject("GET", path, status=403, body={}, headers=spent(1800), times=None)

        async def act(source):
            minted = await minting(scope_of("acme/app"))(source)
            is_accepted = await source.is_accepted(minted.token, scope_of("acme/app"))
            await minting(scope_of("acme/app"))(source)
            return is_accepted

        assert world.run(act, hooks=hooks_of(clock))


def test_a_revocation_that_is_limited_can_be_tried_later():
    """Whoever revokes is told that it may be tried again."""
    with GitHubAppWorld() as world:
        headers = {"Retry-After": "9"}
        world.faults.inject("DELETE", status=429, body={}, headers=headers)

        async def act(source):
            minted = await minting(scope_of("acme/app"))(source)
            await source.revoke(new_lease(minted.token))

        with pytest.raises(ForgeUnavailableError) as caught:
            world.run(act)

        assert caught.value.retry_after == 9.0


def test_the_real_limit_of_the_fake_is_understood():
    """The forge's own refusal of a spent limit, not an injected one."""
    clock = FakeClock()
    with GitHubAppWorld(lambda: clock.now) as world:
        world.github.remaining = 1
        with pytest.raises(ForgeUnavailableError) as caught:
            world.run(minting(scope_of("acme/app")), hooks=hooks_of(clock))

        assert caught.value.retry_after == 1801.0


def test_what_is_left_is_told_to_the_metrics():
    """Each answer to the App says how many requests are left."""
    seen = []
    hooks = SourceHooks(on_rate_limit=lambda name, left: seen.append((name, left)))
    with GitHubAppWorld() as world:
        world.run(minting(scope_of("acme/app")), hooks=hooks)

        assert dict.fromkeys(seen) == {("hub", 4999): None, ("hub", 4998): None}


def limited_answer(**headers):
    """A 429 with these headers."""
    return ForgeAnswer(429, headers, b"{}")


def test_the_minute_grows_while_the_forge_keeps_refusing():
    """A secondary limit without a time of its own doubles; the first success ends that."""
    clock = FakeClock()
    limits = RateLimits(lambda: clock.now, lambda left: None)
    waits = []
    for _ in range(8):
        for _ in range(5):  # many at once count as one
            limits.learn(limited_answer())
        waits.append(limits.pause_seconds())
        clock.advance(waits[-1])
    limits.learn(ForgeAnswer(201, {}, b"{}"))
    limits.learn(limited_answer())

    assert waits == [60, 120, 240, 480, 960, 1920, 1920, 1920]
    assert limits.pause_seconds() == 60


def test_no_answer_can_lock_the_broker_out():
    """However far away a reset is said to be, an hour is the most, also if clocks change."""
    clock = FakeClock()
    limits = RateLimits(lambda: clock.now, lambda left: None)
    limits.learn(limited_answer(**{"retry-after": "999999999"}))
    clock.now -= 10 * 86_400

    assert limits.pause_seconds() == 3600


@pytest.mark.parametrize(
    ("status", "headers", "body", "expected"),
    [
        (403, {}, b'{"message": "Resource not accessible by integration"}', False),
        (403, {"x-ratelimit-remaining": "17"}, b"{}", False),
        (403, {"x-ratelimit-remaining": "nonsense"}, b"{}", False),
        (403, {}, b'{"message": "You have triggered an abuse detection mechanism"}', True),
        (401, {"retry-after": "5"}, b"{}", False),
        (200, {"x-ratelimit-remaining": "0"}, b"{}", False),
    ],
)
def test_only_a_limit_counts_as_one(status, headers, body, expected):
    """A 403 is one only with a sign of it, and a success never."""
    assert is_limited(ForgeAnswer(status, headers, body)) is expected


def test_many_at_once_are_not_told_off_one_by_one():
    """Concurrent mints that meet a limit all end in the same error."""
    clock = FakeClock()
    with GitHubAppWorld(lambda: clock.now) as world:

        async def act(source):
            world.faults.inject("POST", MINTS, status=429, body={}, times=None)
            mints = (
                source.mint(source.narrow(scope_of("acme/app")), new_lease(), soon())
                for _ in range(20)
            )
            return await asyncio.gather(*mints, return_exceptions=True)

        errors = world.run(act, hooks=hooks_of(clock))

        assert {error.code for error in errors} == {"FORGE_RATE_LIMITED"}
        assert {error.retry_after for error in errors} == {60.0}
