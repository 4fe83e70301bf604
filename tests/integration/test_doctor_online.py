"""What doctor says of the relay API, of what it vends, and of whether the forge takes a push."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Callable
from email.utils import formatdate

import pytest
import trustme

from git_credential_relay.doctor.report import as_json, as_text, is_healthy
from git_credential_relay.secret import Secret, token_sha256
from tests.fakes.agent import SECRET, files_with
from tests.fakes.api import Answer, closed_port, issues, refuses, silent_port, unroutable_port
from tests.fakes.patient import Patient, patient
from tests.fakes.proxy import running_proxy
from tests.fakes.raw_server import answering, http_answer, raw_server

# An ordinary user cannot make a file that is root's.
HEALTHY = set() if os.geteuid() == 0 else {("system-config", "config-not-roots")}
ADVERTISEMENT = "application/x-git-receive-pack-advertisement"


@pytest.fixture
def well(tmp_path, api):
    """Somebody who lacks nothing."""
    with patient(tmp_path / "patient", api) as found:
        yield found


def problems(checks):
    """What is wrong, as name and code."""
    return {(c.name, c.code) for c in checks if c.status in ("warn", "fail")} - HEALTHY


def codes(checks):
    """The code of each check by its name."""
    return {check.name: check.code for check in checks}


def message(checks, name):
    """What the check called `name` says."""
    [found] = [check.message for check in checks if check.name == name]
    return found


def assert_clean(checks, *secrets):
    """No secret in either form of the report."""
    for text in (as_json(checks), as_text(checks)):
        for secret in (SECRET, *secrets):
            assert secret not in text


def test_a_healthy_report_says_what_is_vended(well):
    """User, life, hash, repositories and permissions of the token are told, the token is not."""
    token = well.issue()
    checks = well.examine()
    told = message(checks, "credential")

    assert problems(checks) == set()
    assert f"sha256 {token_sha256(Secret(token))}" in told
    for part in ("x-access-token", "59 min", "acme/app", "contents=write"):
        assert part in told
    assert "a new one" not in told
    assert "accepts a push to acme/app" in message(checks, "push")
    assert message(checks, "api").split(" answered in ")[1].removesuffix(" ms").isdigit()
    assert_clean(checks, token)
    assert len(well.api.requests) == 1


def test_the_cache_is_as_after_an_ordinary_get(well):
    """What doctor was given is kept, for whoever asks next, and nothing else is changed."""
    token = well.issue()
    well.examine()
    well.api.script(refuses(500))
    got = well.agent.get(
        "acme/app",
        environ=well.environ,
        protocol="http",
        host=well.forge.host,
    )

    assert got.password == token
    assert len(well.api.requests) == 1


def test_a_kept_token_is_what_git_gets(well):
    """With a token in the cache, that one is told, and the API is looked at all the same."""
    kept = well.issue()
    well.examine()
    well.issue()
    checks = well.examine()

    assert token_sha256(Secret(kept)) in message(checks, "credential")
    assert "a new one would be for repositories acme/app" in message(checks, "credential")
    assert len(well.api.requests) == 2
    assert problems(checks) == set()


REFUSALS = {
    "its-own-code": (
        refuses(401, error=f"no {SECRET}", code="INVALID_WORKSPACE_TOKEN", hint="provision anew"),
        "INVALID_WORKSPACE_TOKEN",
    ),
    "no-code": (refuses(403, error="no"), "denied"),
    "unknown": (refuses(404), "not-found"),
    "busy": (refuses(429, headers={"Retry-After": "7"}), "rate-limited"),
    "down": (refuses(503), "api-unavailable"),
    "permanent": (refuses(500, code="NANGO_CONNECTION_EXPIRED"), "NANGO_CONNECTION_EXPIRED"),
    "a-page": (Answer(200, b"<html>sign in</html>"), "html-answer"),
    "no-token": (refuses(200, host="{host}"), "no-token-in-answer"),
    "elsewhere": (Answer(302, b"", {"Location": "https://evil.example/"}), "redirected"),
    "other-host": (issues("tok", host="evil.example"), "wrong-host"),
    "expired": (issues("tok", host="{host}", lifetime=-60), "expired-on-arrival"),
}


@pytest.mark.parametrize(("answer", "code"), REFUSALS.values(), ids=REFUSALS)
def test_the_apis_refusals_are_passed_on(well, answer, code):
    """The API's own code, or ours for what it said, is the one finding; its words are told."""
    body = answer.body.replace(b"{host}", well.forge.host.encode())
    well.api.script(Answer(answer.status, body, answer.headers))
    checks = well.examine()

    assert problems(checks) == {("api", code)}
    assert codes(checks)["credential"] == "see-api"
    assert codes(checks)["push"] == "no-credential"
    assert_clean(checks)


