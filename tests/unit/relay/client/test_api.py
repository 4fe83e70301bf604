"""The relay API as a function, against servers on loopback."""

import json
import time
from email.utils import formatdate

import pytest
import trustme
from werkzeug import Request, Response

from git_credential_relay.config import Config
from git_credential_relay.credential.forge import Target
from git_credential_relay.errors import (
    ApiError,
    ConfigError,
    DeadlineExceededError,
    MalformedResponseError,
    RelayError,
    SourceError,
    TlsError,
    TransportError,
    UnavailableError,
)
from git_credential_relay.relay.client.api import RelayClient, forge_login
from git_credential_relay.relay.deadline import Clock, Deadline
from git_credential_relay.relay.workspace import workspace_secret
from git_credential_relay.secret import Secret, token_sha256
from git_credential_relay.trace import Trace
from tests.fakes.configs import (
    CODEBERG,
    GITHUB_COM,
    REPOSITORY,
    WORKSPACE_SECRET,
    api_config,
    make_config,
)
from tests.fakes.fake_clock import START, FakeClock
from tests.fakes.raw_server import (
    answering,
    closed_port,
    http_answer,
    raw_server,
    read_head,
)
from tests.unit.relay.client.test_http import tls_context

TOKEN = {"token": "ghs_fresh", "expiresAt": None}


class Cloud:
    """Answers on the API's path: the given answers in turn, the last one for ever."""

    def __init__(self, httpserver, path="/api/git/token") -> None:
        self.url = httpserver.url_for("").rstrip("/")
        self.requests: list[Request] = []
        self.answers: list[Response] = []
        httpserver.expect_request(path).respond_with_handler(self._answer)

    def will(self, status=200, headers=None, text=None, **body) -> "Cloud":
        content = json.dumps(body) if text is None else text
        self.answers.append(Response(content, status, headers))
        return self

    def _answer(self, request: Request) -> Response:
        request.get_data()
        self.requests.append(request)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def cloud(httpserver) -> Cloud:
    return Cloud(httpserver)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(time.time())  # the servers' Date headers are of today


@pytest.fixture
def fetch(clock):
    """Fetches by a configuration with the wound clock; the clients are closed at the end."""
    clients = []

    def run(config: Config, target=REPOSITORY, seconds=20.0, refused=None, trace=None):
        client = RelayClient(
            config, lambda: workspace_secret(config), clock.clock, trace or Trace()
        )
        clients.append(client)
        return client.fetch(target, clock.deadline(seconds), refused)

    yield run
    for client in clients:
        client.close()
        client.close()


def facts(credential):
    """All that a credential is."""
    return (
        credential.username,
        credential.password.reveal(),
        credential.token_sha256,
        credential.fetched_at,
        credential.expires_at,
        credential.source,
    )


def test_the_credential_of_an_answer(cloud, clock, fetch):
    """Everything the API said is in the credential, with the hash of its token."""
    cloud.will(**TOKEN, username="octo-bot")
    credential = fetch(api_config(cloud.url))

    sha256 = token_sha256(Secret("ghs_fresh"))
    assert facts(credential) == ("octo-bot", "ghs_fresh", sha256, clock.now, None, "relay API")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (REPOSITORY, {"host": "github.com", "path": "octo/spoon", "use": "git"}),
        (Target(GITHUB_COM, None, "api"), {"host": "github.com", "use": "api"}),
    ],
    ids=["one repository", "no repository, for the API"],
)
def test_a_get_names_what_is_wanted(cloud, fetch, target, expected):
    """The query says workspace, host, repository, use and life; the secret is in the header."""
    cloud.will(**TOKEN)
    config = api_config(cloud.url, WORKSPACE_ID="ws/1 &é", GIT_CREDENTIAL_RELAY_MIN_LIFETIME="90.5")
    fetch(config, target)

    [request] = cloud.requests
    common = {"workspaceId": "ws/1 &é", "minLifetime": "90"}
    assert (request.method, request.args.to_dict()) == ("GET", common | expected)
    assert request.headers["Authorization"] == f"Bearer {WORKSPACE_SECRET}"


