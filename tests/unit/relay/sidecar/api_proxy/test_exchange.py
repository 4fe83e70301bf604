"""Whose token a request goes out with, and what happens when there is none or it is refused."""

import json

import pytest

from git_credential_relay.errors import DeniedError, RateLimitedError, UnavailableError
from git_credential_relay.secret import Secret, token_sha256
from tests.fakes.api_proxy import failing, minting, receive_until
from tests.fakes.proxy import running_proxy
from tests.fakes.raw_server import closed_port
from tests.fakes.upstream import Reply, says

FIRST, SECOND, THIRD = "token-1", "token-2", "token-3"


def sha256(token):
    """The hash that a refused token is known by."""
    return token_sha256(Secret(token))


def takes(*tokens):
    """A forge that takes these tokens alone."""

    def script(seen):
        is_good = seen.token in [f"token {token}" for token in tokens]
        return says({"ok": 1}) if is_good else says({"message": "Bad credentials"}, 401)

    return script


def post(host, body, path="/api/graphql"):
    """The bytes of a POST."""
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n"
    return (head + "Connection: close\r\n\r\n").encode() + body


def test_the_token_replaces_whatever_the_client_has(scene, proxy):
    """A placeholder, another scheme, several of them or none: the forge sees ours."""
    for headers in (["Authorization: token x"], ["authorization: Bearer x"], []):
        answer = proxy.get(scene.host, "/api/v3/user", *headers, *headers)
        assert answer.startswith(b"HTTP/1.1 200 ")

    assert scene.upstream.tokens == ["token token-1"] * 3


def test_each_request_has_a_credential_of_its_own(scene):
    """The workspace is asked each time, so a token that changes does so for the next request."""
    tokens = iter([FIRST, SECOND])
    proxy = scene.start(lambda target, refused: next(tokens))

    with proxy.connect() as connection:
        for _ in range(2):
            connection.sendall(f"GET /api/v3/user HTTP/1.1\r\nHost: {scene.host}\r\n\r\n".encode())
            assert receive_until(connection, b"}").startswith(b"HTTP/1.1 200 ")

    assert scene.upstream.tokens == [f"token {FIRST}", f"token {SECOND}"]


def test_the_repository_is_what_the_request_is_about(scene, proxy):
    """From the path, or from a query's variables; the body goes on byte for byte."""
    query = b'{ "variables":{"owner":"octo","repo":"demo"},\n "query":"\\u00e4" }'
    other = b'{"query":"{viewer{login}}"}'
    proxy.get(scene.host, "/api/v3/repos/octo/demo/pulls?page=2")
    proxy.get(scene.host, "/api/v3/user")
    proxy.ask(post(scene.host, query))
    proxy.ask(post(scene.host, other))

    assert [path for path, _ in scene.workspace.asked] == ["octo/demo", None, "octo/demo", None]
    assert [seen.body for seen in scene.upstream.requests] == [b"", b"", query, other]
    assert scene.upstream.requests[0].target == "/api/v3/repos/octo/demo/pulls?page=2"


def test_a_query_in_chunks_is_not_read(scene, proxy):
    """It passes through, and is about no repository."""
    body = b'{"variables":{"owner":"octo","repo":"demo"}}'
    proxy.ask(
        f"POST /api/graphql HTTP/1.1\r\nHost: {scene.host}\r\nTransfer-Encoding: chunked\r\n"
        f"Connection: close\r\n\r\n{len(body):x}\r\n".encode()
        + body
        + b"\r\n0\r\n\r\n"
    )

    assert scene.workspace.asked == [(None, None)]
    assert scene.upstream.requests[0].body == body


def test_a_refused_token_is_replaced_within_a_get(scene):
    """The client sees one answer; the workspace hears which token was refused."""
    scene.upstream.script = takes(SECOND)
    proxy = scene.start(minting(FIRST, SECOND))

    assert proxy.get(scene.host, "/api/v3/user").startswith(b"HTTP/1.1 200 ")
    assert scene.workspace.asked == [(None, None), (None, sha256(FIRST))]
    assert scene.upstream.tokens == [f"token {FIRST}", f"token {SECOND}"]


