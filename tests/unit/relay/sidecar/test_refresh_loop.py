"""The task that looks at all workspaces now and then."""

import asyncio
import itertools

import pytest

from git_credential_relay.errors import RelayError
from git_credential_relay.relay.sidecar.refresh import refresh_ahead
from tests.fakes.fake_clock import FakeClock


def test_all_workspaces_are_looked_at_for_ever():
    """Whatever happens to one of them; those that are gone are not looked at any more."""
    looked: list[str] = []
    names: list[str] = []
    complaints: list[RelayError] = []

    class Looked:
        def __init__(self, name: str) -> None:
            self.name = name

        def refresh(self) -> None:
            looked.append(self.name)
            names.append(self.name)
            if self.name == "broken":
                raise ZeroDivisionError

    served = [Looked("gone"), Looked("broken"), Looked("good")]
    clock = FakeClock()
    looked_at: list[float] = []

    async def sleep(seconds: float) -> None:
        if looked:
            looked_at.append(clock.ticks)
            looked.clear()
            served[:] = served[-2:]
        if len(looked_at) == 20:
            raise asyncio.CancelledError
        clock.advance(seconds)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(refresh_ahead(lambda: served, complaints.append, clock.clock, sleep))

    gaps = {later - earlier for earlier, later in itertools.pairwise(looked_at)}
    assert gaps <= {8, 9, 10}
    assert names == ["gone", "broken", "good", *["broken", "good"] * 19]
    assert {error.message for error in complaints} == {"unexpected ZeroDivisionError"}