def test_a_post_names_what_is_wanted(cloud, fetch):
    """Configured for POST, the same names go in a JSON body."""
    cloud.will(**TOKEN)
    fetch(api_config(cloud.url, GIT_CREDENTIAL_RELAY_API_METHOD="POST"))

    [request] = cloud.requests
    assert (request.method, request.query_string, request.json) == (
        "POST",
        b"",
        {
            "workspaceId": "ws-1",
            "host": "github.com",
            "path": "octo/spoon",
            "use": "git",
            "minLifetime": "600",
        },
    )


def test_the_path_is_configurable(httpserver, fetch):
    """Another server's path is asked below the API's own address."""
    cloud = Cloud(httpserver, "/base/api/rigs/7/refresh-git-token").will(
        success=True, data={"token": "t"}
    )
    config = api_config(
        cloud.url + "/base/", GIT_CREDENTIAL_RELAY_API_PATH="/api/rigs/7/refresh-git-token"
    )

    assert fetch(config).password == Secret("t")


@pytest.mark.parametrize(
    ("refused", "expected"),
    [(None, (None, None)), ("aGFzaA==", ("no-cache", "aGFzaA=="))],
    ids=["nothing refused", "refused"],
)
def test_a_refused_token_is_told(cloud, fetch, refused, expected):
    """After a refusal the API is asked for another token than the one with this hash."""
    cloud.will(**TOKEN)
    fetch(api_config(cloud.url), refused=refused)

    [request] = cloud.requests
    headers = request.headers
    assert (headers.get("Cache-Control"), headers.get("X-Rejected-Token-SHA256")) == expected


@pytest.mark.parametrize(
    ("use", "variables", "token"),
    [
        ("git", {}, "u"),
        ("api", {}, "u"),
        ("git", {"GIT_CREDENTIAL_RELAY_TOKEN_FIELDS_GIT": "installationToken"}, "i"),
        ("api", {"GIT_CREDENTIAL_RELAY_TOKEN_FIELDS_GIT": "installationToken"}, "u"),
        ("api", {"GIT_CREDENTIAL_RELAY_TOKEN_FIELDS_API": "token"}, "t"),
    ],
)
def test_which_token_is_configured_per_use(cloud, fetch, use, variables, token):
    """git and the forge's API may each prefer another token of the same answer."""
    cloud.will(userToken="u", token="t", installationToken="i")
    credential = fetch(api_config(cloud.url, **variables), Target(GITHUB_COM, "octo/spoon", use))

    assert credential.password == Secret(token)


def test_served_when_the_api_recovers(cloud, clock, fetch):
    """503, 503, 200 is served after waits near 2 and 4 seconds."""
    cloud.will(503).will(503).will(**TOKEN)
    credential = fetch(api_config(cloud.url))

    assert credential.password == Secret("ghs_fresh")
    assert clock.slept == [pytest.approx(2, rel=0.1), pytest.approx(4, rel=0.1)]


def test_gives_up_when_the_api_does_not_recover(cloud, clock, fetch):
    """503 for ever ends after four requests, within the deadline, with the API's words."""
    cloud.will(503, error="maintenance")
    with pytest.raises(UnavailableError) as caught:
        fetch(api_config(cloud.url))

    assert (len(cloud.requests), sum(clock.slept) < 20) == (4, True)
    assert caught.value.message == (
        "the relay API is in trouble (HTTP 503): maintenance (tried 4 times)"
    )


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 405, 409, 418, 422])
def test_a_refusal_is_asked_once(cloud, clock, fetch, status):
    """What will not pass by itself costs one request and no wait."""
    cloud.will(status, code="SOME_CODE", error="no")
    with pytest.raises(ApiError) as caught:
        fetch(api_config(cloud.url))

    assert f"(HTTP {status})" in caught.value.message or f"HTTP {status}:" in caught.value.message
    assert (len(cloud.requests), clock.slept) == (1, [])


