"""Who may connect, how many, for how long; and that nothing of them stays."""

import asyncio
import contextlib
import os
import socket
import threading
import time
from contextlib import ExitStack

import pytest

from git_credential_relay.relay.sidecar.api_proxy.bounds import MAX_HEAD, Bounds
from git_credential_relay.relay.sidecar.api_proxy.pools import MAX_KEPT
from git_credential_relay.relay.sidecar.api_proxy.server import ApiProxy
from tests.fakes.api_proxy import (
    ScriptedWorkspace,
    minting,
    read_all,
    receive_until,
    running_api_proxy,
)
from tests.fakes.configs import make_config
from tests.fakes.raw_server import raw_server, read_head
from tests.fakes.upstream import Reply, says

SHORT = 0.05


def request(scene, *headers, path="/api/v3/user", method="GET"):
    """The bytes of a request."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {scene.host}", *headers, "", ""]
    return "\r\n".join(lines).encode()


def open_files():
    """How many files this process has open."""
    return len(os.listdir("/proc/self/fd"))


def open_unix_sockets():
    """How many of them are ends of unix sockets."""
    with open("/proc/net/unix") as table:
        inodes = {f"socket:[{line.split()[6]}]" for line in list(table)[1:]}
    links = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            links.append(os.readlink(f"/proc/self/fd/{fd}"))
    return sum(link in inodes for link in links)


def is_taken(connection, data):
    """Whether the other end still takes anything."""
    try:
        connection.sendall(data)
    except OSError:
        return False
    return True


def wait_until(is_so, what):
    """Until it is so, for ten seconds."""
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline, what()
        time.sleep(0.01)


def test_a_peer_that_may_not_ask():
    """It is told so, and the forge is not asked."""
    with running_api_proxy(lambda connection: None) as proxy:
        answer = proxy.get("api.github.com", "/user")

    assert answer.startswith(b"HTTP/1.1 403 ")
    assert f"does not serve uid {os.getuid()} [sidecar-refused]".encode() in answer


def test_who_asks_is_looked_up_by_the_socket(scene):
    """The caller gets the connection itself, for the kernel's word on who is at its other end."""
    seen = []

    def find(connection: socket.socket) -> None:
        assert isinstance(connection, socket.socket)
        seen.append(connection.family)

    with running_api_proxy(find) as proxy:
        proxy.get("api.github.com", "/user")

    assert seen == [socket.AF_UNIX]


@pytest.mark.parametrize(
    "bad",
    [
        b"GET / HTTP/1.1\nHost: api.github.com\n\n",
        b"POST / HTTP/1.1\r\nHost: api.github.com\r\nContent-Length: 1\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: api.github.com\r\nHost: evil.example\r\n\r\n",
        b"CONNECT api.github.com:443 HTTP/1.1\r\nHost: api.github.com:443\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: api.github.com@evil.example\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: api.github.com\r\nA: " + b"x" * MAX_HEAD + b"\r\n\r\n",
        b"x" * (MAX_HEAD + 1),
        b"hello\r\n\r\n",
    ],
    ids=["bare-lf", "cl-te", "two-hosts", "connect", "user", "long", "endless", "no-http"],
)
def test_a_malformed_request_ends_the_connection(scene, proxy, bad):
    """400, and what follows it is not read as a request."""
    answer = proxy.ask(bad + request(scene))

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"[bad-http-request]" in answer
    assert answer.count(b"HTTP/1.1") == 1 + answer.count(b"only HTTP/1.1") + answer.count(
        b"not HTTP/1.1"
    )
    assert scene.upstream.requests == []
    assert scene.workspace.asked == []


def test_a_refusal_is_heard_while_the_body_is_sent(scene, proxy):
    """The rest of it is read and dropped: or all the client saw was a broken connection."""
    body = b"x" * 4_000_000
    scene.host = "evil.example"
    answer = proxy.ask(request(scene, f"Content-Length: {len(body)}", method="POST") + body)

    assert answer.startswith(b"HTTP/1.1 403 ")


def test_a_connection_serves_many_requests(scene, proxy):
    """Until the client says that it was the last one."""
    with proxy.connect() as connection:
        for _ in range(3):
            connection.sendall(request(scene))
            receive_until(connection, b"}")
        connection.sendall(request(scene, "Connection: close"))
        assert b"Connection: close" in read_all(connection)

    assert len(scene.upstream.requests) == 4


