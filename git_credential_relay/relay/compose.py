"""The acquirer of a short-lived process: what the helper and the commands share."""

from __future__ import annotations

import sys

from git_credential_relay.relay.acquire import Acquirer
from git_credential_relay.relay.cache.choose import choose_cache
from git_credential_relay.relay.deadline import Clock, Deadline
from git_credential_relay.trace import Trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from git_credential_relay.config import Config
    from git_credential_relay.credential.credential import Credential
    from git_credential_relay.credential.forge import Target


def build_acquirer(config: Config) -> Acquirer:
    """An acquirer by `config`, whose API client is loaded when the cache does not answer."""
    clock = Clock()
    trace = Trace(sys.stderr.write if config.debug else None)

    def fetch(target: Target, deadline: Deadline, refused_sha256: str | None) -> Credential:
        from git_credential_relay.relay.client.api import RelayClient
        from git_credential_relay.relay.workspace import workspace_secret

        client = RelayClient(config, lambda: workspace_secret(config), clock, trace)
        return client.fetch(target, deadline, refused_sha256)

    if config.socket is None:
        return Acquirer(config, choose_cache(config, trace), fetch, clock, trace)
    # With a sidecar tokens are in its memory, and nowhere else.
    from git_credential_relay.relay.cache.memory import MemoryCache
    from git_credential_relay.relay.cache_socket.client import SidecarClient

    sidecar = SidecarClient(config.socket, clock)
    return Acquirer(config, MemoryCache(), fetch, clock, trace, sidecar)
