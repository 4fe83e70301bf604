"""From a target to a credential: what is asked of the API, what is shared, what is kept."""

import threading
from contextlib import contextmanager

import pytest

from git_credential_relay.credential.forge import Target
from git_credential_relay.errors import (
    CacheError,
    ConfigError,
    DeadlineExceededError,
    DeniedError,
    MalformedResponseError,
    NoCredentialError,
    RateLimitedError,
    RelayError,
    SourceError,
    TransportError,
    UnavailableError,
)
from git_credential_relay.relay.cache.entry import Entry
from git_credential_relay.relay.cache.memory import MemoryCache
from git_credential_relay.relay.client.api import RelayClient
from git_credential_relay.secret import Secret
from git_credential_relay.trace import Trace
from tests.fakes.configs import (
    CODEBERG,
    GITHUB_COM,
    GITHUB_ENTERPRISE,
    GITLAB_COM,
    REPOSITORY,
    api_config,
    make_config,
)
from tests.fakes.counting_api import HOUR, code_of, down, refusal, sha
from tests.fakes.fake_clock import START

OTHER_REPOSITORY = Target(GITHUB_COM, "octo/fork")
FOR_API = Target(GITHUB_COM, "octo/spoon", "api")


def test_a_cached_token_is_served_without_asking(get, api, clock):
    """A token with enough life left costs no request."""
    tokens = [get() for _ in range(3)]
    clock.advance(HOUR - 600)
    tokens.append(get())

    assert (tokens, api.count) == (["token-1"] * 4, 1)


def test_what_comes_from_the_cache_is_what_was_fetched(acquirer, clock):
    """User name, hash and expiry survive the cache; the source says where it came from."""
    found = [acquirer().acquire(REPOSITORY) for _ in range(2)]

    assert [
        (c.username, c.password, c.token_sha256, c.fetched_at, c.expires_at) for c in found
    ] == [
        ("x-access-token", Secret("token-1"), sha("token-1"), clock.now, int(clock.now) + HOUR)
    ] * 2


@pytest.mark.parametrize(
    ("setting", "left", "count"),
    [("600", 600, 1), ("600", 599, 2), ("0", 1, 1), ("0", 0, 2), ("1800", 1799, 2)],
)
def test_a_token_handed_out_has_its_minimum_lifetime(get, api, clock, setting, left, count):
    """With less than the configured time left a new one is fetched."""
    config = api_config(GIT_CREDENTIAL_RELAY_MIN_LIFETIME=setting)
    api.life = 1800
    get(config=config)
    clock.advance(1800 - left)
    get(config=config)

    assert api.count == count


@pytest.mark.parametrize(("minutes", "count"), [(54, 1), (56, 2)])
def test_a_far_expiry_is_trusted_for_55_minutes(get, api, clock, minutes, count):
    """agent-relay's cloud invents its expiry, so we ask again after that time."""
    api.life = 8 * HOUR
    get()
    clock.advance(minutes * 60)
    get()

    assert api.count == count


def test_a_clock_that_was_set_back_serves_nothing_old(get, api, clock):
    """A token that seems to come from the future is not believed."""
    get()
    clock.now -= 60

    assert (get(), api.count) == ("token-2", 2)


class GatheringCache:
    """A MemoryCache that tells when `expected` askers stand at its lock."""

    def __init__(self, expected: int) -> None:
        self._cache = MemoryCache()
        self._count = threading.Semaphore(0)
        self._expected = expected
        self.read = self._cache.read
        self.write = self._cache.write
        self.list_keys = self._cache.list_keys

    def lock(self, key, deadline):
        self._count.release()
        return self._cache.lock(key, deadline)

    def wait(self) -> None:
        for _ in range(self._expected):
            assert self._count.acquire(timeout=10)


