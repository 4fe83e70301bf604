"""How much each user may take."""

from __future__ import annotations

import asyncio
import time

from git_credential_relay.relay.sidecar.room import (
    MAX_HELD_PER_UID,
    MAX_IN_ALL,
    MAX_PER_UID,
    MAX_TURNS,
    PAUSE,
    Room,
    Turns,
)


def test_one_user_does_not_take_the_room_of_others():
    """Beyond its share a user is not let in, while another one is."""
    room = Room()
    entered = [room.enter(1) for _ in range(MAX_PER_UID + 10)]

    assert entered.count(True) == MAX_PER_UID
    assert room.enter(2)


def test_all_users_together_have_a_limit():
    """There is an end to files, whoever has them."""
    room = Room()

    assert [room.enter(uid) for uid in range(MAX_IN_ALL + 1)].count(True) == MAX_IN_ALL


def test_who_leaves_makes_room():
    """A place that is given back can be taken again."""
    room = Room()
    for _ in range(MAX_PER_UID):
        room.enter(1)
    room.leave(1)

    assert room.enter(1)
    assert not room.enter(1)


def test_few_files_are_few_places():
    """Half of the files stay ours, to ask the API with."""
    room = Room(files=40)

    assert [room.enter(1) for _ in range(40)].count(True) == 10
    assert [room.enter(uid) for uid in range(2, 40)].count(True) == 10


def test_bytes_are_counted_for_each_user():
    """One user's unread answers do not fill the memory, and cost nobody else."""
    room = Room()

    assert room.hold(1, MAX_HELD_PER_UID)
    assert not room.hold(1, 1)
    assert room.hold(2, 1)
    assert room.hold(1, -2)
    assert room.hold(1, 1)


def test_long_answers_of_one_user_leave_nine_tenths_to_others():
    """The next long answer of a user waits nine times as long as the last one took; that of
    another user does not."""
    turns = Turns()

    def make() -> bytes:
        time.sleep(0.02)
        return b"x"

    async def ask() -> tuple[float, float]:
        began_at = time.monotonic()
        await turns.take(1, make)
        again = asyncio.create_task(turns.take(1, make))
        await turns.take(2, make)
        other = time.monotonic() - began_at
        await again
        return other, time.monotonic() - began_at

    other, again = asyncio.run(asyncio.wait_for(ask(), 5))

    assert again >= 0.02 * (PAUSE + 2)
    assert other < again / 2


def test_a_failed_answer_leaves_the_turn_to_the_next():
    """What goes wrong for one does not block the user for ever."""
    turns = Turns()

    def fail() -> bytes:
        raise ValueError

    async def ask() -> bytes:
        for _ in range(2):
            try:
                await turns.take(1, fail)
            except ValueError:
                continue
        return await turns.take(1, lambda: b"x")

    assert asyncio.run(asyncio.wait_for(ask(), 5)) == b"x"


def test_users_are_forgotten():
    """Not every user who ever asked is kept in mind."""
    turns = Turns()

    async def ask() -> None:
        for uid in range(3 * MAX_TURNS):
            await turns.take(uid, lambda: b"")

    asyncio.run(ask())

    assert len(turns._turns) <= MAX_TURNS + 64
