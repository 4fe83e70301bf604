"""One HTTP request against real servers: every end of it is an outcome, in bounded time."""

import gzip
import socket
import ssl
import time
from contextlib import ExitStack, closing

import pytest
import trustme

from git_credential_relay.errors import ConfigError
from git_credential_relay.relay.client.http import MAX_BODY, Http
from git_credential_relay.relay.client.outcome import Answered, Broken, Trouble
from tests.fakes.configs import make_config
from tests.fakes.proxy import running_proxy
from tests.fakes.raw_server import (
    answering,
    closed_port,
    http_answer,
    raw_server,
    read_head,
    resetting,
)

# A host name that is not this machine's by its spelling, although the kernel takes it there:
# so a proxy may be used for it, and no name is looked up.
ELSEWHERE = "0.0.0.0"


def get(url, seconds=5.0, params=None, **variables):
    """The outcome of one GET with the given configuration."""
    with closing(Http(make_config(**variables), url)) as http:
        headers = {"Authorization": "Bearer canary"}
        return http.get(url, seconds, headers=headers, params=params or {})


def get_from(serve, seconds=5.0):
    """The outcome of one GET from a server that answers bytes."""
    with raw_server(serve) as server:
        return get(f"http://127.0.0.1:{server.port}/", seconds)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def tls_context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


def test_a_get_as_it_goes_out(httpserver):
    """Header, query and our own name reach the server, and its whole answer comes back."""
    httpserver.expect_request("/a/b").respond_with_data("ok", 203, {"X-Two": "2"})
    outcome = get(httpserver.url_for("/a/b"), params={"id": "a/b c&d=é"})

    request = httpserver.log[0][0]
    assert isinstance(outcome, Answered)
    assert (outcome.status, outcome.body, outcome.is_cut) == (203, b"ok", False)
    assert outcome.headers["x-two"] == "2"
    assert request.args.to_dict() == {"id": "a/b c&d=é"}
    assert {
        name: request.headers.get(name)
        for name in ("Authorization", "Accept", "Accept-Encoding", "Cookie")
    } == {
        "Authorization": "Bearer canary",
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Cookie": None,
    }
    assert request.headers["User-Agent"].startswith("git-credential-relay/")


def test_a_post_as_it_goes_out(httpserver):
    """A POST carries its fields as JSON and nothing in the URL."""
    httpserver.expect_request("/a", method="POST").respond_with_data("ok")
    with closing(Http(make_config(), httpserver.url_for("/"))) as http:
        outcome = http.post(httpserver.url_for("/a"), 5.0, headers={}, json={"id": "x"})

    request = httpserver.log[0][0]
    assert isinstance(outcome, Answered)
    assert (outcome.status, request.json, request.query_string) == (200, {"id": "x"}, b"")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(httpserver, status):
    """The secret never reaches the address a redirect names."""
    with raw_server(answering(http_answer(b"stolen"))) as other:
        target = {"Location": f"http://127.0.0.1:{other.port}/"}
        httpserver.expect_request("/").respond_with_data("", status, target)
        outcome = get(httpserver.url_for("/"))

    assert isinstance(outcome, Answered)
    assert (outcome.status, other.connections) == (status, 0)


@pytest.mark.parametrize(
    ("size", "is_cut"), [(MAX_BODY, False), (MAX_BODY + 1, True), (50 * MAX_BODY, True)]
)
def test_a_body_is_read_up_to_256_kib(size, is_cut):
    """More than the cap is not kept, and the outcome says that it was cut."""
    outcome = get_from(answering(http_answer(b"x" * size)))

    assert isinstance(outcome, Answered)
    assert (len(outcome.body), outcome.is_cut) == (min(size, 256 * 1024), is_cut)