def test_who_may_ask_is_looked_up_for_each_request(scene):
    """A connection that is kept is no right that is kept."""
    config = make_config(GIT_CREDENTIAL_RELAY_HOSTS=f"github=http://{scene.host}")
    allowed = [ScriptedWorkspace(config, minting("token-1"))]
    with (
        running_api_proxy(lambda _: allowed[0] if allowed else None) as proxy,
        proxy.connect() as connection,
    ):
        connection.sendall(request(scene))
        assert receive_until(connection, b"}").startswith(b"HTTP/1.1 200 ")
        allowed.clear()
        connection.sendall(request(scene))
        assert b"[sidecar-refused]" in read_all(connection)


def test_no_workspace_follows_what_another_one_was_led_to(scene):
    """Where a forge redirected one of them, with a permission in the URL, the other may not go."""
    config = make_config(GIT_CREDENTIAL_RELAY_HOSTS=f"github=http://{scene.host}")
    one, other = (ScriptedWorkspace(config, minting("token-1")) for _ in range(2))
    askers = [one, other, one]
    scene.upstream.script = lambda seen: Reply(302, b"", {"Location": "/storage/a"})
    with running_api_proxy(lambda _: askers.pop(0)) as proxy:
        proxy.get(scene.host, "/api/v3/user")
        assert proxy.get(scene.host, "/storage/a").startswith(b"HTTP/1.1 403 ")
        assert proxy.get(scene.host, "/storage/a").startswith(b"HTTP/1.1 302 ")


def test_too_many_connections_of_one_user(scene):
    """One more is told so; when one ends there is room again."""
    proxy = scene.start(bounds=Bounds(per_uid=2, linger_seconds=SHORT))
    with proxy.connect() as one, proxy.connect() as two:
        for connection in (one, two):
            connection.sendall(request(scene))
            receive_until(connection, b"}")
        answer = proxy.get(scene.host, "/api/v3/user")
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"[sidecar-busy]" in answer
        assert b"Retry-After: " in answer

    wait_until(lambda: proxy.count_tasks() == 1, proxy.count_tasks)
    assert proxy.get(scene.host, "/api/v3/user").startswith(b"HTTP/1.1 200 ")


def test_too_many_connections_in_all(scene):
    """They are closed without a word."""
    proxy = scene.start(bounds=Bounds(in_all=1))
    with proxy.connect() as one:
        one.sendall(request(scene))
        receive_until(one, b"}")
        with proxy.connect() as other:
            other.settimeout(5)  # at once, and not when the time for its head is over
            assert other.recv(1) == b""


@pytest.mark.parametrize("start", [b"", b"GET / HTTP/1.1\r\nHost: "], ids=["silent", "half-a-head"])
def test_a_head_that_does_not_come(scene, start):
    """The connection is closed after a while."""
    proxy = scene.start(bounds=Bounds(head_seconds=SHORT))

    assert proxy.ask(start) == b""


def test_a_head_that_comes_byte_by_byte(scene):
    """The time is for the whole head, not for each byte."""
    proxy = scene.start(bounds=Bounds(head_seconds=0.2))
    with proxy.connect() as connection:
        wait_until(lambda: not is_taken(connection, b"x"), lambda: "it is still read")


def test_a_connection_that_is_idle(scene):
    """It is closed after a while."""
    proxy = scene.start(bounds=Bounds(idle_seconds=SHORT))
    with proxy.connect() as connection:
        connection.sendall(request(scene))
        receive_until(connection, b"}")
        assert connection.recv(1) == b""


def test_a_body_that_does_not_come(scene):
    """The connection is closed, and the forge's with it."""
    proxy = scene.start(bounds=Bounds(body_seconds=SHORT))

    assert proxy.ask(request(scene, "Content-Length: 5", method="POST") + b"abc") == b""
    assert scene.upstream.requests == []


def test_a_client_that_does_not_read(scene):
    """It is cut off, and the forge with it."""
    ended = threading.Event()

    def pieces():
        try:
            while True:
                yield b"x" * 65536
        finally:
            ended.set()

    scene.upstream.script = lambda seen: Reply(200, pieces())
    proxy = scene.start(bounds=Bounds(write_seconds=SHORT))
    with proxy.connect() as connection:
        connection.sendall(request(scene))
        assert ended.wait(20)
        assert not read_all(connection).endswith(b"0\r\n\r\n")


def test_a_forge_that_does_not_answer(scene):
    """The client hears it after a while."""
    gate = threading.Event()

    def serve(connection):
        read_head(connection)
        gate.wait(20)

    with raw_server(serve) as server:
        scene.host = f"127.0.0.1:{server.port}"
        bounds = Bounds(upstream_seconds=SHORT)
        proxy = scene.start(forge=f"github=http://{scene.host}", bounds=bounds)
        answer = proxy.get(scene.host, "/api/v3/user")
        gate.set()

    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"no answer in time" in answer


