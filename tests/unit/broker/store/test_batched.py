"""Questions that share round trips."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.broker.store.batched import MOST, Batched


class Source:
    """Answers with the number of the fetch; each fetch waits until it is let go."""

    def __init__(self):
        self.fetches: list[list[str]] = []
        self.gates: list[asyncio.Event] = []

    async def fetch(self, keys):
        self.fetches.append(sorted(keys))
        gate = asyncio.Event()
        self.gates.append(gate)
        number = len(self.fetches)
        await gate.wait()
        return {key: number for key in keys if not key.startswith("none")}

    async def settle(self):
        for _ in range(10):
            await asyncio.sleep(0)

    def ask(self, batched, *keys):
        return [asyncio.ensure_future(batched.find(key)) for key in keys]


def test_those_who_wait_share_the_next_fetch():
    """However many ask while one fetch runs, one more answers them all, each with its own."""

    async def scenario():
        source = Source()
        batched = Batched(source.fetch)
        first = source.ask(batched, "a", "a", "b")
        await source.settle()
        later = source.ask(batched, "a", "c", "none", *["c"] * 1000)
        await source.settle()
        assert source.fetches == [["a", "b"]]
        source.gates[0].set()
        answers = await asyncio.gather(*first)
        await source.settle()
        source.gates[1].set()
        return answers, await asyncio.gather(*later), source.fetches

    answers, later, fetches = asyncio.run(scenario())

    assert answers == [1, 1, 1]
    assert later == [2, 2, None, *[2] * 1000]
    assert fetches == [["a", "b"], ["a", "c", "none"]]


def test_an_answer_is_never_older_than_its_question():
    """A fetch that began before a question was asked does not answer it, even for the same key."""

    async def scenario():
        source = Source()
        batched = Batched(source.fetch)
        (first,) = source.ask(batched, "a")
        await source.settle()
        (second,) = source.ask(batched, "a")
        source.gates[0].set()
        await source.settle()
        done = first.done(), second.done()
        source.gates[1].set()
        return done, await first, await second

    assert asyncio.run(scenario()) == ((True, False), 1, 2)


def test_a_failure_is_for_those_it_failed():
    """Each who waited for a failing fetch gets its error; the next question is asked anew."""

    async def scenario():
        fails = [True]

        async def fetch(keys):
            if fails.pop() if fails else False:
                raise LookupError("failed")
            return dict.fromkeys(keys, 1)

        batched = Batched(fetch)
        failed = await asyncio.gather(batched.find("a"), batched.find("b"), return_exceptions=True)
        return failed, await batched.find("a")

    failed, answer = asyncio.run(scenario())

    assert [type(error) for error in failed] == [LookupError, LookupError]
    assert answer == 1


def test_whoever_gives_up_disturbs_nobody():
    """A question that is cancelled leaves the others their answer."""

    async def scenario():
        source = Source()
        batched = Batched(source.fetch)
        gone, stays = source.ask(batched, "a", "a")
        await source.settle()
        gone.cancel()
        source.gates[0].set()
        answer = await stays
        with pytest.raises(asyncio.CancelledError):
            await gone
        return answer

    assert asyncio.run(scenario()) == 1


def test_it_outlives_its_event_loop():
    """A loop that ended in the middle of a fetch leaves nothing that the next one trips over."""
    source = Source()
    batched = Batched(source.fetch)

    async def leave():
        source.ask(batched, "a", "b")
        await source.settle()

    async def scenario():
        (question,) = source.ask(batched, "a")
        await source.settle()
        source.gates[-1].set()
        return await question

    asyncio.run(leave())
    assert asyncio.run(asyncio.wait_for(scenario(), 5)) == 2


def test_a_fetch_has_a_bound():
    """More keys than one query should have are asked for in several."""

    async def scenario():
        sizes = []

        async def fetch(keys):
            sizes.append(len(keys))
            return {key: int(key) for key in keys}

        batched = Batched(fetch)
        answers = await asyncio.gather(*(batched.find(str(n)) for n in range(MOST + 1)))
        return sizes, answers

    sizes, answers = asyncio.run(scenario())

    assert sizes == [MOST, 1]
    assert answers == list(range(MOST + 1))


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 3)), max_size=30))
def test_everybody_gets_what_was_true_when_asked_or_later(steps):
    """Whatever the order of questions and changes, no answer is from before its question."""

    async def scenario():
        truth = dict.fromkeys("abcd", 0)

        async def fetch(keys):
            found = {key: truth[key] for key in keys}
            await asyncio.sleep(0)
            return found

        batched = Batched(fetch)

        async def ask(key):
            before = truth[key]
            answer = await batched.find(key)
            assert answer is not None
            assert answer >= before

        tasks = []
        for key, pauses in steps:
            tasks.append(asyncio.ensure_future(ask(key)))
            truth[key] += 1
            for _ in range(pauses):
                await asyncio.sleep(0)
        await asyncio.gather(*tasks)

    asyncio.run(scenario())