@pytest.mark.parametrize(
    ("headers", "waited"),
    [
        ({"Retry-After": "3"}, [3.0]),
        ({"Retry-After": "0"}, [1.0]),
        ({"Retry-After": "60"}, None),
        ({"X-RateLimit-Reset": "+3", "X-RateLimit-Remaining": "0"}, [3.0]),
    ],
    ids=["fits", "at once", "does not fit", "agent-relay's reset"],
)
def test_a_rate_limit_is_honoured(cloud, clock, fetch, headers, waited):
    """We come back when the server said, or give up at once when that is too late."""
    clock.now = float(int(clock.now))
    if "X-RateLimit-Reset" in headers:
        headers = headers | {"X-RateLimit-Reset": str(int(clock.now) + 3)}
    cloud.will(429, headers, error="Too many requests").will(**TOKEN)
    if waited is None:
        with pytest.raises(ApiError) as caught:
            fetch(api_config(cloud.url))
        assert (caught.value.retry_after, clock.slept) == (60.0, [])
    else:
        fetch(api_config(cloud.url))
        assert clock.slept == waited


@pytest.mark.parametrize(
    ("code", "requests"), [("NANGO_CONNECTION_EXPIRED", 1), ("NANGO_TOKEN_FETCH_FAILED", 4)]
)
def test_agent_relays_codes_in_a_500(cloud, fetch, code, requests):
    """An expired connection is final although it is a 500; a failed fetch is tried again."""
    cloud.will(500, code=code, error="no")
    with pytest.raises(UnavailableError) as caught:
        fetch(api_config(cloud.url))

    assert (caught.value.code, len(cloud.requests)) == (code, requests)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ("<html>log in</html>", "html-answer"),
        ("ok", "not-json"),
        ("{}", "no-token-in-answer"),
        ('{"token": "t", "host": "evil.example"}', "wrong-host"),
        (" " * 300_000 + '{"token": "t"}', "answer-too-long"),
        ('{"token": "t", "expiresAt": "2001-01-01T00:00:00Z"}', "expired-on-arrival"),
        ('{"token": "t", "expiresAt": 0}', "expired-on-arrival"),
        ('{"token": "t", "expiresAt": 1' + "0" * 400 + "}", "bad-expiry"),
    ],
    ids=lambda value: value[:40] if value[0] in "<{ o" else "",
)
def test_a_success_that_is_none_is_final(cloud, clock, fetch, data, code):
    """A 200 that holds no usable credential is asked for once and has a code of its own."""
    cloud.will(text=data)
    with pytest.raises(MalformedResponseError) as caught:
        fetch(api_config(cloud.url))

    assert (caught.value.code, len(cloud.requests), clock.slept) == (code, 1, [])


def test_a_broken_connection_is_tried_again(clock, fetch):
    """A body cut short is not used, and the next attempt may be whole."""
    body = json.dumps(TOKEN).encode()
    answers = [http_answer(body)[:-3], http_answer(body)]
    with raw_server(lambda c: answering(answers.pop(0))(c)) as server:
        credential = fetch(api_config(f"http://127.0.0.1:{server.port}"))

    assert (credential.password, len(clock.slept)) == (Secret("ghs_fresh"), 1)


def test_nobody_there(clock, fetch):
    """An API that is down is tried four times, and the error says what to check."""
    with pytest.raises(TransportError) as caught:
        fetch(api_config(f"http://127.0.0.1:{closed_port()}"))

    error = caught.value
    assert (error.code, error.retryable, len(clock.slept)) == ("connect-failed", True, 3)
    assert error.hint == "check CLOUD_API_URL, the network and HTTPS_PROXY"