def test_a_client_that_hangs_up_ends_its_request(scene):
    """The forge's connection is closed, long before its time is up."""
    asked, ended = threading.Event(), threading.Event()

    def serve(connection):
        read_head(connection)
        asked.set()
        if not connection.recv(1):
            ended.set()

    with raw_server(serve) as server:
        scene.host = f"127.0.0.1:{server.port}"
        proxy = scene.start(forge=f"github=http://{scene.host}")
        with proxy.connect() as connection:
            connection.sendall(request(scene))
            assert asked.wait(10)
        assert ended.wait(10)


def test_clients_that_are_killed_in_every_state_leave_nothing(scene):
    """Hundreds of connections later there are the same tasks and files as before."""
    gate = threading.Event()

    def script(seen):
        if seen.target.endswith("slow"):
            gate.wait(20)
        if seen.target.endswith("long"):
            return Reply(200, (b"x" * 65536 for _ in range(1000)))
        return says({})

    scene.upstream.script = script
    proxy = scene.start(bounds=Bounds(per_uid=500))
    states = [
        b"",
        b"GET /api/v3/user HTT",
        request(scene, "Content-Length: 9", method="POST") + b"abc",
        request(scene, "Transfer-Encoding: chunked", method="POST") + b"9\r\nabc",
        request(scene, "Expect: 100-continue", "Content-Length: 9", method="POST"),
        request(scene, path="/api/v3/slow"),
        request(scene, path="/api/v3/long"),
        request(scene),
        b"bad\r\n\r\n",
        request(scene) + request(scene, path="/api/v3/slow"),
    ]
    proxy.get(scene.host, "/api/v3/user")
    wait_until(lambda: proxy.count_tasks() == 1, proxy.count_tasks)
    files, sockets = open_files(), open_unix_sockets()
    with ExitStack() as stack:
        for number in range(300):
            connection = stack.enter_context(proxy.connect())
            connection.sendall(states[number % len(states)])
    wait_until(lambda: proxy.count_tasks() == 1, proxy.count_tasks)
    gate.set()

    wait_until(lambda: open_unix_sockets() == sockets, open_unix_sockets)
    # Connections to the forge are kept for the next request, and both of their ends are ours.
    wait_until(lambda: open_files() <= files + 2 * MAX_KEPT, open_files)
    assert proxy.get(scene.host, "/api/v3/user").startswith(b"HTTP/1.1 200 ")


def test_the_end_waits_for_what_runs(scene):
    """Idle connections are closed at once, and a running request is answered."""
    gate, asked = threading.Event(), threading.Event()

    def script(seen):
        if seen.target.endswith("slow"):
            asked.set()
            gate.wait(20)
        return says({})

    scene.upstream.script = script
    proxy = scene.start()
    with proxy.connect() as idle, proxy.connect() as busy:
        idle.sendall(request(scene))
        receive_until(idle, b"}")
        busy.sendall(request(scene, path="/api/v3/slow"))
        assert asked.wait(10)
        closing = threading.Thread(target=proxy.close, args=(20,))
        closing.start()
        idle.settimeout(5)  # the running request has longer
        assert idle.recv(1) == b""
        gate.set()
        answer = read_all(busy)
        closing.join(10)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"Connection: close" in answer


def test_who_has_asked_before_the_end_is_answered(scene, tmp_path):
    """A sidecar that is restarted drops nobody who was still in the kernel's queue."""
    scene.start()
    path = str(tmp_path / "gh.sock")

    async def run(client):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
            listening.bind(path)
            proxy = ApiProxy(lambda _: scene.workspace)
            await proxy.serve(listening)
            client.connect(path)
            client.sendall(request(scene))
            await proxy.close(10)

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(10)
        asyncio.run(run(client))
        assert read_all(client).startswith(b"HTTP/1.1 200 ")


def test_the_end_does_not_wait_for_ever(scene):
    """What takes longer is cut."""
    gate, asked = threading.Event(), threading.Event()

    def script(seen):
        asked.set()
        gate.wait(20)
        return says({})

    scene.upstream.script = script
    proxy = scene.start()
    with proxy.connect() as connection:
        connection.sendall(request(scene))
        assert asked.wait(10)
        proxy.close(SHORT)
        assert read_all(connection) == b""
    gate.set()
    assert proxy.count_tasks() == 0
