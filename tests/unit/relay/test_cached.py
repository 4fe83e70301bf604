"""The API through the cache when the cache, the lock or the API is in trouble."""

import pytest

from git_credential_relay.errors import (
    CacheError,
    NoCredentialError,
    RateLimitedError,
    UnauthenticatedError,
)
from git_credential_relay.relay.acquire import Acquirer
from git_credential_relay.relay.cache.tmpfs import TmpfsCache
from git_credential_relay.relay.cached import key_of
from git_credential_relay.secret import Secret
from git_credential_relay.trace import Trace
from tests.fakes.configs import REPOSITORY, api_config
from tests.fakes.counting_api import HOUR, code_of, down, refusal, sha


class ReadOnly(TmpfsCache):
    """A cache whose file system has been remounted read-only."""

    def write(self, key, entry):
        raise CacheError("read-only")

    def open_lock(self, name):
        raise CacheError("read-only")


@pytest.fixture
def lock(cache, api, clock):
    """A function that gives the lock of the repository, as a process that has stopped holds it."""
    return lambda: cache.lock(key_of(api_config(), REPOSITORY), clock.deadline(0.5))


@pytest.mark.parametrize("cache", ["tmpfs"], indirect=True)
@pytest.mark.parametrize(("error", "token"), [(None, "token-2"), (down, "token-1")])
def test_a_stopped_process_costs_no_living_token(get, api, clock, lock, error, token):
    """The others ask by themselves after some seconds, and have the living token to fall back
    on; they do not wait for 20 s to be told that they waited."""
    get()
    clock.advance(HOUR - 300)
    api.error = error
    with lock():
        before = clock.now
        given = get()

    assert given == token
    assert clock.now - before < 5


@pytest.mark.parametrize("cache", ["tmpfs"], indirect=True)
def test_a_living_token_is_given_when_the_cache_turned_read_only(acquirer, api, clock, tmp_path):
    """What was kept before is still good while the API is down."""
    acquirer().acquire(REPOSITORY)
    clock.advance(HOUR - 300)
    api.error = down
    read_only = ReadOnly([f"{tmp_path}/cache"], is_explicit=True)
    credential = acquirer(kept=read_only).acquire(REPOSITORY)

    assert credential.password.reveal() == "token-1"


@pytest.mark.parametrize("cache", ["tmpfs"], indirect=True)
def test_a_refused_token_is_dropped_although_the_lock_is_held(acquirer, get, lock):
    """`erase` cannot wait for a stopped process, and the refused token is not served again."""
    get()
    with lock():
        acquirer().forget(REPOSITORY, Secret("token-1"))

    assert get() == "token-2"


def test_a_token_refused_during_an_outage_is_not_served_later(get, api, clock):
    """Git says that it was refused while a failure is remembered: that is remembered too."""
    get()
    clock.advance(HOUR - 300)
    api.error = down
    assert get() == "token-1"
    assert code_of(get, REPOSITORY, sha("token-1")) == "api-unavailable"
    clock.advance(4)
    api.error = None

    assert get() == "token-3"
    assert api.refused[-1] == sha("token-1")


def test_another_choice_of_token_or_path_is_another_source(get, api):
    """What one setting fetched is not served to the next one."""
    tokens = [
        get(),
        get(config=api_config(GIT_CREDENTIAL_RELAY_TOKEN_FIELDS_GIT="installationToken")),
        get(config=api_config(GIT_CREDENTIAL_RELAY_API_PATH="/other")),
        get(),
    ]

    assert tokens == ["token-1", "token-2", "token-3", "token-1"]


def test_a_corrected_secret_is_tried_at_once(get, api):
    """A refusal is remembered for the secret it was met with, and for no other."""
    api.error = UnauthenticatedError("who are you", code="INVALID_WORKSPACE_TOKEN")
    assert code_of(get) == "INVALID_WORKSPACE_TOKEN"
    assert code_of(get) == "INVALID_WORKSPACE_TOKEN"
    assert api.count == 1
    api.error = None

    assert get(config=api_config(WORKSPACE_TOKEN="corrected-0123456789")) == "token-2"


@pytest.mark.parametrize(
    ("retry_after", "quiet_for"),
    [(None, 3), (0.5, 3), (10, 10), (120, 30)],
    ids=["no word", "soon", "later", "much later"],
)
def test_a_rate_limit_is_left_alone_by_all_processes(get, api, clock, retry_after, quiet_for):
    """The next process waits as long as the server asked for, up to half a minute."""
    api.error = RateLimitedError("busy", retry_after=retry_after)
    code_of(get)
    clock.advance(quiet_for - 0.5)
    with pytest.raises(NoCredentialError) as caught:
        get()
    assert (api.count, caught.value.retry_after) == (1, 1)
    clock.advance(1)
    code_of(get)

    assert api.count == 2


def test_an_unforeseen_failure_of_the_api_does_not_stop_the_chain(cache, clock):
    """Whatever goes wrong on the way to the API, the local sources are tried."""

    def fetch(target, deadline, refused_sha256=None):
        raise ZeroDivisionError("secret-words")

    config = api_config(GH_TOKEN="ghp_local", GIT_CREDENTIAL_RELAY_FALLBACK="GH_TOKEN")
    acquirer = Acquirer(config, cache, fetch, clock.clock, Trace())
    assert acquirer.acquire(REPOSITORY).password.reveal() == "ghp_local"
    with pytest.raises(NoCredentialError) as caught:
        acquirer.acquire(REPOSITORY, sha("ghp_local"))

    (_, error), (_, refused) = caught.value.tried
    assert (error.code, error.message) == ("internal", "unexpected ZeroDivisionError")
    assert error.hint is not None
    assert error.hint.startswith("please report it: test_cached.py:")
    assert refused.code == "refused"


def test_a_refusal_is_final_for_the_token_in_hand(get, api, clock):
    """A living token is not given once the API says that the workspace may not have it."""
    get()
    clock.advance(HOUR - 300)
    api.error = refusal

    assert code_of(get) == "NOT_GRANTED"
    assert code_of(get) == "NOT_GRANTED"


@pytest.mark.parametrize("cache", ["memory"], indirect=True)
def test_an_erase_while_the_api_is_asked_counts(get, api, clock, cache):
    """What is refused meanwhile is neither given, though the API fails, nor kept again."""
    get()
    clock.advance(HOUR - 300)
    fetch = api.fetch

    def fetch_during_erase(*arguments):
        cache.refuse(key_of(api_config(), REPOSITORY))
        return fetch(*arguments)

    api.fetch, api.error = fetch_during_erase, down
    assert code_of(get) == "api-unavailable"
    api.fetch, api.error = fetch, None
    clock.advance(4)

    assert (get(), api.refused[-1]) == ("token-3", sha("token-1"))


@pytest.mark.parametrize("cache", ["memory"], indirect=True)
def test_a_token_refused_while_the_api_gives_it_again_is_not_kept(get, api, clock, cache):
    """It is handed out, as it may work again, and the API stays asked for another one."""
    api.always = "same"
    get()
    clock.advance(HOUR - 300)
    fetch = api.fetch

    def fetch_during_erase(*arguments):
        cache.refuse(key_of(api_config(), REPOSITORY))
        return fetch(*arguments)

    api.fetch = fetch_during_erase
    assert get() == "same"
    api.fetch, api.always = fetch, None

    assert (get(), api.refused[-1]) == ("token-3", sha("same"))
