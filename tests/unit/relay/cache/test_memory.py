"""The cache in memory: bounded, quick to forget, and without a trace of those who asked."""

import gc
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.credential.forge import Target
from git_credential_relay.errors import NotFoundError
from git_credential_relay.relay.cache.entry import Entry, Failure, Key
from git_credential_relay.relay.cache.memory import MemoryCache
from git_credential_relay.secret import Secret
from tests.fakes.configs import CODEBERG, GITHUB_COM
from tests.fakes.credentials import credential
from tests.fakes.fake_clock import START, FakeClock

API = "https://relay.example"
NOTE = Entry(failure=Failure.of(NotFoundError("no such repository"), "mark", START))


@pytest.fixture
def clock():
    return FakeClock()


def key_of(name: object, forge=GITHUB_COM) -> Key:
    return Key.of(API, "ws-1", Target(forge, f"octo/{name}"))


def entry_of(token: object, life: float = 3600) -> Entry:
    return Entry(credential(str(token), expires_at=int(START + life)))


def kept(cache: MemoryCache) -> set[str]:
    return {dict(key.fields)["path"].removeprefix("octo/") for key in cache.list_keys()}


def test_the_one_written_longest_ago_goes_first(clock):
    """With the limit reached a new token takes the place of the oldest; a rewritten one is new."""
    cache = MemoryCache(3, lambda: clock.now)
    for name in "abcad":
        cache.write(key_of(name), entry_of(name))

    assert kept(cache) == {"c", "a", "d"}


def test_what_holds_no_token_goes_before_tokens(clock):
    """Made-up names, whose failures are remembered, push no token out."""
    cache = MemoryCache(4, lambda: clock.now)
    for name in "abc":
        cache.write(key_of(name), entry_of(name))
    for number in range(100):
        cache.write(key_of(number), NOTE)

    assert kept(cache) == {"a", "b", "c", "99"}


def test_what_has_expired_goes_before_what_lives(clock):
    """A token that nobody can use any more is not worth the place of one that works."""
    cache = MemoryCache(4, lambda: clock.now)
    cache.write(key_of("lives"), entry_of(1))
    cache.write(key_of("short"), entry_of(2, 60))
    cache.write(key_of("too"), entry_of(3))
    cache.write(key_of("shorter"), entry_of(4, 30))
    clock.advance(61)
    cache.write(key_of("new"), entry_of(5))

    assert kept(cache) == {"lives", "too", "new"}


def test_any_number_of_names_leaves_nothing_behind(clock):
    """Neither entries nor locks nor the index of tokens grow with the names that are asked for."""
    cache = MemoryCache(100, lambda: clock.now)
    for number in range(2000):
        key = key_of(number)
        with cache.lock(key, clock.deadline()):
            cache.write(key, entry_of(number) if number % 2 else NOTE)

    sizes = {name: len(value) for name, value in vars(cache).items() if hasattr(value, "__len__")}
    assert len(cache.list_keys()) == 100
    assert (max(sizes.values()), sizes["_locks"]) == (100, 0), sizes


def test_a_lock_that_is_waited_for_is_the_same_for_all(clock):
    """Whoever comes while another waits waits for the same lock, though nobody may hold it."""
    cache = MemoryCache()
    key, inside, most = key_of("a"), [0], [0]

    def work() -> None:
        for _ in range(200):
            with cache.lock(key, clock.deadline(10)) as is_held:
                inside[0] += is_held
                time.sleep(0)  # the others' turn
                most[0] = max(most[0], inside[0])
                inside[0] -= is_held

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert most == [1]


def test_a_refused_token_is_gone_at_once(clock):
    """Although somebody holds its lock: what was refused may not be served meanwhile."""
    cache = MemoryCache()
    cache.write(key_of("a"), entry_of("same"))
    with cache.lock(key_of("a"), clock.deadline()):
        sha256 = cache.refuse_all(key_of("other"), Secret("same"))
        entry = cache.read(key_of("a"))

    assert (entry.credential, entry.refused_sha256) == (None, sha256)
    assert sha256 == credential("same").token_sha256


def test_a_refused_token_is_refused_for_its_forge(clock):
    """All of the forge that hold it lose it; another token, or another forge's, stays."""
    cache = MemoryCache()
    held = {"a": "same", "b": "same", "c": "another"}
    for name, token in held.items():
        cache.write(key_of(name), entry_of(token))
    cache.write(key_of("a", CODEBERG), entry_of("same"))
    cache.refuse_all(key_of("a"), Secret("same"))

    assert [cache.read(key_of(name)).credential is None for name in held] == [True, True, False]
    assert cache.read(key_of("a", CODEBERG)).credential is not None
    assert cache.refuse_all(key_of("a"), Secret("never seen")) is None


def test_one_key_can_be_refused_alone(clock):
    """Others that hold the same token keep it; what holds none has nothing to refuse."""
    cache = MemoryCache()
    for name in "ab":
        cache.write(key_of(name), entry_of("same"))
    cache.write(key_of("note"), NOTE)

    assert cache.refuse(key_of("a")) == credential("same").token_sha256
    assert [cache.refuse(key_of(name)) for name in ("a", "note", "never seen")] == [None] * 3
    assert cache.read(key_of("b")).credential is not None


@pytest.mark.parametrize("is_one_token", [True, False], ids=["one token for all", "one for each"])
def test_forgetting_among_many_is_quick(is_one_token):
    """Others wait meanwhile, so among 10,000 it takes milliseconds."""
    cache = MemoryCache()
    for number in range(10_000):
        cache.write(key_of(number), entry_of("same" if is_one_token else number))
    took = []
    gc.disable()  # its pauses are as long as all the tests before have made them
    try:
        for token in ("same", "never seen", "77"):
            began_at = time.thread_time()
            cache.refuse_all(key_of("x"), Secret(token))
            took.append(time.thread_time() - began_at)
    finally:
        gc.enable()

    # Some tenth of it on a machine that has nothing else to do.
    assert max(took) < (0.2 if is_one_token else 0.02)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["write", "note", "discard", "refuse", "refuse all", "wait"]),
        st.sampled_from("abcdef"),
        st.sampled_from("123"),
    ),
    max_size=40,
)


@given(STEPS)
def test_it_never_gives_what_was_replaced_or_refused(steps):
    """After any sequence of steps what is read was written last, and its index knows as much."""
    clock = FakeClock()
    cache = MemoryCache(4, lambda: clock.now)
    model: dict[str, str | None] = {}
    for step, name, token in steps:
        if step == "write":
            cache.write(key_of(name), entry_of(token, int(token) * 5))
            model[name] = token
        elif step == "note":
            cache.write(key_of(name), NOTE)
            model[name] = None
        elif step == "discard":
            cache.discard(key_of(name))
            model.pop(name, None)
        elif step == "refuse":
            cache.refuse(key_of(name))
            model[name] = None
        elif step == "refuse all":
            cache.refuse_all(key_of(name), Secret(token))
            model |= {n: None for n, t in model.items() if t == token}
        else:
            clock.advance(1)
        held = {name: cache.read(key_of(name)).credential for name in "abcdef"}
        tokens = {name: each.password.reveal() for name, each in held.items() if each}
        assert tokens.items() <= model.items()
        assert len(cache.list_keys()) <= 4

    for token in "123":
        cache.refuse_all(key_of("a"), Secret(token))
    assert not any(cache.read(key).credential for key in cache.list_keys())