@pytest.mark.parametrize("life", [HOUR, 30, None], ids=["long", "short", "unknown"])
def test_many_askers_share_one_fetch(acquirer, api, clock, life):
    """Who asks while a token is fetched gets that token, however short it lives."""
    api.life, api.seconds = life, 2.0
    cache = GatheringCache(8)
    fetch = api.fetch

    def fetch_when_all_wait(*arguments):
        cache.wait()
        return fetch(*arguments)

    api.fetch = fetch_when_all_wait
    tokens: list[str] = []
    threads = [
        threading.Thread(
            target=lambda: tokens.append(acquirer(kept=cache).acquire(REPOSITORY).password.reveal())
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (tokens, api.count) == (["token-1"] * 8, 1)


def test_many_askers_share_one_failure(acquirer, api):
    """During an outage one asker waits for the API, and the others get its error."""
    api.error = down
    cache = GatheringCache(8)
    fetch = api.fetch

    def fetch_when_all_wait(*arguments):
        cache.wait()
        return fetch(*arguments)

    api.fetch = fetch_when_all_wait
    codes: list[str] = []

    def ask() -> None:
        try:
            acquirer(kept=cache).acquire(REPOSITORY)
        except NoCredentialError as error:
            codes.append(error.code)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (codes, api.count) == (["api-unavailable"] * 8, 1)


@pytest.mark.parametrize("life", [30, 599, None], ids=["short", "just too short", "unknown"])
def test_a_short_lived_token_is_not_for_a_later_asker(get, api, clock, life):
    """Who asks afterwards gets a token of his own: the first one's life is running out."""
    api.life = life
    first = get()
    clock.advance(0.001)

    assert (first, get(), api.count) == ("token-1", "token-2", 2)


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (down, 3),
        (TransportError("down", code="connect-failed"), 3),
        (RateLimitedError("busy"), 3),
        (DeadlineExceededError("late"), 3),
        (refusal, 30),
        (UnavailableError("x", code="NANGO_CONNECTION_EXPIRED", retryable=False), 30),
        (MalformedResponseError("page", code="html-answer"), 30),
    ],
    ids=lambda value: value.code if isinstance(value, RelayError) else "",
)
def test_a_failure_answers_for_a_while(get, api, clock, error, seconds):
    """Passing trouble is remembered for 3 s, a refusal for 30 s; then the API is asked again."""
    api.error = error
    codes = [code_of(get)]
    clock.advance(seconds - 0.01)
    codes.append(code_of(get))
    counts = [api.count]
    clock.advance(0.02)
    codes.append(code_of(get))
    counts.append(api.count)

    assert (codes, counts) == ([error.code] * 3, [1, 2])


def test_a_remembered_failure_says_the_same(acquirer, api):
    """Code, hint, details, exit code and advice are those of the first time; the message too,
    but it says that it is a memory and when the API is asked again."""
    api.error = DeniedError("no", code="C", hint="ask", details="why")
    said = []
    for _ in range(2):
        with pytest.raises(NoCredentialError) as caught:
            acquirer().acquire(REPOSITORY)
        e = caught.value
        said.append((e.code, e.hint, e.details, e.exit_code, e.retryable))

    assert said[1] == said[0]
    assert caught.value.message == (
        "no credential for https://github.com/octo/spoon: no"
        " (remembered; the API is asked again in 30 s)"
    )
    assert api.count == 1


def test_a_clock_that_was_set_back_does_not_prolong_a_failure(get, api, clock):
    """A failure that seems to come from the future is not believed."""
    api.error = refusal
    code_of(get)
    clock.now -= 3600
    code_of(get)

    assert api.count == 2


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("the file is not there"),
        SourceError("WORKSPACE_TOKEN not set", code="not-configured"),
    ],
    ids=["configuration", "no secret"],
)
def test_what_we_can_mend_is_not_remembered(get, api, error):
    """A mistake of ours is gone the moment it is corrected."""
    api.error = error
    code_of(get)
    api.error = None

    assert get() == "token-2"


@pytest.mark.parametrize(
    "error",
    [
        down,
        TransportError("down", code="connect-failed"),
        RateLimitedError("busy"),
        MalformedResponseError("page", code="html-answer"),
    ],
    ids=lambda error: error.code,
)
def test_a_living_token_is_served_while_the_api_is_down(get, api, clock, error):
    """Less than the minimum lifetime is better than nothing; its end is the end."""
    get()
    api.error = error
    clock.advance(HOUR - 60)
    tokens = [get(), get()]
    clock.advance(59)
    tokens.append(get())
    clock.advance(2)

    assert (tokens, code_of(get)) == (["token-1"] * 3, error.code)


