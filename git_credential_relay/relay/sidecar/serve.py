"""The sidecar's life: it begins, reads its configuration again, and ends well."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Any

from git_credential_relay.errors import RelayError, unforeseen
from git_credential_relay.messages import PROGRAM, error_lines
from git_credential_relay.relay.deadline import Clock
from git_credential_relay.relay.sidecar.notify import notify, notify_reloading
from git_credential_relay.relay.sidecar.refresh import refresh_ahead
from git_credential_relay.relay.sidecar.room import Room
from git_credential_relay.relay.sidecar.tenancy import DRAIN_SECONDS, Say, Tenancy
from git_credential_relay.relay.sidecar.watch import Watch
from git_credential_relay.relay.sidecar.workspaces import Tenant
from git_credential_relay.trace import Trace

WATCH_SECONDS = 1.0


class Sidecar:
    """Serves the workspaces that `read` finds, until it is told to end.

    `watch` tells when `read` may find something else. `say` gets the lines of the log.
    """

    def __init__(
        self,
        read: Callable[[], list[Tenant]],
        watch: Watch,
        say: Say,
        clock: Clock | None = None,
        trace: Trace | None = None,
        room: Room | None = None,
    ) -> None:
        self._read = read
        self._watch = watch
        self._say = say
        self._clock = clock or Clock()
        self._tenancy = Tenancy(say, self._clock, trace or Trace(), room or Room())
        self._ended = asyncio.Event()
        self._hurried = asyncio.Event()
        self._reload = asyncio.Event()

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT. Raises RelayError where it cannot begin."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._unforeseen)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        await self._tenancy.apply(self._load())
        self._say(f"ready on {', '.join(self._tenancy.sockets)}")
        notify("READY=1")
        tending = asyncio.create_task(self._tend())
        ahead = refresh_ahead(lambda: self._tenancy.workspaces, self._say_error, self._clock)
        refreshing = asyncio.create_task(ahead)
        await self._ended.wait()
        tending.cancel()
        refreshing.cancel()
        await self._drain()

    def _end(self) -> None:
        if self._ended.is_set():
            self._hurried.set()  # told twice: at once
        self._ended.set()

    def _load(self) -> list[Tenant]:
        self._watch.renew()
        return self._read()

    async def _tend(self) -> None:
        """Read the configuration again when it changes, or when SIGHUP says so; nothing that
        happens then ends this."""
        while True:
            is_told = await self._is_told()
            try:
                if is_told or self._watch.has_changed():
                    await self._read_again()
                await self._tenancy.mend()
            except Exception as error:  # noqa: BLE001 - the next edit must count again
                self._say_error(unforeseen(error))

    async def _is_told(self) -> bool:
        try:
            async with asyncio.timeout(WATCH_SECONDS):
                await self._reload.wait()
        except TimeoutError:
            return False
        self._reload.clear()
        return True

    async def _read_again(self) -> None:
        notify_reloading()
        try:
            # Many files take a while to read, during which others want to be answered.
            await self._tenancy.apply(await asyncio.to_thread(self._load))
        except Exception as error:  # noqa: BLE001 - what is in force serves on, whatever it is
            self._say_error(error if isinstance(error, RelayError) else unforeseen(error))
            self._say("the configuration before this edit stays in force")
        else:
            self._say(f"configuration read again: {', '.join(self._tenancy.names)}")
        finally:
            notify("READY=1")

    async def _drain(self) -> None:
        notify("STOPPING=1")
        self._tenancy.withdraw()
        drained = asyncio.create_task(self._tenancy.close(DRAIN_SECONDS))
        hurried = asyncio.create_task(self._hurried.wait())
        await asyncio.wait(
            [drained, hurried],
            timeout=DRAIN_SECONDS + 1,
            return_when=asyncio.FIRST_COMPLETED,
        )
        self._say("ended")

    def _unforeseen(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, Exception):
            self._say_error(unforeseen(error))
        else:
            self._say(f"trouble: {context.get('message')}")

    def _say_error(self, error: RelayError) -> None:
        for line in error_lines(error):
            self._say(line.removeprefix(f"{PROGRAM}: "))
