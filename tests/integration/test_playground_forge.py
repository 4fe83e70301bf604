"""The playground forge under real git: tokens, repositories, bodies and parallel clients."""

import base64
import gzip
import http.client
import os
import subprocess
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from git_credential_relay.demo.forge import ForgeRequest, PlaygroundForge
from git_credential_relay.demo.tokens import token_sha256


class Clock:
    """A clock that a test moves by hand."""

    def __init__(self) -> None:
        self.seconds = 1_800_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock():
    """The clock of the forge under test."""
    return Clock()


@pytest.fixture
def forge(clock):
    """A forge with one repository."""
    with PlaygroundForge(now=clock) as forge:
        forge.create_repository("acme/app")
        yield forge


def git(*arguments: str, token: str = "", cwd: Path | None = None):
    """Run git with a helper that always answers with this token."""
    helper = f"!f() {{ test $1 = get && echo username=x && echo password={token}; }}; f"
    settings = ["-c", "credential.helper="]
    if token:
        settings += ["-c", f"credential.helper={helper}"]
    settings += ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
    return subprocess.run(
        ["git", *settings, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def issue(
    forge: PlaygroundForge, *, repositories=("acme/app",), push=True, lifetime_seconds: float = 60
) -> str:
    """Mint a token at the forge and return it."""
    issued = forge.tokens.issue(repositories, push=push, lifetime_seconds=lifetime_seconds)
    return str(issued.token)


def clone(forge, token, directory):
    """Clone acme/app and return what git said."""
    return git("clone", "--quiet", forge.url_of("acme/app"), str(directory), token=token)


def commit(directory: Path, name: str, content: bytes = b"hello\n") -> None:
    """Commit one new file in a work tree."""
    (directory / name).write_bytes(content)
    assert git("add", name, cwd=directory).returncode == 0
    assert git("commit", "--quiet", "-m", name, cwd=directory).returncode == 0


def ask(forge, path, *, method="GET", token=None, body=None, headers=None):
    """Send one request of our own and return the response with its body."""
    connection = http.client.HTTPConnection(forge.host, timeout=10)
    all_headers = dict(headers or {})
    if token is not None:
        basic = base64.b64encode(f"x:{token}".encode()).decode()
        all_headers["Authorization"] = f"Basic {basic}"
    connection.request(method, path, body=body, headers=all_headers)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response, content


def head_of(directory: Path) -> str:
    """Return the commit a work tree is at."""
    return str(git("rev-parse", "HEAD", cwd=directory).stdout.strip())


def test_clone_and_push_with_a_usable_token(forge, tmp_path):
    """A usable token clones the repository and its push arrives."""
    token = issue(forge)
    cloned = clone(forge, token, tmp_path / "app")
    commit(tmp_path / "app", "new.txt")
    pushed = git("push", "--quiet", token=token, cwd=tmp_path / "app")

    assert (cloned.returncode, pushed.returncode) == (0, 0), cloned.stderr + pushed.stderr
    assert forge.commit_of("acme/app") == head_of(tmp_path / "app")


@pytest.mark.parametrize("push_setting", ["chunked", "plain"])
def test_large_push_arrives(forge, tmp_path, push_setting):
    """A pack beyond http.postBuffer, which git sends in chunks, arrives whole."""
    token = issue(forge)
    clone(forge, token, tmp_path / "app")
    commit(tmp_path / "app", "large.bin", os.urandom(3 * 1024 * 1024))
    settings = [] if push_setting == "chunked" else ["-c", "http.postBuffer=50m"]
    pushed = git(*settings, "push", "--quiet", token=token, cwd=tmp_path / "app")

    assert pushed.returncode == 0, pushed.stderr
    assert forge.commit_of("acme/app") == head_of(tmp_path / "app")


def test_gzip_body_is_understood(forge):
    """A fetch request whose body is compressed is answered like a plain one."""
    body = b"0014command=ls-refs\n00010009peel\n0000"
    headers = {"Git-Protocol": "version=2", "Content-Type": "application/x-git-upload-pack-request"}
    path = "/acme/app.git/git-upload-pack"
    token = issue(forge)
    plain, plain_content = ask(forge, path, method="POST", token=token, body=body, headers=headers)
    packed, packed_content = ask(
        forge,
        path,
        method="POST",
        token=token,
        body=gzip.compress(body),
        headers=headers | {"Content-Encoding": "gzip"},
    )

    assert (plain.status, packed.status) == (200, 200)
    assert plain_content == packed_content
    assert forge.commit_of("acme/app").encode() in plain_content


def test_git_protocol_header_reaches_git(forge):
    """The client chooses the protocol version with the Git-Protocol header."""
    path = "/acme/app.git/info/refs?service=git-upload-pack"
    _, content = ask(forge, path, token=issue(forge), headers={"Git-Protocol": "version=2"})

    assert b"version 2" in content


def test_no_token_is_asked_for_one(forge):
    """Without credentials the answer is 401 with a Basic challenge, known repository or not."""
    known, _ = ask(forge, "/acme/app.git/info/refs?service=git-upload-pack")
    unknown, _ = ask(forge, "/acme/none.git/info/refs?service=git-upload-pack")

    assert (known.status, unknown.status) == (401, 401)
    assert known.headers["WWW-Authenticate"].startswith("Basic ")


def test_refusal_closes_the_connection_without_reading_the_body(forge):
    """A refused request that still has a body gets its answer and a closed connection."""
    response, _ = ask(forge, "/acme/app.git/git-receive-pack", method="POST", body=b"x" * 1_000_000)

    assert (response.status, response.headers["Connection"]) == (401, "close")


@pytest.mark.parametrize("reason", ["unknown", "expired", "revoked", "revoked by hash"])
def test_unusable_token_is_refused(forge, clock, tmp_path, reason):
    """An unknown, expired or revoked token is answered with 401."""
    token = "unknown" if reason == "unknown" else issue(forge, lifetime_seconds=10)
    if reason == "expired":
        clock.seconds += 10
    elif reason == "revoked":
        forge.tokens.revoke(token)
    elif reason == "revoked by hash":
        forge.tokens.revoke_sha256(token_sha256(token))
    cloned = clone(forge, token, tmp_path / "app")

    assert cloned.returncode == 128
    assert "Authentication failed" in cloned.stderr
    assert [request.status for request in forge.requests] == [401, 401]


def test_token_works_until_the_second_it_expires(forge, clock, tmp_path):
    """A token is accepted up to its expiry and not at it."""
    token = issue(forge, lifetime_seconds=10)
    clock.seconds += 9
    before = clone(forge, token, tmp_path / "before")
    clock.seconds += 1
    after = clone(forge, token, tmp_path / "after")

    assert (before.returncode, after.returncode) == (0, 128)


def test_read_only_token_clones_but_does_not_push(forge, tmp_path):
    """A read-only token is answered with 403 on a push."""
    token = issue(forge, push=False)
    cloned = clone(forge, token, tmp_path / "app")
    commit(tmp_path / "app", "new.txt")
    pushed = git("push", "--quiet", token=token, cwd=tmp_path / "app")

    assert (cloned.returncode, pushed.returncode) == (0, 128)
    assert "403" in pushed.stderr


@pytest.mark.parametrize("repository", ["acme/other", "acme/none"])
def test_repository_outside_the_token_is_not_found(forge, tmp_path, repository):
    """A repository that the token does not list is answered like one that does not exist."""
    forge.create_repository("acme/other")
    token = issue(forge, repositories=("acme/app", "acme/none"))
    cloned = git("clone", forge.url_of(repository), str(tmp_path / "x"), token=token)

    assert cloned.returncode == 128
    assert forge.requests[-1].status == 404


@pytest.mark.parametrize(
    "path",
    [
        "/acme/app.git/HEAD",
        "/acme/app.git/info/refs",
        "/acme/app.git/info/refs?service=git-upload-archive",
        "/acme/../acme/app.git/info/refs?service=git-upload-pack",
        "/acme/%2e%2e/acme/app.git/info/refs?service=git-upload-pack",
        "/etc/passwd",
        "/",
    ],
)
def test_nothing_but_smart_http_is_served(forge, path):
    """Paths outside the smart protocol or outside the repositories are not found."""
    response, _ = ask(forge, path, token=issue(forge))

    assert response.status == 404


@pytest.mark.parametrize(
    "body",
    [b"zz\r\n", b"5\r\nabc", b"-1\r\n", b"3\r\nabcdef\r\n0\r\n\r\n", b"3"],
    ids=["no number", "too short", "negative", "too long", "no line end"],
)
def test_broken_chunks_are_a_bad_request(forge, body):
    """A body with broken chunk framing is answered with 400 and reaches no backend."""
    connection = http.client.HTTPConnection(forge.host, timeout=10)
    connection.putrequest("POST", "/acme/app.git/git-upload-pack")
    basic = base64.b64encode(f"x:{issue(forge)}".encode()).decode()
    connection.putheader("Authorization", f"Basic {basic}")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    connection.send(body)
    assert connection.sock is not None
    connection.sock.shutdown(1)
    status = connection.getresponse().status
    connection.close()

    assert status == 400


def test_requests_are_recorded_without_tokens(forge, clock, tmp_path):
    """Every request is on record with its status, user and the token's hash alone."""
    token = issue(forge)
    clone(forge, token, tmp_path / "app")

    def read(method: str, status: int) -> ForgeRequest:
        is_known = status == 200
        return ForgeRequest(
            at=clock.seconds,
            method=method,
            repository="acme/app",
            service="git-upload-pack",
            status=status,
            has_authorization=is_known,
            username="x" if is_known else None,
            token_sha256=token_sha256(token) if is_known else None,
        )

    assert forge.requests[:3] == (read("GET", 401), read("GET", 200), read("POST", 200))
    assert token not in repr(forge.requests) + repr(forge.tokens.issued)


def test_observer_acts_between_two_requests_of_one_push(clock, tmp_path):
    """A token revoked after the advertisement makes the push itself meet a 401."""
    revoke_on: list[str] = []

    def observe(request: ForgeRequest) -> None:
        if request.status == 200 and request.service in revoke_on:
            assert request.token_sha256 is not None
            observed.tokens.revoke_sha256(request.token_sha256)

    with PlaygroundForge(now=clock, observe=observe) as observed:
        observed.create_repository("acme/app")
        token = issue(observed)
        clone(observed, token, tmp_path / "app")
        commit(tmp_path / "app", "new.txt")
        revoke_on.append("git-receive-pack")
        pushed = git("push", token=token, cwd=tmp_path / "app")

    assert pushed.returncode != 0
    assert [(r.method, r.status) for r in observed.requests[-2:]] == [("GET", 200), ("POST", 401)]


def test_environment_of_the_caller_does_not_reach_the_backend(forge, monkeypatch, tmp_path):
    """GIT_* variables of the caller, hooks' included, change nothing at the forge."""
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'http.uploadpack=false'")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "none"))
    path = "/acme/app.git/info/refs?service=git-upload-pack"
    response, _ = ask(forge, path, token=issue(forge))
    url = forge.create_repository("acme/second")

    assert response.status == 200
    assert url == f"{forge.url}/acme/second.git"


def test_sixteen_clones_at_once(forge, tmp_path):
    """Sixteen parallel clones all succeed."""
    token = issue(forge)
    with ThreadPoolExecutor(16) as pool:
        cloned = list(pool.map(lambda n: clone(forge, token, tmp_path / str(n)), range(16)))

    assert [one.stderr for one in cloned if one.returncode] == []


def test_compressed_fetch_of_many_refs(forge, tmp_path):
    """A fetch large enough for git to compress its request works."""
    token = issue(forge)
    clone(forge, token, tmp_path / "app")
    for number in range(40):
        commit(tmp_path / "app", f"{number}.txt", str(zlib.crc32(bytes([number]))).encode())
    git("push", "--quiet", token=token, cwd=tmp_path / "app")
    fetched = git("clone", forge.url_of("acme/app"), str(tmp_path / "again"), token=token)

    assert fetched.returncode == 0, fetched.stderr
    assert head_of(tmp_path / "again") == head_of(tmp_path / "app")


def children() -> set[str]:
    """Return the ids of this process's children."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[1] == str(os.getpid()):
            found.add(entry.parent.name)
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_nothing_is_left_when_a_forge_closes_in_the_middle_of_a_request(tmp_path):
    """Closing ends the backends, the threads and the directory, even with a client connected."""
    before = children()
    forge = PlaygroundForge()
    forge.create_repository("acme/app")
    token = issue(forge)
    connection = http.client.HTTPConnection(forge.host, timeout=10)
    basic = base64.b64encode(f"x:{token}".encode()).decode()
    connection.request(
        "POST",
        "/acme/app.git/git-upload-pack",
        body=b"",
        headers={"Authorization": f"Basic {basic}", "Content-Length": "100"},
    )
    forge.close()
    connection.close()

    assert children() == before
    assert not Path(forge._directory.name).exists()


@pytest.mark.parametrize("name", ["app", "../app", "acme/..", "acme/app.git", "acme//app", "-/x y"])
def test_bad_repository_name_is_refused(forge, name):
    """Only an owner and a name make a repository."""
    with pytest.raises(ValueError, match="not a repository name"):
        forge.create_repository(name)


def test_repository_is_made_once(forge):
    """A second repository of the same name is refused."""
    with pytest.raises(ValueError, match="exists already"):
        forge.create_repository("acme/app")