def test_an_unknown_authority_is_not_tried_again(clock, fetch):
    """Somebody may be in between: one connection, no wait, and the secret stays here."""
    heads: list[bytes] = []
    context = tls_context(trustme.CA(), "127.0.0.1")
    with raw_server(answering(http_answer(b"{}"), heads=heads), context) as server:
        with pytest.raises(TlsError) as caught:
            fetch(api_config(f"https://127.0.0.1:{server.port}"))
        connections = server.connections

    assert (caught.value.code, caught.value.retryable) == ("tls-refused", False)
    assert (connections, heads, clock.slept) == (1, [], [])


def test_a_redirect_does_not_take_the_secret_along(httpserver, fetch):
    """The address a redirect names is never asked."""
    with raw_server(answering(http_answer(b'{"token": "stolen"}'))) as other:
        location = f"http://127.0.0.1:{other.port}/api/git/token"
        cloud = Cloud(httpserver).will(307, {"Location": location})
        with pytest.raises(ApiError) as caught:
            fetch(api_config(cloud.url))

    assert (caught.value.code, other.connections) == ("redirected", 0)


def test_without_time_nothing_is_asked(cloud, fetch):
    """A deadline that has passed costs no request."""
    cloud.will(**TOKEN)
    with pytest.raises(DeadlineExceededError):
        fetch(api_config(cloud.url), seconds=0.0)

    assert cloud.requests == []


def test_a_silent_api_is_given_up_within_the_deadline():
    """By real clocks: an API that takes the request and says nothing costs the deadline."""

    def silence(connection):
        read_head(connection)
        connection.recv(1)

    started = time.monotonic()
    with raw_server(silence) as server:
        config = api_config(f"http://127.0.0.1:{server.port}")
        client = RelayClient(config, lambda: Secret("s"), Clock(), Trace())
        with pytest.raises(RelayError) as caught:
            client.fetch(REPOSITORY, Deadline(0.8, Clock()))
        took = time.monotonic() - started
        client.close()

    assert (caught.value.code, caught.value.retryable) == ("api-timeout", True)
    assert took < 1.2


def test_a_rotated_secret_counts_at_the_next_fetch(cloud, fetch, tmp_path):
    """The secret's file is read anew for every fetch by the same configuration."""
    cloud.will(**TOKEN)
    path = tmp_path / "secret"
    config = make_config(
        CLOUD_API_URL=cloud.url, WORKSPACE_ID="ws-1", WORKSPACE_TOKEN_FILE=str(path)
    )
    for secret in ("first", "second"):
        path.write_text(secret + "\n")
        fetch(config)

    assert [request.headers["Authorization"] for request in cloud.requests] == [
        "Bearer first",
        "Bearer second",
    ]


@pytest.mark.parametrize(
    ("content", "error", "code"),
    [
        (None, ConfigError, "bad-config"),
        ("two words", ConfigError, "bad-config"),
        ("one\ntwo", ConfigError, "bad-config"),
        ("", SourceError, "not-configured"),
    ],
    ids=["no file", "words", "lines", "empty"],
)
def test_an_unusable_secret_asks_nobody(cloud, fetch, tmp_path, content, error, code):
    """Without a secret that fits in a header there is no request."""
    cloud.will(**TOKEN)
    path = tmp_path / "secret"
    if content is not None:
        path.write_text(content)
    config = make_config(
        CLOUD_API_URL=cloud.url, WORKSPACE_ID="ws-1", WORKSPACE_TOKEN_FILE=str(path)
    )
    with pytest.raises(error) as caught:
        fetch(config)

    assert (caught.value.code, cloud.requests) == (code, [])


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        (0, START + 3600),
        (20, START + 3600),
        (600, START + 3000),
        (-600, START + 4200),
        (None, START + 3600),
        ("tomorrow", START + 3600),
        ("Fri, 99 Foo 2027 08:00:00 GMT", START + 3600),
    ],
    ids=["same", "request took a while", "ahead", "behind", "absent", "no date", "odd date"],
)
def test_the_apis_clock_is_corrected(clock, fetch, date, expected):
    """An expiry by a clock that is off is turned into one by ours, which git compares."""
    clock.now = START
    text = formatdate(START + date, usegmt=True) if isinstance(date, int) else date
    body = json.dumps({"token": "t", "expiresAt": int(START) + 3600}).encode()
    answer = http_answer(body, "200 OK", *([f"Date: {text}"] if text else []))
    with raw_server(answering(answer)) as server:
        credential = fetch(api_config(f"http://127.0.0.1:{server.port}"))

    assert credential.expires_at == expected