def test_a_second_refusal_is_the_answer(scene):
    """Once is enough; and the next request does not go through two tokens again."""
    scene.upstream.script = takes()
    proxy = scene.start(minting(FIRST, SECOND, THIRD))

    assert proxy.get(scene.host, "/api/v3/user").startswith(b"HTTP/1.1 401 ")
    assert len(scene.upstream.requests) == 2
    assert proxy.get(scene.host, "/api/v3/user").startswith(b"HTTP/1.1 401 ")
    assert scene.upstream.tokens[2:] == [f"token {THIRD}"]


def test_a_post_is_never_sent_twice(scene):
    """Its 401 goes to the client, and the next request gets another token."""
    scene.upstream.script = takes(SECOND)
    proxy = scene.start(minting(FIRST, SECOND))

    assert proxy.ask(post(scene.host, b"{}")).startswith(b"HTTP/1.1 401 ")
    assert len(scene.upstream.requests) == 1
    assert proxy.ask(post(scene.host, b"{}")).startswith(b"HTTP/1.1 200 ")
    assert scene.workspace.asked == [(None, None), (None, sha256(FIRST))]


def test_another_token_that_cannot_be_had(scene):
    """Why not says more than the forge's own 401."""

    def give(target, refused):
        if refused:
            raise UnavailableError("the relay API is down")
        return FIRST

    scene.upstream.script = takes()

    answer = scene.start(give).get(scene.host, "/api/v3/user")
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"the relay API is down" in answer


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (DeniedError("not this repository", hint="ask for it"), 403, "denied"),
        (UnavailableError("the relay API is down"), 503, "api-unavailable"),
        (RateLimitedError("too many", retry_after=7.2), 503, "rate-limited"),
    ],
)
def test_no_token_is_told_in_a_way_gh_shows(scene, error, status, code):
    """A status and a JSON message with code and hint; when to try again where that helps."""
    answer = scene.start(failing(error)).get(scene.host, "/api/v3/user")
    head, _, body = answer.partition(b"\r\n\r\n")
    message = json.loads(body)["message"]

    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert f"{error.message} [{code}]" in message
    assert (error.hint or "") in message
    assert (b"Retry-After: 8" in head) == (error.retry_after is not None)
    assert (b"Retry-After" in head) == (status == 503)
    assert scene.upstream.requests == []


def test_a_workspace_that_breaks(scene):
    """What nobody foresaw is told by its type and place, without what it was about."""

    def give(target, refused):
        raise ValueError("ghs_secret")

    answer = scene.start(give).get(scene.host, "/api/v3/user")

    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"unexpected ValueError" in answer
    assert b"secret" not in answer + "".join(scene.lines).encode()


def test_a_forge_that_is_away(scene):
    """It is told as 502, and by whom."""
    host = f"127.0.0.1:{closed_port()}"
    answer = scene.start(forge=f"github=http://{host}").get(host, "/api/v3/user")

    assert answer.startswith(b"HTTP/1.1 502 ")
    assert f"{host} cannot be asked: no connection [forge-unreachable]".encode() in answer


def test_a_token_that_is_no_header(scene):
    """It is not sent, and not quoted."""
    proxy = scene.start(lambda target, refused: "ghs_first\r\nX-Second: 1")
    answer = proxy.get(scene.host, "/api/v3/user")

    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"ghs_" not in answer + "".join(scene.lines).encode()
    assert scene.upstream.requests == []


@pytest.mark.parametrize("host", ["evil.example", "github.com", "127.0.0.1:1", "169.254.169.254"])
def test_a_foreign_host_gets_nothing(scene, proxy, host):
    """Neither a token nor a connection: the agent's network stays closed."""
    answer = proxy.get(host, "/api/v3/user")

    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"[foreign-url]" in answer
    assert scene.workspace.asked == []


