"""Every way in which GitHub says no, and what becomes of it: the retry table, row by row."""

import asyncio
import time

import pytest

from git_credential_relay.broker.errors import ForgeRefusedError, ForgeUnavailableError
from git_credential_relay.broker.sources.hooks import SourceHooks
from tests.fakes.fake_clock import FakeClock
from tests.fakes.github_app import (
    LOOKUPS,
    MINTS,
    GitHubAppWorld,
    hooks_of,
    minting,
    scope_of,
)

EXPIRATION = "'Expiration time' claim ('exp') is too far in the future"


def failure(world, scope=None, **options):
    """The error that a mint ends in."""
    with pytest.raises((ForgeRefusedError, ForgeUnavailableError)) as caught:
        world.run(minting(scope or scope_of("acme/app"), 100.0), **options)
    return caught.value


@pytest.mark.parametrize(
    ("path", "status"),
    [(MINTS, 500), (MINTS, 502), (MINTS, 503), (MINTS, 504), (LOOKUPS, 502)],
)
def test_trouble_that_passes_is_not_noticed(path, status):
    """500, 502, 503 and 504 are tried twice more."""
    clock = FakeClock()
    with GitHubAppWorld(lambda: clock.now) as world:
        world.faults.inject(path=path, status=status, body={}, times=2)
        minted = world.run(minting(scope_of("acme/app"), 100.0), hooks=hooks_of(clock))

        assert minted.repositories == ("acme/app",)
        assert world.faults.count(path=path) == 3
        assert len(clock.slept) == 2
        assert all(0.3 < seconds < 2 for seconds in clock.slept)


@pytest.mark.parametrize("path", [MINTS, LOOKUPS])
def test_trouble_that_stays_is_unavailable(path):
    """After three attempts the caller is told to come again, and when."""
    clock = FakeClock()
    with GitHubAppWorld(lambda: clock.now) as world:
        headers = {"Retry-After": "7"}
        world.faults.inject(path=path, status=503, body="<html>", headers=headers, times=None)
        error = failure(world, hooks=hooks_of(clock))

        assert isinstance(error, ForgeUnavailableError)
        assert (error.code, error.retry_after) == ("FORGE_UNAVAILABLE", 7.0)
        assert clock.slept == [7.0, 7.0]
        assert world.faults.count(path=path) == 3


@pytest.mark.parametrize("drops", ["before", "after"])
@pytest.mark.parametrize("path", [MINTS, LOOKUPS])
def test_a_broken_connection_is_tried_again(path, drops):
    """Also where the forge may have acted: an orphan token expires by itself."""
    clock = FakeClock()
    with GitHubAppWorld(lambda: clock.now) as world:
        world.faults.inject(path=path, drops=drops, times=2)
        minted = world.run(minting(scope_of("acme/app"), 100.0), hooks=hooks_of(clock))

        assert minted.repositories == ("acme/app",)


def test_nobody_at_the_address_is_unavailable():
    """Where nothing was sent at all it is tried again as well, and then said."""
    clock = FakeClock()
    with GitHubAppWorld() as world:
        source = world.source(hooks=hooks_of(clock))

    async def act():
        try:
            await minting(scope_of("acme/app"))(source)
        except ForgeUnavailableError as error:
            return error
        finally:
            await source.aclose()

    error = asyncio.run(act())

    assert error is not None
    assert error.code == "FORGE_UNAVAILABLE"
    assert len(clock.slept) == 2


def test_a_forge_that_hangs_does_not_outlast_the_deadline():
    """The deadline holds however long the forge takes."""
    with GitHubAppWorld() as world:
        world.faults.inject("POST", MINTS, delay_seconds=30, times=None)
        started = time.monotonic()
        with pytest.raises(ForgeUnavailableError):
            world.run(minting(scope_of("acme/app"), 0.4))

        assert time.monotonic() - started < 2
        world.faults.release()


def test_retries_are_counted():
    """Each request that is sent again is told to the metrics."""
    retries: list[str] = []
    clock = FakeClock()
    hooks = SourceHooks(lambda: clock.now, hooks_of(clock).sleep, on_retry=retries.append)
    with GitHubAppWorld(lambda: clock.now) as world:
        world.faults.inject("POST", MINTS, status=502, body={}, times=2)
        world.run(minting(scope_of("acme/app"), 100.0), hooks=hooks)

        assert retries == ["hub", "hub"]


@pytest.mark.parametrize("seconds", [-3600, 3600], ids=["slow", "fast"])
def test_a_clock_that_is_wrong_is_corrected_once(seconds):
    """The JWT is signed again by the forge's own clock, which is remembered."""
    with GitHubAppWorld() as world:
        hooks = SourceHooks(now=lambda: time.time() + seconds)

        async def act(source):
            for _ in range(2):
                await minting(scope_of("acme/app"))(source)

        world.run(act, hooks=hooks)

        assert world.faults.count("GET", LOOKUPS) == 2
        assert world.faults.count("POST", MINTS) == 2


