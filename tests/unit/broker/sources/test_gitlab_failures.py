"""What GitLab's refusals and troubles come to, row by row of its contract."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from git_credential_relay.broker.errors import (
    ForgeError,
    ForgeRefusedError,
    ForgeUnavailableError,
    GrantMissingError,
)
from git_credential_relay.broker.sources.interface import Minted
from tests.fakes.gitlab import (
    REPOSITORY,
    TOKENS,
    Clock,
    GitLabWorld,
    deadline,
    scope_of,
    use,
)

STATIC = 'token_file = "gitlab.token"\nmode = "static"'
SELF = "/api/v4/personal_access_tokens/self"


@pytest.fixture
def clock() -> Clock:
    """The clock of forge and broker."""
    return Clock()


@pytest.fixture
def world(clock: Clock) -> Iterator[GitLabWorld]:
    """A GitLab that nothing of ours may surprise."""
    with GitLabWorld(clock) as world:
        yield world
        assert world.faults.violations == []


def mint(
    world: GitLabWorld, seconds: float = 5.0, settings: str = "", contents: str = "write"
) -> Minted:
    """A token of a source that is closed afterwards."""
    source = world.source(world.config(settings) if settings else None)
    return asyncio.run(
        use(source, lambda s: s.mint(scope_of(contents=contents), world.lease(), deadline(seconds)))
    )


def failure(world: GitLabWorld, seconds: float = 5.0, settings: str = "") -> ForgeError:
    """The error that a mint ends in."""
    with pytest.raises(ForgeError) as caught:
        mint(world, seconds, settings)
    return caught.value


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (401, {"message": "401 Unauthorized"}, "FORGE_TOKEN_REJECTED"),
        (401, {"error": "invalid_token", "error_description": "expired"}, "FORGE_TOKEN_REJECTED"),
        (403, {"message": "403 Forbidden"}, "FORGE_FORBIDDEN"),
        (403, {"error": "insufficient_scope", "scope": "api"}, "FORGE_FORBIDDEN"),
        (404, {"message": "404 Project Not Found"}, "FORGE_REPOSITORY_NOT_FOUND"),
        (400, {"error": "scopes is missing"}, "FORGE_REFUSED"),
        (400, {"message": {"expires_at": ["is too late"]}}, "FORGE_REFUSED"),
        (405, {"message": "405 Method Not Allowed"}, "FORGE_REFUSED"),
        (409, {"message": "conflict"}, "FORGE_REFUSED"),
        (422, {"message": ["is not allowed"]}, "FORGE_REFUSED"),
        (302, "", "FORGE_REFUSED"),
    ],
)
def test_a_refusal_is_final_and_has_its_cause(world, status, body, code):
    """A refusal is never tried again (a 404 once, with a new look-up), and says what to do."""
    world.faults.inject("POST", TOKENS, status=status, body=body, times=None)
    error = failure(world)
    assert isinstance(error, ForgeRefusedError)
    assert (error.code, error.retryable) == (code, False)
    assert error.hint
    assert world.faults.count("POST", TOKENS) == (2 if status == 404 else 1)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"message": "plain words"}, "plain words"),
        ({"message": {"expires_at": ["is late", "is odd"]}}, "expires_at: is late, is odd"),
        ({"message": ["first", "second"]}, "first, second"),
        ({"error": "scopes is missing"}, "scopes is missing"),
        ({"error": "invalid", "error_description": "words"}, "invalid; words"),
        ("<html>a page\x1b[31m</html>", "<html>a page"),
        ({"message": "has glpat-abcdefghijklmnopqrst inside"}, "has ******** inside"),
    ],
)
def test_all_shapes_of_errors_are_read(world, body, words):
    """GitLab's own words reach the person, on one safe line and without any token."""
    world.faults.inject("POST", TOKENS, status=400, body=body)
    assert words in str(failure(world))


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_gateways_trouble_is_tried_again_and_leaves_no_orphan(world, status):
    """A gateway may have lost the answer to a mint that worked: its token is deleted."""
    world.faults.inject(
        "POST", TOKENS, changes=lambda answer: type(answer)(status, "<html>", {}, "text/html")
    )
    minted = mint(world)
    assert world.git_works(minted.token, minted.username, REPOSITORY, push=True)
    assert world.gitlab.counts["mint"] == 2
    assert len(world.gitlab.names_of_living_tokens()) == 1


