"""The demo's cloud API over HTTP: the relay API's contract."""

import http.client
import json
from collections.abc import Iterator
from email.utils import formatdate
from urllib.parse import urlencode

import pytest

from git_credential_relay.demo.tokens import TokenTable, token_sha256
from tests.fakes.cloud import SmallCloud, Vend

HOST = "127.0.0.1:8443"
NOW = 1_800_000_000.5


class Clock:
    """A clock that a test moves by hand."""

    def __init__(self) -> None:
        self.seconds = NOW

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    """The clock of forge and cloud."""
    return Clock()


@pytest.fixture
def tokens(clock: Clock) -> TokenTable:
    """The forge's token table."""
    return TokenTable(clock)


@pytest.fixture
def cloud(tokens: TokenTable, clock: Clock) -> Iterator[SmallCloud]:
    """A started cloud API whose workspace may push to acme/app and read acme/docs."""
    grants = {"acme/app": True, "acme/docs": False}
    with SmallCloud(tokens, HOST, grants, lifetime_seconds=60, now=clock) as cloud:
        yield cloud


def fetch(cloud: SmallCloud, *, method="GET", secret=None, at="/api/git/token", headers=None, **q):
    """Ask for a token; return status, headers and the JSON body."""
    query = {"workspaceId": cloud.workspace_id, "host": HOST, "path": "acme/app"} | q
    query = {name: value for name, value in query.items() if value is not None}
    all_headers = {"Authorization": f"Bearer {secret or cloud.workspace_secret}"} | (headers or {})
    connection = http.client.HTTPConnection(cloud.url.removeprefix("http://"), timeout=5)
    if method == "GET":
        connection.request("GET", f"{at}?{urlencode(query)}", headers=all_headers)
    else:
        connection.request("POST", at, body=json.dumps(query), headers=all_headers)
    response = connection.getresponse()
    body = json.loads(response.read())
    connection.close()
    return response.status, response.headers, body


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_token_is_vended_by_get_and_post(cloud, tokens, method):
    """A workspace gets a token for its repository, whole and dated by the cloud's clock."""
    status, headers, body = fetch(cloud, method=method, use="git", minLifetime=10)
    (issued,) = tokens.issued

    assert status == 200
    assert headers["Date"] == formatdate(NOW, usegmt=True)
    assert body == {
        "token": issued.token,
        "username": "x-access-token",
        "expiresAt": "2027-01-15T08:01:00Z",
        "tokenType": "installation",
        "userToken": None,
        "installationToken": issued.token,
        "host": HOST,
        "repositories": ["acme/app"],
        "permissions": {"contents": "write"},
    }
    assert cloud.vends == (
        Vend(NOW, HOST, "acme/app", "git", None, token_sha256(issued.token), issued.expires_at),
    )
    assert issued.token not in repr(cloud.answers)


@pytest.mark.parametrize(
    ("query", "repositories", "permission"),
    [
        ({"path": "acme/docs"}, ["acme/docs"], "read"),
        ({"path": "acme/app.git"}, ["acme/app"], "write"),
        ({"path": None}, ["acme/app", "acme/docs"], "read"),
        ({"host": None}, ["acme/app"], "write"),
        ({"use": "api"}, ["acme/app"], "write"),
    ],
    ids=["read only", "with .git", "no path", "no host", "api"],
)
def test_token_is_scoped(cloud, query, repositories, permission):
    """A token covers the asked repository, or all granted ones when none is named."""
    status, _, body = fetch(cloud, **query)

    assert status == 200
    assert (body["repositories"], body["permissions"]) == (repositories, {"contents": permission})


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"secret": "wrong"}, 401, "INVALID_WORKSPACE_TOKEN"),
        ({"secret": "wröng"}, 401, "INVALID_WORKSPACE_TOKEN"),
        ({"headers": {"Authorization": "Basic eDp5"}}, 401, "INVALID_WORKSPACE_TOKEN"),
        ({"secret": "wrong", "workspaceId": "x"}, 401, "INVALID_WORKSPACE_TOKEN"),
        ({"workspaceId": "other"}, 404, "WORKSPACE_NOT_FOUND"),
        ({"workspaceId": None}, 404, "WORKSPACE_NOT_FOUND"),
        ({"host": "github.com"}, 404, "HOST_NOT_SERVED"),
        ({"path": "acme/payroll"}, 403, "REPOSITORY_NOT_GRANTED"),
        ({"path": "acme"}, 403, "REPOSITORY_NOT_GRANTED"),
        ({"use": "anything"}, 400, "INVALID_REQUEST"),
        ({"minLifetime": "long"}, 400, "INVALID_REQUEST"),
    ],
)
def test_refusal_has_code_and_hint_and_is_recorded(cloud, tokens, query, status, code):
    """A refusal says why and what to do, mints nothing and is on record."""
    answered, _, body = fetch(cloud, **query)

    assert (answered, body["code"]) == (status, code)
    assert body["error"]
    assert body["hint"]
    assert (body["details"], body["retryable"]) == (None, False)
    assert tokens.issued == ()
    assert [refusal.code for refusal in cloud.refusals] == [code]