def test_an_api_that_is_down_is_asked_seldom_while_a_token_lives(get, api, clock):
    """With a token in hand a failing API is asked once in 3 s."""
    get()
    api.error = down
    clock.advance(HOUR - 60)
    for _ in range(10):
        get()

    assert api.count == 2


def test_a_token_of_unknown_life_is_served_for_five_minutes(get, api, clock):
    """Without an expiry the promise of five minutes is what we go by during an outage."""
    api.life = None
    get()
    api.error = down
    clock.advance(299)
    token = get()
    clock.advance(4)

    assert (token, code_of(get)) == ("token-1", "api-unavailable")


def test_a_token_the_api_takes_back_is_dropped(get, api, clock):
    """A refusal ends the old token too, even when the API is down afterwards."""
    get()
    clock.advance(HOUR - 60)
    api.error = refusal
    codes = [code_of(get)]
    clock.advance(31)
    api.error = down
    codes.append(code_of(get))

    assert codes == ["NOT_GRANTED", "api-unavailable"]


def test_nobody_waits_long_for_an_api_that_is_down(get, api, clock):
    """With a living token in hand there is time for one attempt; without one, for all of it."""
    get()
    clock.advance(HOUR - 300)
    get()

    assert api.budgets[0] == 20.0
    assert api.budgets[1] == 8.0


def test_a_token_about_to_die_is_worth_waiting_for(get, api, clock):
    """With less than a minute left the API gets all the time there is."""
    get()
    clock.advance(HOUR - 30)
    get()

    assert api.budgets == [20.0, 20.0]


def test_one_attempt_and_no_second_with_a_living_token(httpserver, api, clock, get):
    """An API that answers 503 at once is not waited for while a token lives."""
    httpserver.expect_request("/api/git/token").respond_with_data("", 503)
    config = api_config(httpserver.url_for(""), GIT_CREDENTIAL_RELAY_FALLBACK="off")
    counts = set()
    for number in range(40):  # the waits are random
        target = Target(GITHUB_COM, f"octo/{number}")
        clock.now = START
        get(target, config=config)
        clock.advance(HOUR - 300)
        client = RelayClient(config, lambda: Secret("s"), clock.clock, Trace())
        minting, api.fetch = api.fetch, client.fetch
        httpserver.clear_log()
        get(target, config=config)
        counts.add(len(httpserver.log))
        client.close()
        api.fetch = minting

    assert counts == {1}


def test_a_token_the_forge_refused_is_fetched_anew(get, api):
    """Git's state names the refused token: another one is asked for, and kept."""
    get()
    tokens = [get(refused=sha("token-1")), get()]

    assert (tokens, api.refused) == (["token-2"] * 2, [None, sha("token-1")])


def test_a_refusal_of_an_older_token_costs_nothing(get, api):
    """When somebody has fetched a new one meanwhile, that one is served."""
    get()
    get(refused=sha("token-1"))
    token = get(refused=sha("token-1"))

    assert (token, api.count) == ("token-2", 2)


def test_a_refused_token_is_not_served_while_the_api_is_down(get, api):
    """It is of no use to anybody: rather nothing."""
    get()
    api.error = down

    assert code_of(get, REPOSITORY, sha("token-1")) == "api-unavailable"


def test_an_api_that_gives_the_refused_token_again_stays_asked_for_another(get, api):
    """The token is handed out, as it may work again, but it is not kept."""
    api.always = "same"
    get()
    get(refused=sha("same"))
    api.always = None

    assert (get(), api.refused) == ("token-3", [None, sha("same"), sha("same")])


def test_forgotten_is_fetched_anew(get, acquirer, api):
    """After git's `erase` the next get asks for another token, once."""
    get()
    acquirer().forget(REPOSITORY, Secret("token-1"))
    tokens = [get(), get()]

    assert (tokens, api.refused) == (["token-2"] * 2, [None, sha("token-1")])


def test_what_was_refused_is_told_until_it_is_replaced(get, acquirer, api, clock):
    """A failure in between does not make us forget which token was refused."""
    get()
    acquirer().forget(REPOSITORY, Secret("token-1"))
    api.error = down
    code_of(get)
    clock.advance(4)
    api.error = None

    assert (get(), api.refused) == ("token-3", [None, sha("token-1"), sha("token-1")])


