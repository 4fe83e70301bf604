"""The admin API over HTTP: creating, showing, changing, rotating and deleting workspaces."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from git_credential_relay.broker.errors import ForgeRefusedError
from git_credential_relay.broker.store.cipher import new_key
from tests.fakes.admin_api import ADMIN_SECRET, AdminApi

KEY = new_key()
URL = {"gitUrl": "https://github.com/acme/app.git"}


@pytest.fixture
def api(tmp_path):
    serving = AdminApi(tmp_path, KEY)
    yield serving
    serving.close()


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory):
    """One for all requests that are refused: it starts once."""
    serving = AdminApi(tmp_path_factory.mktemp("broker"), KEY)
    yield serving
    serving.close()


def create(api, **fields):
    answer = api.call("POST", json={**URL, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_creation_verifies_pins_and_says_what_works(api):
    """A workspace for a git URL is checked at the forge, holds the repository's id, and the
    answer says what will work and what a relay needs."""
    answer = api.call("POST", json={**URL, "id": "w1"})
    made = answer.json()
    secret = made.pop("secret")
    workspace = made["workspace"]

    assert answer.status_code == 201
    assert answer.headers["location"] == "/api/workspaces/w1"
    assert answer.headers["etag"] == f'"{workspace["revision"]}"'
    assert len(secret) == 64
    assert api.source.asked == [("acme/app", {"contents": "write"})]
    assert made["works"] == [
        {
            "host": "github.com",
            "repository": "acme/app",
            "repositoryId": 7,
            "permissions": {"contents": "write"},
            "missing": {},
            "source": "github:github.com",
            "verified": True,
        }
    ]
    assert workspace["grants"][0]["repositoryIds"] == {"acme/app": 7}
    assert workspace["secrets"] == [{"createdAt": workspace["createdAt"], "expiresAt": None}]
    assert made["relayEnv"] == {"CLOUD_API_URL": api.url, "WORKSPACE_ID": "w1"}


@pytest.mark.parametrize(
    ("url", "repository", "env"),
    [
        ("git@github.com:acme/app.git", "acme/app", {}),
        ("ssh://git@ssh.github.com:443/acme/app", "acme/app", {}),
        (
            "https://gitlab.example:8443/gitlab/team/sub/app.git",
            "team/sub/app",
            {"GITLAB_INSTANCE_URL": "https://gitlab.example:8443/gitlab"},
        ),
        (
            "git@gitlab.example:team/sub/app.git",
            "team/sub/app",
            {"GITLAB_INSTANCE_URL": "https://gitlab.example:8443/gitlab"},
        ),
    ],
)
def test_every_form_of_git_url_finds_its_forge(api, url, repository, env):
    """https, ssh and git's short form mean the forge's https, with its port and path."""
    made = create(api, gitUrl=url)

    assert made["works"][0]["repository"] == repository
    assert {
        k: v for k, v in made["relayEnv"].items() if k not in ("CLOUD_API_URL", "WORKSPACE_ID")
    } == env


REFUSALS = [
    pytest.param({}, 400, "INVALID_REQUEST", "either gitUrl or grants", id="nothing"),
    pytest.param({**URL, "what": 1}, 400, "INVALID_REQUEST", "what", id="unknown key"),
    pytest.param({**URL, "id": "../x"}, 400, "INVALID_REQUEST", "$.id", id="bad id"),
    pytest.param({**URL, "id": "declared"}, 409, "WORKSPACE_DECLARED", "file", id="of the file"),
    pytest.param({"gitUrl": "nonsense"}, 400, "INVALID_GIT_URL", "https", id="no URL"),
    pytest.param(
        {"gitUrl": "https://t0k3n@github.com/acme/app"}, 400, "INVALID_GIT_URL", "token", id="user"
    ),
    pytest.param(
        {"gitUrl": "https://github.com/stranger/app"}, 422, "NO_INTEGRATION",
        "install the App on stranger", id="no integration for the owner",
    ),
    pytest.param(
        {"gitUrl": "https://git.example/acme/app"}, 422, "NO_INTEGRATION",
        "a [[forge]] with host git.example", id="no forge",
    ),
    pytest.param(
        {**URL, "integration": "none"}, 422, "NO_INTEGRATION", "no [[forge]] none", id="integration"
    ),
    pytest.param(
        {**URL, "permissions": {"contents": "all"}}, 400, "INVALID_GRANT", "contents", id="level"
    ),
    pytest.param({**URL, "uses": []}, 400, "INVALID_GRANT", "uses", id="no use"),
    pytest.param({**URL, "token": "********"}, 400, "MASKED_TOKEN", "masked", id="masked"),
    pytest.param({**URL, "withSecret": False}, 400, "INVALID_REQUEST", "speak", id="nobody"),
    pytest.param({**URL, "sessionHmac": True}, 400, "INVALID_REQUEST", "session", id="hmac"),
    pytest.param(
        {**URL, "identities": [{"issuer": "https://evil.example", "subject": "x"}]},
        400, "ISSUER_NOT_CONFIGURED", "issuer", id="issuer",
    ),
    pytest.param(
        {**URL, "identities": [{"issuer": "https://issuer.example", "subjectPattern": ".*"}]},
        400, "INVALID_IDENTITY", "claim", id="identity for everybody",
    ),
    pytest.param(
        {"grants": [{"host": "github.com", "repositories": ["acme/*", "*/app"]}]},
        400, "INVALID_GRANT", "not a repository", id="any owner",
    ),
    pytest.param(
        {"gitUrl": "http://git.example/a/b", "token": "user-token"}, 400, "INVALID_GRANT",
        "in the clear", id="token over http",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("body", "status", "code", "words"), REFUSALS)
def test_refusal_says_why_and_stores_nothing(unchanged, body, status, code, words):
    """What cannot work is refused with a code and what to do, is on record, and leaves nothing."""
    answer = unchanged.call("POST", json=body)
    error = answer.json()

    assert (answer.status_code, error["code"]) == (status, code), error
    assert words in error["error"] + (error["hint"] or "")
    assert "t0k3n" not in answer.text + unchanged.audit_path.read_text()
    ids = [one["id"] for one in unchanged.call("GET").json()["workspaces"]]
    assert ids == ["declared"]
    assert (unchanged.events()[-2]["verdict"], unchanged.events()[-2]["code"]) == ("failed", code)


def test_missing_permission_is_named_unless_partial_will_do(api):
    """A permission the forge does not give refuses the creation and is named; allowPartial takes
    the rest, and the grant holds no more than that."""
    api.source.missing = {"acme/app": {"workflows": "the App has not been given it"}}
    wanted = {"contents": "write", "workflows": "write"}

    refused = api.call("POST", json={**URL, "permissions": wanted})
    made = create(api, permissions=wanted, allowPartial=True)

    assert (refused.status_code, refused.json()["code"]) == (422, "FORGE_PERMISSION_NOT_GRANTED")
    assert "workflows: the App has not been given it" in refused.json()["error"]
    assert made["works"][0]["missing"] == {"workflows": "the App has not been given it"}
    assert made["workspace"]["grants"][0]["permissions"] == {"contents": "write"}


def test_what_the_forge_says_is_passed_on(api):
    """A refusal by the forge reaches the caller with its code and hint."""
    api.source.fails_with = ForgeRefusedError(
        "not installed", code="FORGE_NOT_INSTALLED", hint="install it", reason="for the audit"
    )
    answer = api.call("POST", json=URL)

    assert (answer.status_code, answer.json()["code"]) == (422, "FORGE_NOT_INSTALLED")
    assert "for the audit" not in answer.text
    assert api.events()[-1]["reason"] == "for the audit"


def test_whole_grants_with_a_pattern(api):
    """Grants may be given whole; of a pattern nobody can be asked, and the answer says so."""
    grants = [
        {"host": "github.com", "repositories": ["acme/app", "acme/lib-*"], "readOnly": True},
        {"host": "gitlab.example:8443", "repositories": ["team/sub/app"]},
    ]
    answer = api.call("POST", json={"grants": grants})
    works = answer.json()["works"]

    assert answer.status_code == 201, answer.text
    assert [(one["repository"], one["verified"]) for one in works] == [
        ("acme/app", True), ("acme/lib-*", False), ("team/sub/app", True),
    ]  # fmt: skip
    assert works[0]["permissions"] == {"contents": "read"}


@pytest.mark.parametrize("bearer", [None, "wrong-secret-of-the-admin", "eyJh.e30.c2ln"])
def test_nobody_but_the_admin(unchanged, bearer):
    """Without the admin's secret every request is refused with one text, and on record."""
    headers = {"Authorization": f"Bearer {bearer}" if bearer is not None else ""}
    for method, path in [
        ("GET", ""), ("POST", ""), ("GET", "/declared"), ("PATCH", "/declared"),
        ("DELETE", "/declared"), ("POST", "/declared/rotate"),
    ]:  # fmt: skip
        answer = unchanged.call(method, path, headers=headers)
        assert answer.status_code == 401, (method, path)
    assert [event["verdict"] for event in unchanged.events()[-6:]] == ["denied"] * 6