def test_a_redirect_is_passed_on_and_then_followed_without_the_token(scene, proxy):
    """At the forge's own host too, beside its API: the URL carries a permission of its own."""
    place = f"http://{scene.host}/storage/a?signature=1"

    def script(seen):
        if seen.target.startswith("/storage"):
            return Reply(200, b"the file")
        return Reply(302, b"", {"Location": place})

    scene.upstream.script = script
    answer = proxy.get(scene.host, "/api/v3/repos/octo/demo/zipball")
    assert answer.startswith(b"HTTP/1.1 302 ")
    assert f"Location: {place}".encode() in answer

    file = proxy.get(scene.host, "/storage/a?signature=1", "Authorization: x", "Cookie: y")
    assert file.endswith(b"the file")
    followed = scene.upstream.requests[1]
    assert followed.token is None
    assert "cookie" not in followed.headers


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/storage/a", 200),
        ("HEAD", "/storage/a", 200),
        ("GET", "/storage/b", 403),
        ("GET", "/storage/a?x", 403),
        ("DELETE", "/storage/a", 403),
        ("POST", "/storage/a", 403),
    ],
)
def test_only_what_the_forge_has_named(scene, proxy, method, target, status):
    """Exactly that URL, and only to read it."""
    scene.upstream.script = lambda seen: Reply(302, b"", {"Location": "/storage/a"})
    proxy.get(scene.host, "/api/v3/user")
    scene.upstream.script = lambda seen: Reply(200, b"")

    answer = proxy.get(scene.host, target, method=method)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())


def test_a_redirect_is_not_for_ever(scene, proxy):
    """After ten minutes it is a foreign URL again."""
    scene.upstream.script = lambda seen: Reply(302, b"", {"Location": "/storage/a"})
    proxy.get(scene.host, "/api/v3/user")
    scene.clock.advance(600)

    assert proxy.get(scene.host, "/storage/a").startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "store.example"])
def test_a_redirect_into_this_network_is_not_followed(scene, name):
    """Whatever name leads there."""
    asked = []

    async def find(host, port):
        asked.append((host, port))
        return ["127.0.0.1"]

    proxy = scene.start(resolve=find)
    place = f"{name}:{closed_port()}"
    scene.upstream.script = lambda seen: Reply(302, b"", {"Location": f"https://{place}/a"})
    proxy.get(scene.host, "/api/v3/user")
    answer = proxy.get(place, "/a")

    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"is not on the Internet" in answer
    assert asked == [(name, int(place.rpartition(":")[2]))]


@pytest.mark.parametrize(
    "place", ["169.254.169.254", "localhost:8443", "db.internal", "db", "db.default.svc", "nas.lan"]
)
def test_nor_through_a_proxy(scene, place):
    """The proxy that leads out may stand where it sees this network."""
    with running_proxy(closed_port()) as way_out:
        proxy = scene.start(via=way_out.url)
        scene.upstream.script = lambda seen: Reply(302, b"", {"Location": f"https://{place}/a"})
        proxy.get(scene.host, "/api/v3/user")
        answer = proxy.get(place, "/a")

    assert b"is not on the Internet" in answer
    assert way_out.heads == []


def test_the_trace_has_no_secret(scene):
    """Host, status and the token's hash; neither the token nor where a redirect leads."""
    proxy = scene.start(minting("ghs_verysecret"))
    location = {"Location": "/storage/a?signature=shh"}
    scene.upstream.script = lambda seen: Reply(302, b"", location)
    proxy.get(scene.host, "/api/v3/user", "Authorization: token theirs")
    proxy.get(scene.host, "/storage/a?signature=shh")
    text = "".join(scene.lines)

    assert f"host={scene.host} status=302" in text
    assert f"sha256={sha256('ghs_verysecret')}" in text
    assert not any(word in text for word in ("verysecret", "shh", "theirs"))