def test_a_server_error_is_not_tried_again(world):
    """After a 500 nobody knows what happened, so the mint is not sent again."""
    world.faults.inject("POST", TOKENS, status=500, body={"message": "500"}, times=None)
    assert isinstance(failure(world), ForgeUnavailableError)
    assert world.faults.count("POST", TOKENS) == 1


def test_trouble_that_stays_is_unavailable_after_three_attempts(world):
    """A gateway that stays down is asked three times."""
    world.faults.inject("POST", TOKENS, status=503, body="", times=None)
    assert failure(world).retryable
    assert world.faults.count("POST", TOKENS) == 3


def test_a_lost_answer_is_not_asked_for_again_and_leaves_no_orphan(world):
    """A connection that broke after the forge acted: one mint, whose token is deleted."""
    world.faults.inject("POST", TOKENS, drops="after")
    assert isinstance(failure(world), ForgeUnavailableError)
    assert world.gitlab.counts["mint"] == 1
    assert world.gitlab.names_of_living_tokens() == []


def test_nothing_is_waited_for_after_the_deadline(world):
    """A forge that keeps silent costs the deadline and no more."""
    world.faults.inject("POST", TOKENS, delay_seconds=20)
    started = time.monotonic()
    assert isinstance(failure(world, seconds=0.5), ForgeUnavailableError)
    assert time.monotonic() - started < 2


def test_an_unreachable_forge(world):
    """Where nothing listens the connection is tried three times, and the error says so."""
    settings = 'token_file = "gitlab.token"\napi_url = "http://127.0.0.1:1/api/v4"'
    assert failure(world, settings=settings).code == "FORGE_UNAVAILABLE"
    assert len(world.waits) == 2


def test_look_ups_are_tried_again(world):
    """What only reads is tried again after any trouble."""
    world.faults.inject("GET", status=500, body={"message": "500"})
    world.faults.inject("GET", drops="after")
    assert mint(world).token
    assert len(world.waits) == 2


def test_a_plain_429_is_waited_for(world):
    """GitLab's 429 is plain text; its Retry-After is waited for when it fits."""
    world.faults.inject(
        "POST",
        TOKENS,
        status=429,
        body="Retry later\n",
        headers={"Retry-After": "2"},
        content_type="text/plain",
    )
    assert mint(world).token
    assert world.waits == [2.0]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({"Retry-After": "30"}, 30), ({"RateLimit-Reset": "now+40"}, 40), ({}, 1)],
)
def test_a_wait_that_does_not_fit_is_handed_on(world, clock, headers, seconds):
    """The caller is told when to ask again, from whichever header there is."""
    headers = {n: v.replace("now+40", str(int(clock()) + 40)) for n, v in headers.items()}
    world.faults.inject(
        "POST", TOKENS, status=429, body="Retry later\n", headers=headers, times=None
    )
    error = failure(world, seconds=1.1)
    assert error.code == "FORGE_RATE_LIMITED"
    assert error.retry_after == pytest.approx(seconds, abs=1)


def test_the_forges_own_limit(world):
    """When the forge has had enough, nothing is minted; what is left is told to the metrics."""
    world.gitlab.requests_left = 1
    assert failure(world).code == "FORGE_RATE_LIMITED"
    assert world.rate_limits[0] == 0


def test_no_secret_in_any_error(world):
    """Neither the broker's own token nor one the forge echoes is in a message or a reason."""
    own = (world.directory / "gitlab.token").read_text().strip()
    world.faults.inject("POST", TOKENS, status=400, body={"message": f"not {own}"})
    error = failure(world)
    assert own not in f"{error} {error.hint} {error.reason} {error!r}"