def test_listing_in_pages(api):
    """Every workspace is on one page, those of the file first, whatever the size of pages."""
    for number in range(5):
        create(api, id=f"w{number}")
    seen, after = [], None
    while True:
        query = {"limit": "2", **({"after": after} if after else {})}
        page = api.call("GET", params=query).json()
        seen += [one["id"] for one in page["workspaces"]]
        after = page["next"]
        if after is None:
            break

    assert seen == ["declared", "w0", "w1", "w2", "w3", "w4"]
    assert api.call("GET", params={"limit": "0"}).status_code == 400


def test_declared_workspace_is_shown_and_left_alone(api):
    """What the file declares can be read here, and changed in the file alone."""
    shown = api.call("GET", "/declared").json()

    assert (shown["origin"], shown["grants"][0]["repositories"]) == ("file", ["acme/declared"])
    for method, path in [("PATCH", ""), ("DELETE", ""), ("POST", "/rotate")]:
        answer = api.call(method, f"/declared{path}", json={})
        assert (answer.status_code, answer.json()["code"]) == (409, "WORKSPACE_DECLARED")
    assert api.revoked == []


def test_change_verifies_only_what_is_new(api):
    """Grants that were there stay as they are; new ones are asked about at the forge."""
    made = create(api, id="w1")["workspace"]
    api.source.asked.clear()
    grants = [*made["grants"], {"host": "github.com", "repositories": ["acme/lib"]}]

    answer = api.call("PATCH", "/w1", json={"grants": grants})

    assert answer.status_code == 200, answer.text
    assert api.source.asked == [("acme/lib", {"contents": "write"})]
    assert [one["repository"] for one in answer.json()["works"]] == ["acme/lib"]
    assert [g["repositoryIds"] for g in answer.json()["workspace"]["grants"]] == [
        {"acme/app": 7}, {"acme/lib": 8},
    ]  # fmt: skip