def test_forgetting_ends_a_remembered_failure(get, acquirer, api, clock):
    """Right after an `erase` the API is asked, even if it failed a moment ago."""
    get()
    clock.advance(HOUR - 60)
    api.error = down
    get()
    acquirer().forget(REPOSITORY, Secret("token-1"))
    api.error = None

    assert get() == "token-3"


@pytest.mark.parametrize("password", ["token-2", "token", "", "TOKEN-1"])
def test_another_password_forgets_nothing(get, acquirer, api, password):
    """An `erase` of a token that is not the one we keep says nothing about ours."""
    get()
    acquirer().forget(REPOSITORY, Secret(password))

    assert (get(), api.count) == ("token-1", 1)


def test_a_token_is_forgotten_everywhere_at_its_forge(get, acquirer, api):
    """One token kept for several repositories and uses is refused for all of them."""
    api.always = "same"
    targets = [REPOSITORY, OTHER_REPOSITORY, FOR_API, Target(GITHUB_COM, None)]
    for target in targets:
        get(target)
    acquirer().forget(OTHER_REPOSITORY, Secret("same"))
    for target in targets:
        get(target)

    assert api.refused == [None] * 4 + [sha("same")] * 4


def test_a_token_is_forgotten_nowhere_else(get, acquirer, api):
    """Other forges, workspaces and APIs keep theirs, although it is the same text."""
    api.always = "same"
    other_api = api_config("https://relay.example/other")
    other_workspace = api_config(WORKSPACE_ID="ws-2")
    get()
    for ask in (
        places := [
            lambda: get(Target(GITHUB_ENTERPRISE, "octo/spoon")),
            lambda: get(Target(GITLAB_COM, "octo/spoon")),
            lambda: get(config=other_api),
            lambda: get(config=other_workspace),
        ]
    ):
        ask()
    acquirer().forget(REPOSITORY, Secret("same"))
    before = api.count
    for ask in places:
        ask()

    assert (before, api.count) == (5, 5)


def test_without_a_password_only_the_target_is_forgotten(get, acquirer, api):
    """Git's rule for a missing field: what is named, for both uses, and nothing beside it."""
    api.always = "same"
    for target in (REPOSITORY, FOR_API, OTHER_REPOSITORY):
        get(target)
    acquirer().forget(REPOSITORY, None)
    for target in (REPOSITORY, FOR_API, OTHER_REPOSITORY):
        get(target)

    assert api.targets[3:] == [f"{REPOSITORY} git", f"{FOR_API} api"]


def test_forgetting_what_was_never_kept(acquirer, get, api):
    """Nothing happens, and nothing is made up."""
    acquirer().forget(REPOSITORY, Secret("x"))
    acquirer().forget(REPOSITORY, None)

    assert (get(), api.refused) == ("token-1", [None])


def test_nothing_is_shared_between_different_askings(get, api):
    """Another repository, use, forge, workspace or API is another token."""
    config = api_config()
    tokens = {
        "repository": get(OTHER_REPOSITORY),
        "none": get(Target(GITHUB_COM, None)),
        "use": get(FOR_API),
        "forge": get(Target(CODEBERG, "octo/spoon")),
        "workspace": get(config=api_config(WORKSPACE_ID="ws-2")),
        "api": get(config=api_config("https://relay.example/other")),
        "usual": get(config=config),
    }

    assert (len(set(tokens.values())), api.count) == (7, 7)


def test_a_failure_is_not_shared_either(get, api):
    """What one repository is refused says nothing about another."""
    api.error = refusal
    code_of(get)
    api.error = None

    assert get(OTHER_REPOSITORY) == "token-2"


class BrokenCache:
    """A cache in which nothing works; `is_locked` is what its lock gives."""

    def __init__(self, is_locked: bool) -> None:
        self.is_locked = is_locked
        self.written = 0

    def read(self, key):
        return Entry()

    def write(self, key, entry):
        self.written += 1
        raise CacheError("no room")

    def list_keys(self):
        return []

    @contextmanager
    def lock(self, key, deadline):
        yield self.is_locked