def test_a_body_without_end_is_cut():
    """A server that never stops sending is left as soon as the cap is reached."""

    def serve(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")

    outcome = get_from(serve)

    assert isinstance(outcome, Answered)
    assert (len(outcome.body), outcome.is_cut) == (MAX_BODY, True)


def test_a_small_body_that_unpacks_to_a_large_one_is_cut():
    """The cap counts what was unpacked, although we never asked for packed bodies."""
    bomb = gzip.compress(b"x" * 50 * MAX_BODY)
    outcome = get_from(answering(http_answer(bomb, "200 OK", "Content-Encoding: gzip")))

    assert isinstance(outcome, Answered)
    assert (len(outcome.body), outcome.is_cut) == (MAX_BODY, True)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"


@pytest.mark.parametrize(
    "serve",
    [
        answering(),
        answering(HEAD, b'{"token": "t"}'),
        answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"),
        answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1"),
        answering(b"SSH-2.0-OpenSSH_9.2\r\n"),
        answering(b"HTTP/1.1 abc OK\r\n\r\n"),
        answering(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000 + b"\r\n\r\n"),
        answering(b"HTTP/1.1 200 OK\r\n", b"X: x\r\n" * 50_000, b"\r\n"),
        answering(http_answer(b"not gzip", "200 OK", "Content-Encoding: gzip")),
        resetting(),
        resetting(HEAD + b"{"),
    ],
    ids=[
        "closed at once",
        "body cut short",
        "chunk cut short",
        "head cut short",
        "another protocol",
        "no status",
        "one huge header",
        "very many headers",
        "wrongly packed",
        "reset",
        "reset in the body",
    ],
)
def test_a_broken_answer_is_read_trouble(serve):
    """What is not a whole HTTP answer is never taken for one."""
    outcome = get_from(serve)

    assert isinstance(outcome, Broken)
    assert outcome.trouble is Trouble.READ


def took(outcome_of):
    started = time.monotonic()
    outcome = outcome_of()
    assert isinstance(outcome, Broken)
    return outcome.trouble, time.monotonic() - started


def drip(connection: socket.socket) -> None:
    """One byte now and then: each arrives in time, the answer never does."""
    read_head(connection)
    connection.sendall(HEAD)
    while True:
        connection.sendall(b" ")
        time.sleep(0.05)


def silence(connection: socket.socket) -> None:
    """Read the request and hold the line."""
    while connection.recv(65536):
        pass


@pytest.mark.parametrize("serve", [drip, silence])
def test_an_attempt_ends_with_its_time(serve):
    """Neither silence nor a dripping server holds us longer than the given seconds."""
    trouble, seconds = took(lambda: get_from(serve, seconds=0.4))

    assert trouble is Trouble.TIMEOUT
    assert seconds == pytest.approx(0.6, abs=0.3)


def test_a_silent_server_is_left_after_five_seconds():
    """With more time in hand one attempt reads for 5 s, so that another one fits."""
    trouble, seconds = took(lambda: get_from(silence, seconds=20.0))

    assert trouble is Trouble.TIMEOUT
    assert seconds == pytest.approx(5.2, abs=0.5)


def test_a_black_hole_is_left_after_three_seconds():
    """A host that answers no connection attempt costs 3 s."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        address = listener.getsockname()
        for _ in range(4):  # a full queue lets the kernel drop what comes after
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        trouble, seconds = took(lambda: get(f"http://127.0.0.1:{address[1]}/", 20.0))

    assert trouble is Trouble.TIMEOUT
    assert seconds == pytest.approx(3.2, abs=0.5)


def test_nobody_listens():
    """A refused connection is connect trouble, at once."""
    trouble, seconds = took(lambda: get(f"http://127.0.0.1:{closed_port()}/"))

    assert (trouble, seconds < 1) == (Trouble.CONNECT, True)


@pytest.mark.parametrize(
    "host", ["relay..invalid", "x" * 70 + ".invalid", "-.invalid"], ids=["dots", "long", "dash"]
)
def test_a_name_that_does_not_resolve(host):
    """A name no resolver can know is trouble, not an exception."""
    outcome = get(f"https://{host}/")

    assert isinstance(outcome, Broken)
    assert outcome.trouble in (Trouble.DNS, Trouble.READ, Trouble.CONNECT)


def test_closing_while_a_request_hangs():
    """An attempt that was given up does not keep the client from being closed."""
    with raw_server(silence) as server:
        url = f"http://127.0.0.1:{server.port}/"
        http = Http(make_config(), url)
        http.get(url, 0.1, headers={}, params={})
        http.close()
        http.close()


def test_an_unknown_authority_is_tls_trouble(authority):
    """A certificate of an authority nobody trusts is not accepted, and nothing is sent."""
    heads: list[bytes] = []
    with raw_server(
        answering(http_answer(b"{}"), heads=heads), tls_context(authority, "127.0.0.1")
    ) as server:
        outcome = get(f"https://127.0.0.1:{server.port}/")

    assert isinstance(outcome, Broken)
    assert (outcome.trouble, heads) == (Trouble.TLS, [])


def test_a_companys_own_authority(authority, ca_file):
    """The configured CA file is trusted besides the system's authorities."""
    context = tls_context(authority, "127.0.0.1")
    with raw_server(answering(http_answer(b"{}")), context) as server:
        outcome = get(f"https://127.0.0.1:{server.port}/", GIT_CREDENTIAL_RELAY_CA_FILE=ca_file)

    assert isinstance(outcome, Answered)
    assert outcome.status == 200


def test_ssl_cert_file_is_honoured(authority, ca_file, monkeypatch):
    """The system's authorities are those OpenSSL is told of by SSL_CERT_FILE."""
    monkeypatch.setenv("SSL_CERT_FILE", ca_file)
    context = tls_context(authority, "127.0.0.1")
    with raw_server(answering(http_answer(b"{}")), context) as server:
        outcome = get(f"https://127.0.0.1:{server.port}/")

    assert isinstance(outcome, Answered)


@pytest.mark.parametrize(
    "names", [("relay.example",), ("127.0.0.2",)], ids=["another name", "another address"]
)
def test_a_certificate_for_somebody_else(authority, ca_file, names):
    """A trusted authority's certificate for another host is not accepted."""
    context = tls_context(authority, *names)
    with raw_server(answering(http_answer(b"{}")), context) as server:
        outcome = get(f"https://127.0.0.1:{server.port}/", GIT_CREDENTIAL_RELAY_CA_FILE=ca_file)

    assert isinstance(outcome, Broken)
    assert outcome.trouble is Trouble.TLS


def test_a_server_that_leaves_during_the_handshake_is_no_bad_certificate():
    """A connection cut off before any certificate may work the next time."""
    with raw_server(lambda connection: connection.close()) as server:
        outcome = get(f"https://127.0.0.1:{server.port}/")

    assert isinstance(outcome, Broken)
    assert outcome.trouble in (Trouble.CONNECT, Trouble.READ)


@pytest.mark.parametrize("content", [None, b"no certificate"], ids=["missing", "not PEM"])
def test_a_ca_file_that_cannot_be_read(tmp_path, content):
    """A wrong CA file is a configuration error that names the setting."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        get("https://127.0.0.1:1/", GIT_CREDENTIAL_RELAY_CA_FILE=str(path))

    assert caught.value.hint == "check GIT_CREDENTIAL_RELAY_CA_FILE and SSL_CERT_FILE"


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_an_https_api_through_a_proxy(authority, ca_file, name):
    """The proxy gets a CONNECT for the API's host, and never the secret."""
    context = tls_context(authority, "relay.example")
    heads: list[bytes] = []
    with (
        raw_server(answering(http_answer(b"{}"), heads=heads), context) as api,
        running_proxy(api.port) as proxy,
    ):
        variables = {name: proxy.url, "GIT_CREDENTIAL_RELAY_CA_FILE": ca_file}
        outcome = get("https://relay.example/x", **variables)

    assert isinstance(outcome, Answered)
    assert proxy.request_lines == ["CONNECT relay.example:443 HTTP/1.1"]
    assert b"canary" not in b"".join(proxy.heads)
    assert b"Bearer canary" in heads[0]


def test_a_proxy_with_a_user(authority, ca_file):
    """The user and password in the proxy's address go to the proxy, and only there."""
    context = tls_context(authority, "relay.example")
    heads: list[bytes] = []
    with (
        raw_server(answering(http_answer(b"{}"), heads=heads), context) as api,
        running_proxy(api.port) as proxy,
    ):
        outcome = get(
            "https://relay.example/",
            HTTPS_PROXY=proxy.url.replace("//", "//me:pw@"),
            GIT_CREDENTIAL_RELAY_CA_FILE=ca_file,
        )

    assert isinstance(outcome, Answered)
    assert b"Proxy-Authorization: Basic bWU6cHc=" in proxy.heads[0]
    assert b"roxy-" not in heads[0]


def test_an_http_api_on_another_machine_through_a_proxy():
    """Plain http, where it is opted in to, is asked for in absolute form."""
    with raw_server(answering(http_answer(b"{}"))) as api, running_proxy(api.port) as proxy:
        outcome = get("http://relay.example/x", HTTP_PROXY=proxy.url)

    assert isinstance(outcome, Answered)
    assert proxy.request_lines == ["GET http://relay.example/x HTTP/1.1"]


@pytest.mark.parametrize("no_proxy", [ELSEWHERE, "example.com, 0.0.0.0", "*"])
def test_no_proxy_names_what_is_reached_directly(no_proxy):
    """A host in NO_PROXY is asked without the proxy."""
    with raw_server(answering(http_answer(b"{}"))) as api, running_proxy(api.port) as proxy:
        outcome = get(f"http://{ELSEWHERE}:{api.port}/", HTTP_PROXY=proxy.url, NO_PROXY=no_proxy)

    assert isinstance(outcome, Answered)
    assert proxy.request_lines == []


def test_no_proxy_of_other_hosts_changes_nothing():
    """A NO_PROXY that does not name the host leaves the proxy in use."""
    with raw_server(answering(http_answer(b"{}"))) as api, running_proxy(api.port) as proxy:
        get(f"http://{ELSEWHERE}:{api.port}/", HTTP_PROXY=proxy.url, NO_PROXY="0.0.0.1,.example")

    assert proxy.request_lines == [f"GET http://{ELSEWHERE}:{api.port}/ HTTP/1.1"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_is_never_reached_through_a_proxy(host):
    """Plain http is safe only as long as it does not leave this machine."""
    with raw_server(answering(http_answer(b"{}"))) as api, running_proxy(api.port) as proxy:
        outcome = get(f"http://{host}:{api.port}/", HTTP_PROXY=proxy.url, ALL_PROXY=proxy.url)

    assert isinstance(outcome, Answered)
    assert proxy.request_lines == []


def test_the_proxies_of_the_process_are_not_consulted(monkeypatch):
    """Only the configuration counts: a proxy it does not know of gets nothing."""
    with raw_server(answering(http_answer(b"{}"))) as api, running_proxy(api.port) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        outcome = get(f"http://{ELSEWHERE}:{api.port}/")

    assert isinstance(outcome, Answered)
    assert proxy.request_lines == []


@pytest.mark.parametrize(
    "refusal",
    [b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", b"HTTP/1.1 403 Forbidden\r\n\r\n"],
    ids=["407", "403"],
)
def test_a_proxy_that_refuses(refusal):
    """A proxy's own refusal is the proxy's trouble, not an answer of the API."""
    with running_proxy(1, refuse=refusal) as proxy:
        outcome = get("https://relay.example/", HTTPS_PROXY=proxy.url)

    assert isinstance(outcome, Broken)
    assert outcome.trouble is Trouble.PROXY


def test_a_proxy_that_is_down():
    """A proxy at which nobody listens is trouble, and nothing goes around it."""
    outcome = get("https://relay.example/", HTTPS_PROXY=f"http://127.0.0.1:{closed_port()}")

    assert isinstance(outcome, Broken)
    assert outcome.trouble in (Trouble.CONNECT, Trouble.PROXY)


@pytest.mark.parametrize(
    "address", ["ftp://127.0.0.1:1", "http://", "http://127.0.0.1:port", "socks5://127.0.0.1:1"]
)
def test_a_proxy_address_that_cannot_be_used(address):
    """It is a configuration error that names the variable."""
    with pytest.raises(ConfigError, match=r"^HTTPS_PROXY in the environment: "):
        get("https://relay.example/", HTTPS_PROXY=address)


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "http://proxy.invalid:3128"])
def test_a_proxy_that_is_away_is_not_the_api_being_away(proxy):
    """Neither its name nor its port is the API's: the message must not send people there."""
    outcome = get("https://relay.example/x", HTTPS_PROXY=proxy)

    assert isinstance(outcome, Broken)
    assert outcome.trouble is Trouble.PROXY