def test_of_two_changes_at_once_one_is_refused(api):
    """Both had read the same revision: one is taken, the other learns that it came too late."""
    made = create(api, id="w1")["workspace"]
    identity = {"issuer": "https://issuer.example", "subject": "s"}

    def patch(subject):
        body = {"identities": [{**identity, "subject": subject}], "revision": made["revision"]}
        return api.call("PATCH", "/w1", json=body)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(patch, "abcdefgh"))

    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
    assert {a.json()["code"] for a in answers if a.status_code == 409} == {"WORKSPACE_CHANGED"}
    stale = api.call("PATCH", "/w1", json={}, headers={"If-Match": f'"{made["revision"]}"'})
    assert stale.status_code == 409


def test_of_two_creations_at_once_one_is_refused(api):
    """One id is one workspace, however many ask for it at the same time."""
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: api.call("POST", json={**URL, "id": "w1"}), range(8)))

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7


def test_rotation_keeps_the_former_secret_for_the_overlap(api):
    """After a rotation both secrets count until the overlap ends; with none the old one is out."""
    first = create(api, id="w1")["secret"]
    second = api.call("POST", "/w1/rotate", json={"overlapSeconds": 60}).json()
    third = api.call("POST", "/w1/rotate", json={"overlapSeconds": 0}).json()

    assert len({first, second["secret"], third["secret"]}) == 3
    assert [one["expiresAt"] is None for one in second["workspace"]["secrets"]] == [True, False]
    assert [one["expiresAt"] for one in third["workspace"]["secrets"]] == [None]


