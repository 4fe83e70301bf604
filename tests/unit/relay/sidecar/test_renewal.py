"""One renewal: what is asked for, and what is kept of the answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.credential.forge import Target
from git_credential_relay.errors import RelayError
from git_credential_relay.relay.cache.entry import Entry
from git_credential_relay.relay.cache.memory import MemoryCache
from git_credential_relay.relay.cached import key_of
from git_credential_relay.relay.sidecar.renewal import Renewal, fresh_until, is_renewable
from git_credential_relay.trace import Trace
from tests.fakes.configs import GITHUB_COM, REPOSITORY, api_config
from tests.fakes.counting_api import HOUR, Api, down, sha
from tests.fakes.fake_clock import FakeClock
from tests.fakes.issued import issued

CONFIG = api_config()
KEY = key_of(CONFIG, REPOSITORY)
DUE = HOUR - 600 - 100


class Scene:
    """A renewal over a counting API, with `old` in its cache for an hour."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.api = Api(self.clock)
        self.cache = MemoryCache(now=lambda: self.clock.now)
        self.lives: list[float | None] = []
        self.meanwhile = lambda: None
        self.renewal = Renewal(CONFIG, self.cache, self.fetch, self.clock.clock, Trace())
        self.keep("old")

    def fetch(self, target, deadline, refused_sha256, min_lifetime):
        assert not deadline.is_patient  # one attempt: the next look makes another
        self.lives.append(min_lifetime)
        self.meanwhile()
        return self.api.fetch(target, deadline, refused_sha256)

    def keep(self, token: str, life: float | None = HOUR) -> None:
        self.cache.write(KEY, Entry(issued(token, self.clock, life)))

    def renew(self) -> str | None:
        """The token that is given back, or the code of what failed."""
        renewed = self.renewal.renew(REPOSITORY)
        if isinstance(renewed, RelayError):
            return renewed.code
        return renewed.password.reveal() if renewed else None

    def kept(self) -> str | None:
        found = self.cache.read(KEY).credential
        return found.password.reveal() if found else None


@pytest.fixture
def scene():
    return Scene()


def test_a_renewed_token_is_kept(scene):
    """One attempt of some seconds, for a token with more life than the minimum."""
    scene.clock.advance(DUE)

    assert (scene.renew(), scene.kept(), scene.lives) == ("token-1", "token-1", [960])
    assert scene.api.budgets == [8]


@pytest.mark.parametrize("left", [600, 780, 959, 960, 2000])
def test_a_renewed_token_will_be_renewed_in_its_turn(scene, left):
    """An API gives another workspace's token while that has the life that is asked for; it must
    be enough for the next renewal, or somebody would wait for the one after."""
    scene.clock.advance(DUE)
    scene.meanwhile = lambda: setattr(scene.api, "life", left if left >= scene.lives[-1] else HOUR)
    scene.renew()
    found = scene.cache.read(KEY).credential

    assert scene.kept() == "token-1"
    assert is_renewable(found.fetched_at, found.expires_at, CONFIG.min_lifetime)


def test_what_needs_no_renewal_is_not_asked_for(scene):
    """It is not due yet, is not there, or somebody is with the API for it already."""
    results = [scene.renew(), scene.renewal.renew(Target(GITHUB_COM, "octo/other"))]
    scene.clock.advance(DUE)
    with scene.cache.lock(KEY, scene.clock.deadline()):
        results.append(scene.renew())

    assert (results, scene.api.count) == ([None] * 3, 0)


@pytest.mark.parametrize(
    ("token", "life", "kept"),
    [
        ("old", HOUR - DUE, "old"),
        ("old", HOUR, "old"),
        ("new", 650, "new"),
        ("new", 500, "old"),
        ("new", None, "old"),
    ],
    ids=[
        "the same",
        "the same with a longer life",
        "another of less life, but enough",
        "another of too little life",
        "another of unknown life",
    ],
)
def test_what_is_better(scene, token, life, kept):
    """A longer life, or another token that may be handed out: to make it may have ended the one
    before. Never one that the next get could not have."""
    scene.clock.advance(DUE)
    scene.api.always, scene.api.life = token, life
    scene.renew()
    found = scene.cache.read(KEY).credential

    assert scene.kept() == kept
    assert found.is_fresh(scene.clock.now, scene.clock.now + 1, 600)


@pytest.mark.parametrize("error", [down, ZeroDivisionError()])
def test_whatever_fails_leaves_the_old_token(scene, error):
    """And no note of a failure, which would answer the next get."""
    scene.clock.advance(DUE)
    scene.api.error = error
    entry = scene.cache.read(KEY)

    assert scene.renew() == ("internal" if error is not down else "api-unavailable")
    assert scene.cache.read(KEY) is entry


def test_what_cannot_be_kept_is_no_renewal(scene):
    """A token that would be two lines."""
    scene.clock.advance(DUE)
    scene.api.always = "two\nlines"

    assert (scene.renew(), scene.kept()) == (None, "old")


@pytest.mark.parametrize(("token", "kept"), [("old", None), ("new", "new")])
def test_an_erase_meanwhile_counts(scene, token, kept):
    """What was refused does not come back; another token is welcome."""
    scene.clock.advance(DUE)
    scene.meanwhile = lambda: scene.cache.refuse(KEY)
    scene.api.always, scene.api.life = token, 2 * HOUR

    assert (scene.renew(), scene.kept()) == (kept, kept)
    if kept is None:
        assert scene.cache.read(KEY).refused_sha256 == sha("old")


@pytest.mark.parametrize(
    ("seconds", "life", "refused", "given"),
    [
        (HOUR - 61, HOUR, None, True),
        (HOUR - 60, HOUR, None, False),
        (100, HOUR, sha("old"), False),
        (239, None, None, True),
        (240, None, None, False),
    ],
)
def test_who_stands_in(scene, seconds, life, refused, given):
    """The kept token while it has a minute left, by what is known, and was not refused."""
    scene.keep("old", life)
    scene.clock.advance(seconds)

    assert (scene.renewal.find_stand_in(REPOSITORY, refused) is not None) == given


@given(
    st.floats(0, 8 * HOUR), st.integers(1, int(8 * HOUR)), st.floats(0, HOUR), st.floats(0, HOUR)
)
def test_it_runs_short_when_a_get_would_have_to_wait(age, life, least, more):
    """The moment that is worked out is the one from which the cache does not serve it."""
    clock = FakeClock()
    fetched = issued("t", clock, life)
    now = clock.now + age
    end = fresh_until(fetched.fetched_at, float(fetched.expires_at or 0), least)
    is_fresh = fetched.is_fresh(now, now + 1, least)

    if abs(now - end) > 0.001 and fetched.is_alive(now):
        assert is_fresh == (now < end)
