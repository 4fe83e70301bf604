"""The sidecar's life where something goes wrong that nobody foresaw."""

from __future__ import annotations

import asyncio
import os
import signal

from git_credential_relay.errors import ConfigError
from git_credential_relay.relay.sidecar.serve import Sidecar
from git_credential_relay.relay.sidecar.watch import Watch
from git_credential_relay.relay.sidecar.workspaces import read_tenants
from tests.fakes.agent import ask
from tests.fakes.resident import until
from tests.fakes.sidecar import ask_socket, socket_directory

SETTINGS = {"GIT_TOKEN": "tok-own", "GIT_CREDENTIAL_RELAY_FALLBACK": "GIT_TOKEN"}
GET = b"action=get\n" + ask(path="o/r")


def test_no_exception_ends_it():
    """Whatever reading the configuration raises, it serves on, and the next reading counts."""
    errors: list[Exception] = [ConfigError("wrong"), ValueError("a secret"), OSError("gone")]
    lines: list[str] = []
    with socket_directory() as directory:
        path = str(directory / "s")

        def read():
            if lines and errors:
                raise errors.pop(0)
            return read_tenants(SETTINGS, {}, path, None)

        async def told(text: str, count: int) -> None:
            await asyncio.to_thread(
                until, lambda: sum(text in line for line in list(lines)) >= count
            )

        async def live() -> list[bytes]:
            running = asyncio.create_task(Sidecar(read, Watch(list), lines.append).run())
            await told("ready on", 1)
            answers = []
            for count in (1, 2, 3):
                os.kill(os.getpid(), signal.SIGHUP)
                await told("stays in force", count)
                answers.append(await asyncio.to_thread(ask_socket, directory / "s", GET))
            os.kill(os.getpid(), signal.SIGHUP)
            await told("configuration read again", 1)
            os.kill(os.getpid(), signal.SIGTERM)
            await running
            return answers

        answers = asyncio.run(live())

    assert all(b"password=tok-own\n" in answer for answer in answers)
    assert not any("a secret" in line for line in lines)
    assert any("unexpected ValueError" in line for line in lines)
    assert lines[-1] == "ended"
