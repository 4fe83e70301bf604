"""One HTTP request, bounded in time and size, whose every end is an Outcome.

The owner of httpx2: its exceptions are translated here and nowhere else.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

import httpx2

from git_credential_relay import __version__
from git_credential_relay.config import Config
from git_credential_relay.credential.url import is_loopback, split_url
from git_credential_relay.errors import ConfigError
from git_credential_relay.relay.client.outcome import Answered, Broken, Outcome, Trouble
from git_credential_relay.secret import Secret

CONNECT_SECONDS = 3.0
READ_SECONDS = 5.0
MAX_BODY = 256 * 1024
_REACHING = (Trouble.DNS, Trouble.CONNECT)


class Http:
    """Sends requests to `url`'s host with the configured proxy and authorities.

    Redirects are never followed: the secret in the header would go along.
    """

    def __init__(self, config: Config, url: str) -> None:
        proxy = find_proxy(config, url)
        self._has_proxy = proxy is not None
        self._client = httpx2.Client(
            transport=httpx2.HTTPTransport(
                verify=tls_context(config, url), proxy=proxy, trust_env=False
            ),
            timeout=httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
            follow_redirects=False,
            headers={
                "User-Agent": f"git-credential-relay/{__version__}",
                "Accept": "application/json",
                "Accept-Encoding": "identity",
            },
        )

    def get(
        self, url: str, seconds: float, *, headers: dict[str, str], params: dict[str, str]
    ) -> Outcome:
        """GET `url`, within `seconds` and the limits of one attempt."""
        return self._send(
            lambda: self._client.stream("GET", url, headers=headers, params=params), seconds
        )

    def post(
        self, url: str, seconds: float, *, headers: dict[str, str], json: dict[str, str]
    ) -> Outcome:
        """POST `json` to `url`, within `seconds` and the limits of one attempt."""
        return self._send(
            lambda: self._client.stream("POST", url, headers=headers, json=json), seconds
        )

    def close(self) -> None:
        """Give the connections back."""
        # A request that was given up is still in its thread; the library objects to that.
        with contextlib.suppress(RuntimeError):
            self._client.close()

    def _send(
        self, stream: Callable[[], AbstractContextManager[httpx2.Response]], seconds: float
    ) -> Outcome:
        # In a thread of its own: neither name resolution nor a server that sends a byte now
        # and then heeds the library's timeouts, and git waits for a helper for ever.
        outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        limit = min(seconds, CONNECT_SECONDS + READ_SECONDS)

        def attempt() -> None:
            outcome = _attempt(stream)
            if self._has_proxy and isinstance(outcome, Broken) and outcome.trouble in _REACHING:
                # It is the proxy that we looked for and connected to.
                outcome = Broken(Trouble.PROXY, outcome.detail)
            outcomes.put(outcome)

        try:
            threading.Thread(target=attempt, daemon=True).start()
        except RuntimeError as error:  # a container's limit of processes
            return Broken(Trouble.CONNECT, str(error))
        try:
            return outcomes.get(timeout=limit)
        except queue.Empty:
            return Broken(Trouble.TIMEOUT, "")


def bearer(secret: Secret) -> dict[str, str]:
    """The header that carries the workspace's secret."""
    return {"Authorization": f"Bearer {secret.reveal()}"}


def _attempt(stream: Callable[[], AbstractContextManager[httpx2.Response]]) -> Outcome:
    try:
        with stream() as response:
            body, is_cut = b"", False
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > MAX_BODY:
                    body, is_cut = body[:MAX_BODY], True
                    break
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Answered(response.status_code, body, headers, is_cut)
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        return Broken(trouble_of(error), str(error))
    except Exception as error:  # noqa: BLE001 - or the asker would wait for this thread in vain
        return Broken(Trouble.READ, type(error).__name__)


def trouble_of(error: BaseException) -> Trouble:
    """Which trouble an exception is, by the most telling one in its chain of causes."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    if any(isinstance(link, socket.gaierror) for link in chain):
        return Trouble.DNS
    cut_off = (ssl.SSLEOFError, ssl.SSLZeroReturnError)
    if any(isinstance(link, ssl.SSLError) and not isinstance(link, cut_off) for link in chain):
        return Trouble.TLS
    if isinstance(error, httpx2.ProxyError):
        return Trouble.PROXY
    if isinstance(error, httpx2.TimeoutException):
        return Trouble.TIMEOUT
    if isinstance(error, httpx2.ConnectError):
        return Trouble.CONNECT
    return Trouble.READ


def tls_context(config: Config, url: str) -> ssl.SSLContext:
    """Whom a connection to `url` trusts: the system's authorities and the configured ones.

    Raises ConfigError when they cannot be read.
    """
    if url.startswith("http://"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # unused; loading authorities is slow
    try:
        context = httpx2.create_ssl_context()
        if config.ca_file:
            context.load_verify_locations(config.ca_file)
    except OSError as error:  # ssl.SSLError too
        raise ConfigError(
            f"the certificate authorities cannot be read: {error.strerror or error}",
            hint="check GIT_CREDENTIAL_RELAY_CA_FILE and SSL_CERT_FILE",
        ) from error
    return context


def find_proxy(config: Config, url: str) -> httpx2.Proxy | None:
    """The configured proxy for `url`; None to connect directly. Raises ConfigError."""
    scheme, host, _ = split_url(url)
    value = config.value(f"{scheme.upper()}_PROXY")
    if value is None or is_loopback(host):
        # Plain http is safe only as long as it does not leave this machine.
        return None
    no_proxy = config.value("NO_PROXY")
    if no_proxy:
        # Python's own reading of NO_PROXY, which typeshed leaves out.
        from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

        if proxy_bypass_environment(host, {"no": no_proxy.text}):
            return None
    try:
        address = value.text if "://" in value.text else f"http://{value.text}"
        proxy = httpx2.Proxy(address)
    except (ValueError, httpx2.InvalidURL) as error:
        raise ConfigError(f"{value.origin}: not the address of a proxy") from error
    if proxy.url.scheme not in ("http", "https") or not proxy.url.host:
        # SOCKS would need one more library.
        raise ConfigError(f"{value.origin}: only http and https proxies can be used")
    return proxy
