"""A cloud whose tokens die within a test."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.fakes.cloud import SmallCloud
from tests.fakes.wired import REPOSITORIES, WiredMachine


@contextmanager
def short_lived(machine: WiredMachine, lifetime: int, min_lifetime: int) -> Iterator[SmallCloud]:
    """Let the machine's relay be served by a cloud whose tokens live `lifetime` seconds."""
    path = "/run/git-credential-relay/relay.env"
    enter = ["nsenter", f"--target={machine.pid}", "--mount"]
    before = subprocess.run([*enter, "cat", path], capture_output=True, check=True).stdout

    def write(content: bytes) -> None:
        write = [*enter, "sh", "-c", 'cat >"$1"', "sh", path]
        subprocess.run(write, input=content, check=True)

    with SmallCloud(
        machine.forge.tokens, machine.forge.host, REPOSITORIES, lifetime_seconds=lifetime
    ) as cloud:
        settings = {
            "CLOUD_API_URL": cloud.url,
            "WORKSPACE_ID": cloud.workspace_id,
            "WORKSPACE_TOKEN": cloud.workspace_secret,
            "GIT_CREDENTIAL_RELAY_FALLBACK": "off",
            "GIT_CREDENTIAL_RELAY_MIN_LIFETIME": str(min_lifetime),
        }
        write("".join(f"{name}={value}\n" for name, value in settings.items()).encode())
        try:
            yield cloud
        finally:
            write(before)
