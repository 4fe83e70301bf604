"""Finding and deleting access tokens by their names, where nobody kept their numbers."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Protocol

from git_credential_relay.broker.errors import BrokerError, ForgeRefusedError
from git_credential_relay.broker.sources.gitlab.api import GitLabApi
from git_credential_relay.broker.sources.gitlab.handle import PREFIX, Handle, ends_at
from git_credential_relay.broker.sources.gitlab.places import Place
from git_credential_relay.broker.sources.interface import Lease

MAX_PLACES = 1000
DELETE_SECONDS = 5.0
# Longer than any mint takes: a project may be about to get the token that it has not yet.
KEPT_SECONDS = 3600.0
_FOR_EVER = 2**40  # Unix seconds: no lease ends later


class Leases(Protocol):
    """The record of leases, of which the store is one."""

    async def due_leases(self, now: int, limit: int) -> list[Lease]:
        """Leases whose time was over at `now`."""
        ...


class Cleanup:
    """Remembers where tokens of ours may be, and deletes those whose time is over."""

    def __init__(
        self, api: GitLabApi, source: str, leases: Leases | None, now: Callable[[], float]
    ) -> None:
        self._api = api
        self._source = source
        self._leases = leases
        self._now = now
        self._places: dict[Place, float] = {}

    @property
    def places(self) -> list[Place]:
        """Where tokens of ours may be, those of the last mints last."""
        return list(self._places)

    def add(self, place: Place) -> None:
        """There may be a token here now."""
        self._places.pop(place, None)
        self._places[place] = self._now()
        if len(self._places) > MAX_PLACES:
            del self._places[next(iter(self._places))]

    async def locations(self) -> list[str]:
        """Where the leases on record say that tokens are, also those of other brokers."""
        if self._leases is None:
            return []
        leases = await self._leases.due_leases(_FOR_EVER, MAX_PLACES)
        return sorted(
            {lease.location for lease in leases if lease.source == self._source and lease.location}
        )

    async def delete_named(
        self, place: Place, name: str, deadline: float, keep: int | None = None
    ) -> None:
        """Delete every token of exactly this name, but the one to keep."""
        for token_id, found in await self._list(place, name, deadline):
            if found == name and token_id != keep:
                await self._api.delete(Handle(place, token_id).path, deadline)

    async def delete_refused(self, place: Place, token_id: int | None, name: str) -> None:
        """Delete a token that is not to be used; where that fails, its lease's end tries again."""
        deadline = time.monotonic() + DELETE_SECONDS
        with contextlib.suppress(BrokerError):
            if token_id is not None:
                await self._api.delete(Handle(place, token_id).path, deadline)
            await self.delete_named(place, name, deadline)

    async def reap(self, now: float, deadline: float) -> int:
        """Delete tokens of ours whose time is over; how many there were.

        One project that makes trouble does not keep the others waiting; its error comes last.
        What there was no time for comes first the next time.
        """
        count, trouble = 0, None
        for place in self.places:
            if time.monotonic() >= deadline:
                break
            self._places[place] = self._places.pop(place, now)
            try:
                count += await self._reap(place, now, deadline)
            except BrokerError as error:
                trouble = error
        if trouble is not None:
            raise trouble
        return count

    async def _reap(self, place: Place, now: float, deadline: float) -> int:
        ours = [
            (token_id, end)
            for token_id, name in await self._list(place, PREFIX, deadline)
            if (end := ends_at(name)) is not None
        ]
        over = [token_id for token_id, end in ours if end <= now]
        trouble = None
        for token_id in over:
            try:
                await self._api.delete(Handle(place, token_id).path, deadline)
            except ForgeRefusedError as error:  # of this one; the others must not live on with it
                trouble = error
        if trouble is not None:
            raise trouble
        if not ours and self._places.get(place, now) + KEPT_SECONDS <= now:
            self._places.pop(place, None)
        return len(over)

    async def _list(self, place: Place, search: str, deadline: float) -> list[tuple[int, str]]:
        """Number and name of the living tokens; all of them, before any is deleted.

        The forge searches for parts of names, so the caller compares them whole.
        """
        return [
            (token["id"], str(token.get("name")))
            async for token in self._api.pages(
                place.tokens, deadline, {"search": search, "state": "active"}
            )
            if type(token.get("id")) is int
        ]