@pytest.mark.parametrize(
    "answer",
    [issues("tok-c4n4ry"), refuses(404, code="HOST_NOT_SERVED", error="ask somebody else")],
    ids=["names-no-host", "says-so"],
)
def test_an_api_for_other_hosts_is_well(well, answer):
    """The API works; what is missing is a credential for this host."""
    well.api.script(answer)
    checks = well.examine()

    assert problems(checks) == {("credential", "host-not-served")}
    assert codes(checks)["api"] == "ok"


def test_an_api_for_other_hosts_where_no_repository_is_named(well, tmp_path):
    """Outside a repository nobody wants github.com in particular: it is a warning until asked."""
    well.api.script(refuses(404, code="HOST_NOT_SERVED", error="ask somebody else"))
    checks = well.examine(cwd=tmp_path)
    assert problems(checks) == {("credential", "host-not-served")}
    assert is_healthy(checks)

    assert not is_healthy(well.examine(cwd=tmp_path, repo="https://github.com/acme/app"))


def test_a_host_that_cannot_be_resolved(well):
    """A name that no DNS can know is told from a server that is away."""
    well.environ |= {
        "CLOUD_API_URL": "http://" + "x" * 70 + ".invalid",
        "GIT_CREDENTIAL_RELAY_ALLOW_HTTP": "1",
    }
    [(name, code)] = problems(well.examine())
    assert name == "api"
    # Some resolvers refuse such a name before they look it up.
    assert code in ("dns-failed", "read-failed")


def test_a_server_that_is_away(well):
    """A refused connection has a code of its own."""
    well.environ["CLOUD_API_URL"] = f"http://127.0.0.1:{closed_port()}"
    assert problems(well.examine()) == {("api", "connect-failed")}


def test_a_proxy_that_is_away(well):
    """So has a proxy that cannot be reached."""
    well.environ |= {
        "CLOUD_API_URL": "http://relay.example",
        "HTTP_PROXY": f"http://user:c4n4ry-proxy@127.0.0.1:{closed_port()}",
        "GIT_CREDENTIAL_RELAY_ALLOW_HTTP": "1",
    }
    checks = well.examine()
    assert problems(checks) <= {("api", "proxy-failed"), ("api", "connect-failed")}
    assert len(problems(checks)) == 1
    assert_clean(checks, "c4n4ry-proxy")