# A token that is handed out itself.


def test_a_static_token_is_lent(world):
    """Somebody's token is handed out, and is not ours to revoke."""
    minted = mint(world, settings=STATIC)
    assert minted.token.reveal() == (world.directory / "gitlab.token").read_text().strip()
    assert (minted.is_ours, minted.expires_at, minted.repositories) == (False, None, ())


def test_a_static_token_says_when_it_ends(world, clock):
    """The forge knows the date; what is over is refused before a push fails."""
    day = (datetime.fromtimestamp(clock(), UTC) + timedelta(days=2)).date()
    world.write("gitlab.token", world.gitlab.create_user_token(expires_on=day))
    end = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    assert mint(world, settings=STATIC).expires_at == end
    clock.seconds = end
    assert failure(world, settings=STATIC).code == "FORGE_TOKEN_REJECTED"


@pytest.mark.parametrize("scopes", [["api"], ["read_api", "write_repository"]])
def test_a_static_token_that_can_push_is_not_for_readers(world, scopes):
    """A grant that only reads never gets a token that can push."""
    world.write("gitlab.token", world.gitlab.create_user_token(scopes))
    with pytest.raises(GrantMissingError) as caught:
        mint(world, settings=STATIC, contents="read")
    assert caught.value.code == "PERMISSION_NOT_GRANTED"


def test_a_static_token_that_reads(world):
    """A token that only reads is for grants that only read."""
    world.write("gitlab.token", world.gitlab.create_user_token(["read_api", "read_repository"]))
    assert mint(world, settings=STATIC, contents="read").token
    assert failure(world, settings=STATIC).code == "FORGE_PERMISSION_NOT_GRANTED"


def test_a_static_token_that_may_not_ask_about_itself(world):
    """In doubt it counts as one that can push."""
    world.faults.inject("GET", SELF, status=403, body={"error": "insufficient_scope"}, times=None)
    assert mint(world, settings=STATIC).expires_at is None
    with pytest.raises(GrantMissingError):
        mint(world, settings=STATIC, contents="read")


# What a workspace would get.


def test_verify_names_what_will_work(world):
    """The project's number and all of the wanted permissions, with nothing minted."""
    wanted = {"contents": "write", "pull_requests": "write"}
    verified = asyncio.run(use(world.source(), lambda s: s.verify(REPOSITORY, wanted)))
    assert (verified.repository.id, verified.permissions) == (world.project, wanted)
    assert world.gitlab.counts["mint"] == 0


def test_verify_names_what_is_missing(world):
    """A permission that GitLab cannot give without more is named with its reason."""
    wanted = {"contents": "read", "pull_requests": "write", "issues": "write"}
    verified = asyncio.run(use(world.source(), lambda s: s.verify(REPOSITORY, wanted)))
    assert set(verified.permissions) == {"contents", "issues"}
    assert "push" in verified.missing["pull_requests"]


def test_verify_of_a_role_that_is_too_small(world):
    """A Developer cannot make tokens, so nothing would work, and the hint says what to do."""
    world.write("gitlab.token", world.gitlab.create_user_token(access_level=30))
    with pytest.raises(ForgeRefusedError) as caught:
        asyncio.run(use(world.source(), lambda s: s.verify(REPOSITORY, {"contents": "write"})))
    assert caught.value.code == "FORGE_FORBIDDEN"
    assert "Maintainer" in (caught.value.hint or "")


def test_verify_of_what_is_not_there(world):
    """An unknown project is refused, also after it was asked for a moment ago."""

    async def later(source):
        with pytest.raises(ForgeRefusedError) as caught:
            await source.verify("acme/new", {"contents": "write"})
        number = world.gitlab.create_project("acme/new")
        return caught.value.code, number, await source.verify("acme/new", {"contents": "write"})

    code, number, verified = asyncio.run(use(world.source(), later))
    assert (code, verified.repository.id) == ("FORGE_REPOSITORY_NOT_FOUND", number)