def test_deletion_ends_live_tokens_and_can_be_repeated(api):
    """Deleting says how many tokens were ended; what could not be is tried again by the next."""
    create(api, id="w1")
    api.revocation = (1, 1)
    first = api.call("DELETE", "/w1")
    api.revocation = (1, 0)
    second = api.call("DELETE", "/w1")
    api.revocation = (0, 0)
    third = api.call("DELETE", "/w1")

    assert first.json() == {"id": "w1", "revoked": 1, "failed": 1}
    assert second.json() == {"id": "w1", "revoked": 1, "failed": 0}
    assert (third.status_code, third.json()["code"]) == (404, "WORKSPACE_NOT_FOUND")
    assert api.revoked == ["w1"] * 3
    # Gone by then, or it could be given another token after the last was looked for.
    assert api.known_while_revoking == [False] * 3


def test_identity_tokens_alone_may_speak(api):
    """Without a secret there is none to lose, where a workload's identity speaks."""
    identity = {"issuer": "https://issuer.example", "subject": "system:serviceaccount:a:b"}
    made = create(api, identities=[identity], withSecret=False)

    assert made["secret"] is None
    assert made["workspace"]["secrets"] == []


def test_every_request_has_its_event_before_the_change(api):
    """Each request is on record with who asked and what for, and how a change ended."""
    create(api, id="w1")
    api.call("GET", "/w1")
    api.call("POST", "/w1/rotate")
    api.call("DELETE", "/w1")
    api.call("GET", "/w1")
    told = [(e["kind"], e.get("action"), e["verdict"], e.get("workspace")) for e in api.events()]

    assert told == [
        ("admin", "create", "allowed", "w1"),
        ("admin", "show", "allowed", "w1"),
        ("admin", "rotate", "allowed", "w1"),
        ("admin", "delete", "allowed", "w1"),
        ("revoke", "delete", "revoked", "w1"),
        ("admin", "show", "failed", "w1"),
    ]
    assert {event["caller"] for event in api.events()} == {"secret:admin"}
    assert api.events()[0]["repositories"] == ["acme/app"]


def test_without_an_event_nothing_is_changed(api):
    """Where the audit cannot be written, no workspace is made, changed or deleted."""
    made = create(api, id="w1")["workspace"]
    api.disk.is_full = True

    for method, path, body in [
        ("POST", "", {**URL, "id": "w2"}), ("PATCH", "/w1", {"identities": []}),
        ("POST", "/w1/rotate", {}), ("DELETE", "/w1", None), ("GET", "/w1", None),
    ]:  # fmt: skip
        answer = api.call(method, path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (503, "AUDIT_UNAVAILABLE"), method
    api.disk.is_full = False
    ids = {one["id"]: one["revision"] for one in api.call("GET").json()["workspaces"]}
    assert ids == {"declared": 0, "w1": made["revision"]}
    assert api.revoked == []


def test_no_secret_but_in_its_one_answer(api, tmp_path, caplog):
    """A workspace's secret and a user's token are in no other answer, log, event or file."""
    canary = "user-token-canary-1234567890"
    made = create(api, gitUrl="https://git.example/acme/app", token=canary, id="w1")
    answers = [
        api.call("GET").text,
        api.call("GET", "/w1").text,
        api.call("PATCH", "/w1", json={"grants": made["workspace"]["grants"]}).text,
        api.call("PATCH", "/w1", json={"token": canary + "\n"}).text,
        api.call("POST", json={**URL, "id": "w1", "token": canary}).text,
        api.call("POST", content=f'{{"token": "{canary}').text,
        api.call("POST", json={"token": [canary]}).text,
    ]
    rotated = api.call("POST", "/w1/rotate").json()
    secrets = [canary, made["secret"], rotated["secret"], ADMIN_SECRET]
    hashes = [hashlib.sha256(secret.encode()).hexdigest() for secret in secrets]
    files = [
        path.read_bytes()
        for path in tmp_path.iterdir()
        if path.is_file() and path.name != "admin.secret"
    ]
    del made["secret"], rotated["secret"]
    everything = "".join([*answers, caplog.text, str(made), str(rotated), str(files)])

    for secret in [*secrets, *hashes]:
        assert secret not in everything
    assert made["workspace"]["grants"][0]["token"] == "********"