def test_a_proxy_that_refuses(well):
    """And one that answers that it may not."""
    with running_proxy(1, refuse=b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n") as proxy:
        well.environ |= {"CLOUD_API_URL": "https://relay.example", "HTTPS_PROXY": proxy.url}
        assert problems(well.examine()) == {("api", "proxy-failed")}


def tls_server(stack_authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    stack_authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def test_an_authority_that_is_not_trusted(well):
    """A certificate of an unknown authority is told from a port that does not speak TLS."""
    answer = answering(http_answer(b"{}", "401 Unauthorized"))
    with raw_server(answer, tls_server(trustme.CA())) as server:
        well.environ["CLOUD_API_URL"] = f"https://127.0.0.1:{server.port}"
        assert problems(well.examine()) == {("api", "certificate-not-trusted")}


def test_a_trusted_authority_mends_it(well, tmp_path):
    """With the CA file that the finding names, the API itself is heard."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    answer = answering(http_answer(b"{}", "401 Unauthorized"))
    with raw_server(answer, tls_server(authority)) as server:
        well.environ |= {
            "CLOUD_API_URL": f"https://127.0.0.1:{server.port}",
            "GIT_CREDENTIAL_RELAY_CA_FILE": str(tmp_path / "ca.pem"),
        }
        assert problems(well.examine()) == {("api", "unauthenticated")}


def test_a_port_that_speaks_no_tls(well):
    """An https address of a plain http server."""
    with raw_server(lambda connection: connection.sendall(http_answer(b"{}"))) as server:
        well.environ["CLOUD_API_URL"] = f"https://127.0.0.1:{server.port}"
        assert problems(well.examine()) == {("api", "tls-refused")}


def test_a_ca_file_that_cannot_be_read(well):
    """The CA file is ours to mend, so its code is that of the configuration."""
    well.environ |= {
        "CLOUD_API_URL": "https://127.0.0.1:1",
        "GIT_CREDENTIAL_RELAY_CA_FILE": "/nonexistent.pem",
    }
    assert problems(well.examine()) == {("api", "bad-config")}


@pytest.mark.parametrize("port", [silent_port, unroutable_port], ids=["silent", "unroutable"])
def test_it_never_hangs(well, port):
    """Neither an API nor a forge that does not answer holds doctor for longer than its limits."""
    well.environ["GIT_CREDENTIAL_RELAY_DEADLINE"] = "1"
    with port() as number:
        well.environ["CLOUD_API_URL"] = f"http://127.0.0.1:{number}"
        started = time.monotonic()
        assert problems(well.examine()) == {("api", "api-timeout")}
        assert time.monotonic() - started < 5
        well.environ["CLOUD_API_URL"] = well.api.url
        move_forge(well, f"http://127.0.0.1:{number}")
        started = time.monotonic()
        assert problems(well.examine()) == {("push", "forge-unreachable")}
        assert time.monotonic() - started < 5


@pytest.mark.parametrize(("ahead", "words"), [(600.5, "s behind"), (-600.5, "s ahead of")])
def test_clocks_that_disagree(well, ahead, words):
    """A Date header far from our clock is a warning that says by how much, and which way."""
    issued = well.forge.tokens.issue(["acme/app"], push=True, lifetime_seconds=3600)
    given = issues(issued.token, host=well.forge.host, lifetime=3600 + ahead)
    date = f"Date: {formatdate(time.time() + ahead, usegmt=True)}"
    with raw_server(answering(http_answer(given.body, "200 OK", date))) as server:
        well.environ["CLOUD_API_URL"] = f"http://127.0.0.1:{server.port}"
        checks = well.examine()

    assert problems(checks) == {("clock", "clock-skew")}
    said = message(checks, "clock")
    assert words in said
    assert any(f" {seconds} s" in said for seconds in (599, 600, 601, 602))
    assert any(f" {minutes} min" in message(checks, "credential") for minutes in (59, 60))


def test_without_an_api_and_with_nothing_else(well):
    """Nobody answers: that is a failure, while an API that is not set up alone is a warning."""
    well.environ |= {"CLOUD_API_URL": "", "GIT_CREDENTIAL_RELAY_FALLBACK": "off"}
    checks = well.examine()

    assert problems(checks) == {
        ("configuration", "not-configured"),
        ("credential", "no-credential"),
    }
    assert not is_healthy(checks)


def with_gitlab_token(p: Patient, token: str) -> None:
    """A local source that belongs to the forge."""
    del p.environ["GIT_CREDENTIAL_RELAY_HOSTS"]
    p.environ |= {"GITLAB_INSTANCE_URL": p.forge.url, "GITLAB_TOKEN": token}


def test_a_local_source_that_answers(well):
    """Without an API the local source is named, its token is not, and the push is looked at."""
    token = well.issue()
    with_gitlab_token(well, token)
    well.environ["CLOUD_API_URL"] = ""
    checks = well.examine()

    assert problems(checks) == {
        ("configuration", "not-configured"),
        ("credential", "fallback-answers"),
    }
    assert "GITLAB_TOKEN" in message(checks, "fallback")
    assert codes(checks)["push"] == "ok"
    assert_clean(checks, token)


def test_the_local_sources_are_told_while_the_api_answers(well):
    """Which source would answer is told before it is needed."""
    with_gitlab_token(well, well.issue())
    checks = well.examine()

    assert problems(checks) == set()
    assert message(checks, "fallback") == "without the API GITLAB_TOKEN would answer"


def test_a_local_source_that_is_broken(well):
    """A hosts.yml that cannot be read is told: it would be missed only when it is needed."""
    del well.environ["GIT_CREDENTIAL_RELAY_HOSTS"]
    well.environ |= {"GH_HOST": "127.0.0.1:1", "CLOUD_API_URL": ""}
    hosts = well.home / ".config/gh/hosts.yml"
    hosts.parent.mkdir(parents=True)
    hosts.write_text("a: [b")
    checks = well.examine(repo="https://127.0.0.1:1/acme/app")

    assert ("fallback", "fallback-broken") in problems(checks)


def test_a_token_for_another_repository(well):
    """What the API says the token is for is compared with what it was asked for."""
    token = well.issue()
    answer = issues(token, host=well.forge.host, repositories=["acme/other"])
    well.api.script(answer)
    assert problems(well.examine()) == {("credential", "repository-not-granted")}


def test_a_token_that_is_about_to_expire(well):
    """Less life than was asked for is a warning."""
    token = well.issue()
    well.api.script(issues(token, host=well.forge.host, lifetime=120))
    assert problems(well.examine()) == {("credential", "short-lived")}


def test_a_token_that_was_revoked(well):
    """Refused by the forge: the command makes the next one be asked for another token."""
    old = well.issue()
    well.examine()
    well.forge.tokens.revoke(old)
    well.issue()
    checks = well.examine()
    assert problems(checks) == {("push", "token-refused")}
    assert_clean(checks, old)

    [fix] = [check.fix for check in checks if check.code == "token-refused"]
    well.shell(fix)
    assert problems(well.examine()) == set()
    assert files_with(old, well.agent.root) == []


def test_a_token_that_may_only_read(well):
    """Insufficient scope is told from an expired token and from a wrong installation."""
    well.issue(push=False)
    checks = well.examine()

    assert problems(checks) == {("push", "insufficient-scope")}
    assert "contents=read" in message(checks, "credential")


def test_a_token_of_another_installation(well):
    """The forge shows it no such repository."""
    token = well.issue(repositories=("acme/other",))
    well.api.script(issues(token, host=well.forge.host))
    assert problems(well.examine()) == {("push", "wrong-installation")}


def move_forge(p: Patient, url: str) -> None:
    """Let everything be about a forge at `url`."""
    p.system.write_text(p.system.read_text().replace(p.forge.url, url))
    p.config("remote.origin.url", f"{url}/acme/app.git")
    p.environ["GIT_CREDENTIAL_RELAY_HOSTS"] = f"github={url}"
    p.api.script(issues("forge-c4n4ry", host=url.partition("://")[2]))


def advertise(p, server, by_service: Callable[[str, bool], tuple[int, dict[str, str]]]) -> None:
    """A forge at `server` that answers by service, and by whether a credential came along."""

    def answer(request):
        from werkzeug import Response

        with_credential = "Authorization" in request.headers
        status, headers = by_service(request.args["service"], with_credential)
        return Response(b"", status, headers)

    server.expect_request("/acme/app.git/info/refs").respond_with_handler(answer)
    move_forge(p, server.url_for("").rstrip("/"))


def test_a_public_repository_proves_nothing(well, httpserver):
    """That anybody may read is told beside the answer to the push."""
    advertise(
        well,
        httpserver,
        lambda service, with_credential: (200 if service == "git-upload-pack" else 403, {}),
    )
    checks = well.examine()

    assert problems(checks) == {("push", "insufficient-scope")}
    assert "is public" in message(checks, "anonymous-read")


def test_a_forge_that_refuses_the_token_altogether(well, httpserver):
    """403 for reading too is no matter of scope."""
    advertise(well, httpserver, lambda service, with_credential: (403, {}))
    assert problems(well.examine()) == {("push", "forbidden")}


def test_something_that_is_no_forge(well, httpserver):
    """A login page says 200 to everything."""
    advertise(well, httpserver, lambda service, sent: (200, {"Content-Type": "text/html"}))
    assert problems(well.examine()) == {("push", "not-a-forge")}


def test_a_repository_that_has_moved(well, httpserver):
    """The new address is told; the credential does not follow."""
    place = {"Location": "https://x:c4n4ry-there@evil.example/acme/new.git/info/refs?service=x"}
    advertise(well, httpserver, lambda service, with_credential: (301, place))
    checks = well.examine()

    assert problems(checks) == {("push", "repository-moved")}
    assert "moved to https://evil.example/acme/new.git" in message(checks, "push")
    assert_clean(checks, "c4n4ry-there", "forge-c4n4ry")
    assert {request.path for request, _ in httpserver.log} == {"/acme/app.git/info/refs"}


def test_a_forge_in_trouble(well, httpserver):
    """A forge's own failure is not blamed on the token."""
    advertise(well, httpserver, lambda service, with_credential: (502, {}))
    assert problems(well.examine()) == {("push", "forge-unavailable")}


def test_a_forge_that_is_away(well):
    """Nor is a forge that cannot be reached."""
    move_forge(well, f"http://127.0.0.1:{closed_port()}")
    assert problems(well.examine()) == {("push", "forge-unreachable")}


def test_a_replica_that_does_not_know_a_new_token_yet(well, httpserver):
    """A token refused in its first seconds is tried once more before it is called refused."""
    pushes = []

    def answer(service, with_credential):
        if service == "git-receive-pack":
            pushes.append(service)
        known = len(pushes) > 1
        return (200 if known else 401, {"Content-Type": ADVERTISEMENT})

    advertise(well, httpserver, answer)

    assert problems(well.examine()) == set()
    assert len(pushes) == 2


def test_a_repository_that_is_not_checked_out(well, tmp_path):
    """--repo asks about any repository from anywhere."""
    token = well.issue()
    checks = well.examine(cwd=tmp_path, repo=well.url)

    assert problems(checks) == set()
    assert codes(checks)["repository"] == "no-repository"
    assert "accepts a push to acme/app" in message(checks, "push")
    assert_clean(checks, token)


def test_a_password_in_the_url_that_is_asked_about(well):
    """What somebody writes into --repo is not repeated."""
    checks = well.examine(repo=well.url.replace("://", "://x:c4n4ry-typed@"))

    assert codes(checks)["push"] == "ok"
    assert_clean(checks, "c4n4ry-typed")


def test_a_foreign_host_gets_nothing(well, httpserver):
    """For a host that is not ours no token is asked for, and none is sent."""
    httpserver.expect_request("/a/b.git/info/refs").respond_with_data("")
    checks = well.examine(repo=httpserver.url_for("/a/b"))

    assert problems(checks) == {("remotes", "host-not-ours")}
    assert codes(checks)["credential"] == codes(checks)["push"] == "host-not-ours"
    assert httpserver.log == []
    assert {request.fields.get("host") for request in well.api.requests} == {well.forge.host}


def test_offline_asks_nobody(well):
    """--offline makes no request, mints nothing and leaves no cache."""
    checks = well.examine(is_offline=True)

    assert problems(checks) == set()
    assert well.api.requests == []
    assert well.forge.requests == ()
    assert not well.agent.cache.exists()
    assert {check.code for check in checks if check.status == "skip"} == {"offline"}
