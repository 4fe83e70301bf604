"""Trying a user's own token, against real git over HTTP."""

import asyncio

import pytest

from git_credential_relay.broker.errors import ForgeRefusedError, ForgeUnavailableError
from git_credential_relay.broker.workspaces.probe import FETCH, PUSH, probe_repository
from git_credential_relay.credential.forge import GITLAB, Forge
from git_credential_relay.demo.forge import PlaygroundForge
from git_credential_relay.secret import Secret
from tests.fakes.raw_server import RawServer


@pytest.fixture(scope="module")
def forge():
    with PlaygroundForge(root="gitlab") as playground:
        playground.create_repository("acme/app")
        playground.create_repository("acme/lib")
        yield playground


def probe(playground, token, repository="acme/app", service=PUSH):
    at = Forge(GITLAB, "http", playground.host, playground.root)
    return asyncio.run(probe_repository(at, repository, "oauth2", Secret(token), service=service))


def issue(playground, **options):
    options = {"push": True, **options}
    return playground.tokens.issue(["acme/app"], lifetime_seconds=60, **options).token


def test_good_token(forge):
    """A token that may push passes, for reading and for pushing."""
    token = issue(forge)
    probe(forge, token)
    probe(forge, token, service=FETCH)


def test_what_a_token_is_refused_for(forge):
    """Each cause has its code, and none shows the token."""
    reading = issue(forge, push=False)
    for token, repository, code in [
        ("no-such-token-canary", "acme/app", "FORGE_TOKEN_REJECTED"),
        (reading, "acme/app", "FORGE_PERMISSION_NOT_GRANTED"),
        (reading, "acme/lib", "FORGE_REPOSITORY_NOT_FOUND"),
    ]:
        with pytest.raises(ForgeRefusedError) as caught:
            probe(forge, token, repository)
        assert caught.value.code == code
        assert token not in str(caught.value) + (caught.value.hint or "")
    probe(forge, reading, service=FETCH)


ANSWERS = [
    (b"200 OK", b"text/html", ForgeRefusedError, "FORGE_REFUSED"),
    (b"302 Found", b"text/html", ForgeRefusedError, "FORGE_REPOSITORY_RENAMED"),
    (b"503 Service Unavailable", b"text/html", ForgeUnavailableError, "FORGE_UNAVAILABLE"),
    (b"429 Too Many Requests", b"text/plain", ForgeUnavailableError, "FORGE_UNAVAILABLE"),
]


@pytest.mark.parametrize(("status", "kind", "error", "code"), ANSWERS)
def test_answers_that_are_not_git(status, kind, error, code):
    """A log-in page is no yes, a redirect is not followed, and trouble is not the token's fault."""

    def serve(connection):
        connection.recv(65536)
        location = b"Location: http://192.0.2.1/\r\n"
        head = b"HTTP/1.1 %s\r\nContent-Type: %s\r\n%sContent-Length: 2\r\n\r\nhi"
        connection.sendall(head % (status, kind, location))

    server = RawServer(serve)
    server.start()
    try:
        at = Forge(GITLAB, "http", f"127.0.0.1:{server.port}")
        with pytest.raises(error) as caught:
            asyncio.run(probe_repository(at, "acme/app", "oauth2", Secret("canary")))
    finally:
        server.stop()
    assert (caught.value.code, server.connections) == (code, 1)


def test_nobody_there():
    """A forge that cannot be reached says nothing about the token."""
    at = Forge(GITLAB, "http", "127.0.0.1:1")
    with pytest.raises(ForgeUnavailableError) as caught:
        asyncio.run(probe_repository(at, "acme/app", "oauth2", Secret("canary")))
    assert caught.value.retryable