@pytest.mark.parametrize(
    "body",
    [
        {"error": f"no workspace for {WORKSPACE_SECRET}", "code": WORKSPACE_SECRET},
        {"hint": f"{WORKSPACE_SECRET}, really?", "details": {"sent": WORKSPACE_SECRET}},
        {"details": "x" * 380 + WORKSPACE_SECRET},
        {"success": False, "error": f"what is {WORKSPACE_SECRET}"},
    ],
    ids=["error and code", "hint and details", "at the cut", "envelope"],
)
@pytest.mark.parametrize("status", [200, 401, 503])
def test_the_workspaces_secret_is_never_in_an_error(cloud, fetch, status, body):
    """A server that echoes our secret does not get it printed, whatever it looks like."""
    cloud.will(status, **body)
    with pytest.raises(RelayError) as caught:
        fetch(api_config(cloud.url))

    error = caught.value
    shown = f"{error.message} {error.code} {error.hint} {error.details}"
    assert "workspace-secret" not in shown


def test_the_trace_tells_each_attempt_and_no_secret(cloud, fetch):
    """Status, wait and time of each attempt are told; neither secret nor token is."""
    lines: list[str] = []
    cloud.will(503).will(token="canary-of-no-known-form")
    fetch(api_config(cloud.url), trace=Trace(lines.append))

    assert [line.split()[2] for line in lines] == ["api", "api", "api"]
    text = "".join(lines)
    assert "outcome=HTTP 503" in text
    assert "api wait after_attempt=1 seconds=" in text
    assert "canary" not in text
    assert WORKSPACE_SECRET not in text


@pytest.mark.parametrize(
    ("status", "data", "expected"),
    [
        (200, '{"login": "dev-bot", "id": 3}', "dev-bot"),
        (200, '{"login": ""}', None),
        (200, '{"login": null}', None),
        (200, '{"login": "two\\nlines"}', None),
        (200, '{"login": ["dev-bot"]}', None),
        (200, '["dev-bot"]', None),
        (200, "<html>", None),
        (401, '{"login": "dev-bot"}', None),
        (302, '{"login": "dev-bot"}', None),
        (500, "", None),
    ],
)
def test_the_login_of_a_forge_token(httpserver, status, data, expected):
    """A Forgejo says whose its token is; nothing else it answers is taken for a login."""
    seen: list[str] = []

    def answer(request: Request) -> Response:
        seen.append(request.headers["Authorization"])
        return Response(data, status)

    httpserver.expect_request("/forge/api/v1/user").respond_with_handler(answer)
    url = httpserver.url_for("/forge")

    assert forge_login(make_config(), url, Secret("ghi"), 2.0) == expected
    assert seen == ["token ghi"]


def test_the_login_of_a_forge_that_is_down():
    """A forge that does not answer has no login to tell."""
    url = f"http://127.0.0.1:{closed_port()}"

    assert forge_login(make_config(), url, Secret("t"), 2.0) is None


def test_each_host_gets_only_its_own(cloud, fetch):
    """A server that knows github.com alone has nothing for another forge."""
    cloud.will(token="t", username="bot")
    with pytest.raises(MalformedResponseError) as caught:
        fetch(api_config(cloud.url), Target(CODEBERG, "octo/spoon"))

    assert caught.value.code == "host-not-named"