def test_live_token_is_handed_out_again(cloud, tokens):
    """Two requests within a token's life get the same token, each recorded as a vend."""
    _, _, first = fetch(cloud)
    _, _, second = fetch(cloud)

    assert first["token"] == second["token"]
    assert (len(tokens.issued), len(cloud.vends)) == (1, 2)


def test_token_with_too_little_life_is_replaced(cloud, clock):
    """A token with less life than asked for is not handed out again."""
    _, _, first = fetch(cloud)
    clock.seconds += 40
    _, _, patient = fetch(cloud, minLifetime=15)
    _, _, demanding = fetch(cloud, minLifetime=30)

    assert patient["token"] == first["token"]
    assert demanding["token"] != first["token"]


def test_rejected_token_is_never_served_again(cloud, tokens):
    """A token that the forge rejected is replaced, for this request and all later ones."""
    _, _, first = fetch(cloud)
    rejected = token_sha256(first["token"])
    headers = {"Cache-Control": "no-cache", "X-Rejected-Token-SHA256": rejected}
    _, _, second = fetch(cloud, headers=headers)
    _, _, third = fetch(cloud)

    assert first["token"] != second["token"]
    assert second["token"] == third["token"]
    assert [vend.rejected_sha256 for vend in cloud.vends] == [None, rejected, None]
    assert len(tokens.issued) == 2


def test_unknown_path_is_not_found(cloud):
    """Only the token endpoint is served."""
    status, _, body = fetch(cloud, at="/")

    assert (status, body["code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("body", "length"),
    [("{", None), ("[]", None), ("{}", "many"), ("{}", "-1"), ("x" * 70_000, None)],
    ids=["not JSON", "no object", "odd length", "negative length", "too long"],
)
def test_broken_post_is_a_bad_request(cloud, body, length):
    """A POST whose body is no small JSON object is answered with 400."""
    connection = http.client.HTTPConnection(cloud.url.removeprefix("http://"), timeout=5)
    headers = {"Content-Length": length} if length else {}
    connection.request("POST", "/api/git/token", body=body, headers=headers)
    status = connection.getresponse().status
    connection.close()

    assert status == 400


def test_stopped_cloud_is_unreachable_until_started_again(cloud):
    """Stopping makes the API unreachable, starting brings it back at the same address."""
    url = cloud.url
    cloud.stop()
    cloud.stop()
    with pytest.raises(ConnectionRefusedError):
        fetch(cloud)
    cloud.start()
    cloud.start()
    status, _, _ = fetch(cloud)

    assert (status, cloud.url) == (200, url)


def test_observer_sees_each_answer(tokens):
    """The observer is called once for each vend and refusal."""
    codes: list[str | None] = []
    with SmallCloud(
        tokens,
        HOST,
        {"acme/app": True},
        lifetime_seconds=60,
        observe=lambda vend: codes.append(vend.code),
    ) as cloud:
        fetch(cloud)
        fetch(cloud, path="acme/none")

    assert codes == [None, "REPOSITORY_NOT_GRANTED"]