@pytest.mark.parametrize("is_locked", [True, False], ids=["cannot write", "cannot lock"])
def test_a_cache_that_cannot_be_used_never_fails_a_get(acquirer, api, is_locked):
    """The token is given all the same; without the lock nothing is written."""
    cache = BrokenCache(is_locked)
    user = acquirer(kept=cache)
    tokens = [user.acquire(REPOSITORY).password.reveal() for _ in range(2)]
    user.forget(REPOSITORY, Secret("token-2"))
    api.error = refusal
    with pytest.raises(NoCredentialError) as caught:
        user.acquire(REPOSITORY)

    assert (tokens, caught.value.code) == (["token-1", "token-2"], "NOT_GRANTED")
    assert cache.written == (3 if is_locked else 0)


def test_waiting_for_another_process_ends_with_the_deadline(acquirer, api, clock):
    """Whoever has waited all its time says so, and does not ask the API after all."""

    class Contended(BrokenCache):
        @contextmanager
        def lock(self, key, deadline):
            clock.advance(deadline.remaining())
            yield False

    with pytest.raises(NoCredentialError) as caught:
        acquirer(kept=Contended(False)).acquire(REPOSITORY)

    assert (caught.value.code, caught.value.retryable, api.count) == (
        "deadline-exceeded",
        True,
        0,
    )


def tried(acquirer) -> list[tuple[str, str]]:
    with pytest.raises(NoCredentialError) as caught:
        acquirer.acquire(REPOSITORY)
    return [(name, error.code) for name, error in caught.value.tried]


LOCAL = {"GIT_CREDENTIAL_RELAY_FALLBACK": "GIT_TOKEN,GH_TOKEN"}


@pytest.mark.parametrize("error", [down, refusal, ConfigError("no CA")], ids=lambda e: e.code)
def test_a_local_source_serves_when_the_api_does_not(get, api, error):
    """After any failure of the API the local sources are asked, in their order."""
    api.error = error

    assert get(config=api_config(**LOCAL, GH_TOKEN="local")) == "local"


def test_the_api_comes_first(get):
    """A token in the environment does not hide the API's fresh one."""
    assert get(config=api_config(**LOCAL, GH_TOKEN="local")) == "token-1"


def test_without_an_api_nothing_is_asked(get, api):
    """Local sources alone serve when no API is configured."""
    assert (get(config=make_config(GH_TOKEN="local")), api.count) == ("local", 0)


def test_every_failure_is_told_in_order(acquirer, api):
    """The API first where it was asked, then each source, with a code of its own."""
    api.error = refusal

    assert tried(acquirer(api_config(**LOCAL))) == [
        ("relay API (https://relay.example)", "NOT_GRANTED"),
        ("GIT_TOKEN", "not-set"),
        ("GH_TOKEN", "not-set"),
    ]


@pytest.mark.parametrize(
    ("variables", "missing"),
    [
        ({}, "CLOUD_API_URL"),
        ({"CLOUD_API_URL": "https://relay.example"}, "WORKSPACE_ID"),
        ({"CLOUD_API_URL": "https://relay.example", "WORKSPACE_ID": "w"}, "WORKSPACE_TOKEN"),
    ],
)
def test_an_api_that_is_not_set_up_is_told_last(acquirer, api, variables, missing):
    """What is missing is named, and how to supply it."""
    config = make_config(**LOCAL, **variables)
    with pytest.raises(NoCredentialError) as caught:
        acquirer(config).acquire(REPOSITORY)

    name, error = caught.value.tried[-1]
    assert (name, error.message, error.code, error.hint, api.count) == (
        "relay API",
        f"unavailable ({missing} not set)",
        "not-configured",
        f"set {missing}",
        0,
    )


def test_with_the_fallback_off_only_the_api_is_asked(acquirer, api):
    """Switched off, no local token is given, whatever is in the environment."""
    api.error = down
    config = api_config(GIT_CREDENTIAL_RELAY_FALLBACK="off", GH_TOKEN="local")

    assert tried(acquirer(config)) == [("relay API (https://relay.example)", "api-unavailable")]


def test_a_local_token_is_not_kept(acquirer, api, cache):
    """What a local source gave does not enter the cache of the API's tokens."""
    api.error = down
    acquirer(api_config(**LOCAL, GH_TOKEN="local")).acquire(REPOSITORY)

    assert [cache.read(key).credential for key in cache.list_keys()] == [None]