def test_a_clock_that_stays_wrong_is_refused():
    """Signed by the forge's clock and refused again, it is tried no third time."""
    with GitHubAppWorld() as world:
        world.faults.inject("GET", LOOKUPS, status=401, body={"message": EXPIRATION}, times=None)
        error = failure(world)

        assert error.code == "FORGE_APP_REJECTED"
        assert world.faults.count() == 2


def test_any_other_401_is_final():
    """A wrong key is not tried twice, and the error says what to check."""
    with GitHubAppWorld() as world:
        world.github.app_id, world.github.client_id = "999", "another"
        error = failure(world)

        assert (error.code, error.status, error.retryable) == ("FORGE_APP_REJECTED", 422, False)
        assert "private_key_file" in error.hint
        assert world.faults.count() == 1


def test_the_client_id_is_the_issuer_where_there_is_one():
    """GitHub recommends the client id; enterprise servers may want the App id."""
    with GitHubAppWorld() as world:
        world.github.app_id = "999"
        minted = world.run(minting(scope_of("acme/app")), 'client_id = "Iv23liPlayground"')

        assert minted.repositories == ("acme/app",)


def test_a_suspended_installation_is_named():
    """Somebody has suspended it and can take that back."""
    with GitHubAppWorld() as world:
        world.installation.is_suspended = True
        error = failure(world)

        assert error.code == "FORGE_INSTALLATION_SUSPENDED"
        assert "acme" in error.hint
        assert world.faults.count("POST") == 1


@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        (
            403,
            "Although you appear to have the correct authorization credentials, the `acme` "
            "organization has an IP allow list enabled, and your IP address is not permitted",
            "FORGE_IP_NOT_ALLOWED",
        ),
        (403, "Resource not accessible by integration", "FORGE_REFUSED"),
        (
            422,
            "Too complex: the maximum of permissions and repositories is exceeded",
            "FORGE_TOO_COMPLEX",
        ),
        (422, "Something else", "FORGE_REFUSED"),
        (400, "Unsupported X-GitHub-Api-Version", "FORGE_REFUSED"),
        (302, "Elsewhere", "FORGE_REFUSED"),
        (200, "What?", "FORGE_REFUSED"),
    ],
)
def test_a_refusal_is_never_tried_again(status, message, code):
    """400, 403 and 422 stay what they are; the forge's words go to the audit alone."""
    with GitHubAppWorld() as world:
        world.faults.inject("POST", MINTS, status=status, body={"message": message}, times=None)
        error = failure(world)

        assert isinstance(error, ForgeRefusedError)
        assert (error.code, error.retryable) == (code, False)
        assert error.hint
        assert message[:40] in str(error.reason)
        assert message[:40] not in f"{error} {error.hint}"
        assert world.faults.count("POST") == 1


def test_permissions_that_the_app_lacks_are_named():
    """Only those that are missing, with who can change it."""
    with GitHubAppWorld() as world:
        error = failure(
            world, scope_of("acme/app", contents="write", issues="write", checks="read")
        )

        assert error.code == "FORGE_PERMISSION_NOT_GRANTED"
        assert "checks: read, issues: write at acme" in error.message
        assert "contents" not in error.message
        assert "accept" in error.hint
        assert world.faults.count("POST") == 1


def test_a_repository_that_the_installation_leaves_out_is_named():
    """The owner's installation is known, and does not include it."""
    with GitHubAppWorld() as world:
        world.github.install("acme", {"contents": "write"}, ["acme/lib"])

        async def act(source):
            await minting(scope_of("acme/lib"))(source)
            await minting(scope_of("acme/app"))(source)

        with pytest.raises(ForgeRefusedError) as caught:
            world.run(act)

        assert caught.value.code == "FORGE_REPOSITORY_NOT_FOUND"
        assert "acme/app" in caught.value.message
        assert world.faults.count("POST") == 2


def test_a_renamed_repository_is_told_from_a_missing_one():
    """Without a pinned id a rename ends the access, and the error says what to do."""
    with GitHubAppWorld() as world:
        world.github.rename("acme/app", "acme/secret-name")
        error = failure(world)

        assert error.code == "FORGE_REPOSITORY_RENAMED"
        assert "repository_ids" in error.hint
        assert "secret-name" not in f"{error} {error.hint}"


def test_where_the_app_is_not_installed_nothing_more_is_told():
    """A repository that does not exist and one that is foreign look the same."""
    with GitHubAppWorld() as world:
        foreign = failure(world, scope_of("other/app"))
        absent = failure(world, scope_of("other/none"))

        assert foreign.code == absent.code == "FORGE_NOT_INSTALLED"
        assert (foreign.message, foreign.hint) == (absent.message, absent.hint)
        assert "12345" in foreign.message
        assert "other" in foreign.hint


def test_no_error_shows_a_secret():
    """Neither the App's JWT nor a token that an answer repeats gets into an error."""
    with GitHubAppWorld() as world:
        echo = "ghs_12345_eyJhbGciOiJFUzI1NiJ9.abc.def"
        world.faults.inject("POST", MINTS, status=403, body={"message": f"no: {echo}"})
        error = failure(world)
        jwt = world.faults.requests[-1].headers["authorization"].removeprefix("Bearer ")

        said = f"{error!r} {error} {error.hint} {error.reason} {error.details}"
        assert echo not in said
        assert jwt not in said
