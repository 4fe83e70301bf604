"""Running the broker: listens once everything is ready, and leaves nobody half answered.

The owner of uvicorn. SIGTERM and SIGINT drain, a second one ends at once, SIGHUP reads
configuration and certificate again.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import uvicorn
from starlette.types import ASGIApp

from git_credential_relay.broker.addresses import parse_networks
from git_credential_relay.broker.check.findings import FAIL
from git_credential_relay.broker.compose import Broker
from git_credential_relay.broker.config.load import BrokerConfig, load_config, split_listen
from git_credential_relay.broker.server.app import Vending, build_app
from git_credential_relay.broker.server.connection import (
    HEADER_SECONDS,
    MAX_HEADER_BYTES,
    connection_class,
)
from git_credential_relay.broker.server.logs import configure_logging
from git_credential_relay.broker.server.routes.workspaces import workspace_routes
from git_credential_relay.broker.tls import Tls, find_tls
from git_credential_relay.credential.url import is_loopback
from git_credential_relay.errors import ConfigError, RelayError
from git_credential_relay.messages import PROGRAM

# Longer than the minute for which proxies keep a connection: they must be the ones to close it,
# or a request of theirs meets one that has just been closed.
KEEP_ALIVE_SECONDS = 65
WANTED_FILES = 65_536
OTHER_FILES = 192  # descriptors that are not connections of clients: database, forges, logs

_log = logging.getLogger(__name__)


class Running(Vending, Protocol):
    """A broker with a life."""

    async def start(self) -> None:
        """Begin; what this raises keeps the broker from listening."""
        ...

    async def stop(self) -> None:
        """Finish what is under way and close everything."""
        ...

    def reload(self) -> str | None:
        """Read the configuration again; what is wrong with it, where the last one stays."""
        ...


def serve(
    config_path: Path,
    listen: str | None = None,
    cache_url: str | None = None,
    *,
    is_verbose: bool = False,
) -> None:
    """Run the broker of this configuration until a signal ends it.

    Raises ConfigError before anything is opened, RelayError where it cannot listen.
    """
    configure_logging(logging.DEBUG if is_verbose else logging.INFO)
    config = load_config(config_path)
    listen = listen or config.model.listen
    with _placed(config):
        tls = find_tls(config)
        parse_networks(config.model.trusted_proxies)
    with bind(listen) as listener:
        with _placed(config):
            broker = Broker(config.path, cache_url=cache_url)
        admin = workspace_routes(broker.workspaces, broker.admin_gate, broker.audit)
        asyncio.run(run(broker, build_app(broker, admin), listener, tls))


@contextlib.contextmanager
def _placed(config: BrokerConfig) -> Iterator[None]:
    """Gives a ConfigError its place: what opens a file does not know the line that names it."""
    try:
        yield
    except ConfigError as error:
        from git_credential_relay.broker.check.offline import check_config

        for finding in check_config(config.path):
            if finding.status == FAIL and error.message in finding.message:
                error.message = finding.message
                break
        raise


async def run(broker: Running, app: ASGIApp, listener: socket.socket, tls: Tls | None) -> None:
    """Serve `app` at the bound socket from the moment the broker is up until a signal."""
    limits = broker.config.model.limits
    server = _Server(
        uvicorn.Config(
            app,
            http=connection_class(_max_connections(), HEADER_SECONDS),
            ws="none",
            lifespan="off",
            loop="asyncio",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            # The addresses that proxies report are limits' to judge, by trusted_proxies.
            proxy_headers=False,
            h11_max_incomplete_event_size=MAX_HEADER_BYTES,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=limits.drain_seconds,
            ssl_context_factory=None if tls is None else (lambda config, default: tls.context),
        ),
        lambda: _announce(listener, tls),
    )
    _on_signals(server, broker, tls)
    try:
        await broker.start()
        # What is there now stays: the collector need not look through it again and again.
        gc.collect()
        gc.freeze()
        await server.serve([listener])
        # Requests that the drain has cancelled still have their end to record.
        await asyncio.sleep(0)
    finally:
        await broker.stop()


@contextlib.contextmanager
def bind(listen: str) -> Iterator[socket.socket]:
    """A socket bound to this address; nobody can connect yet. Raises ConfigError, RelayError."""
    host, port = split_listen(listen)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _cannot_listen(listen, error) from error
    with listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except OSError as error:
            raise _cannot_listen(listen, error) from error
        yield listener


def _cannot_listen(listen: str, error: OSError) -> RelayError:
    return RelayError(
        f"cannot listen at {listen}: {(error.strerror or str(error)).lower()}",
        code="cannot-listen",
        hint="end what listens there, or choose another address with --listen",
    )


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, which end the process by the signal in the end."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        self._on_started()


def _on_signals(server: uvicorn.Server, broker: Running, tls: Tls | None) -> None:
    loop = asyncio.get_running_loop()

    def stop(number: int) -> None:
        if server.should_exit:
            os._exit(128 + number)
        server.should_exit = True

    def reload() -> None:
        try:
            broker.reload()
            if tls is not None:
                tls.reload()
        except RelayError as error:
            _log.error("not reloaded: %s", error)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    loop.add_signal_handler(signal.SIGHUP, reload)


def _announce(listener: socket.socket, tls: Tls | None) -> None:
    host, port = listener.getsockname()[:2]
    if tls is None and not is_loopback(host):
        _log.warning("tokens leave in the clear: give it a certificate, or a proxy that has one")
    shown = f"[{host}]" if ":" in host else host
    scheme = "http" if tls is None else "https"
    sys.stderr.write(f"{PROGRAM} broker: listening on {scheme}://{shown}:{port}\n")
    sys.stderr.flush()


def _max_connections() -> int:
    """How many connections there are file descriptors for, having asked for more of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_FILES if hard == resource.RLIM_INFINITY else min(WANTED_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    files = WANTED_FILES if soft == resource.RLIM_INFINITY else soft
    return max(64, files - OTHER_FILES)
