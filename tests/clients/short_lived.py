"""A cloud whose tokens die within a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.clients.modes import Machine
from tests.fakes.cloud import SmallCloud
from tests.fakes.wired import REPOSITORIES


@contextmanager
def short_lived(machine: Machine, lifetime: int, min_lifetime: int) -> Iterator[SmallCloud]:
    """Let the machine's relay be served by a cloud whose tokens live `lifetime` seconds."""
    before = machine.as_root("cat", machine.settings)

    def write(content: bytes, api_url: str) -> None:
        machine.as_root("sh", "-c", 'cat >"$1"', "sh", machine.settings, stdin=content)
        machine.wait_for_settings(api_url)

    with SmallCloud(
        machine.forge.tokens, machine.forge.host, REPOSITORIES, lifetime_seconds=lifetime
    ) as cloud:
        settings = {
            "CLOUD_API_URL": cloud.url,
            "WORKSPACE_ID": cloud.workspace_id,
            "WORKSPACE_TOKEN": cloud.workspace_secret,
            "GIT_CREDENTIAL_RELAY_MIN_LIFETIME": str(min_lifetime),
        }
        changed = "".join(f"{name}={value}\n" for name, value in settings.items()).encode()
        write(before + changed, cloud.url)
        try:
            yield cloud
        finally:
            write(before, machine.cloud.url)
