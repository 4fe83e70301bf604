"""Creating workspaces against forges that answer: users' own tokens, and the real sources."""

import sqlite3

import pytest

from git_credential_relay.broker.store.cipher import new_key
from git_credential_relay.demo.forge import PlaygroundForge
from tests.fakes.admin_api import AdminApi

ADMIN = '[admin]\nsecret_file = "admin.secret"\n'


@pytest.fixture(scope="module")
def forge():
    with PlaygroundForge(root="gitlab") as playground:
        playground.create_repository("acme/app")
        yield playground


@pytest.fixture
def api(tmp_path, forge):
    entry = f'[[forge]]\nkind = "gitlab"\nurl = "{forge.url}"\ntoken_file = "t"\nowners = ["no"]\n'
    serving = AdminApi(tmp_path, new_key(), ADMIN + entry)
    yield serving
    serving.close()


def issue(forge, *, push=True):
    return forge.tokens.issue(["acme/app"], push=push, lifetime_seconds=60).token


def test_own_token_is_tried_before_it_is_kept(api, forge):
    """A user's token at a host the configuration knows is tried with git's own question, and a
    working one is bound to that host and that repository."""
    url = forge.url_of("acme/app")
    token = issue(forge)

    answer = api.call("POST", json={"gitUrl": url, "token": token, "id": "w1"})
    made = answer.json()

    assert answer.status_code == 201, answer.text
    assert [(w["source"], w["verified"]) for w in made["works"]] == [("own-token", True)]
    assert made["workspace"]["grants"][0]["repositories"] == ["acme/app"]
    assert made["relayEnv"]["GITLAB_INSTANCE_URL"] == forge.url
    assert token not in answer.text


@pytest.mark.parametrize(
    ("push", "repository", "code"),
    [
        (None, "acme/app", "FORGE_TOKEN_REJECTED"),
        (False, "acme/app", "FORGE_PERMISSION_NOT_GRANTED"),
        (True, "acme/lib", "FORGE_REPOSITORY_NOT_FOUND"),
    ],
)
def test_own_token_that_does_not_work_makes_no_workspace(api, forge, push, repository, code):
    """A token that the forge refuses is refused here, with the cause, and nothing is stored."""
    token = "made-up-token" if push is None else issue(forge, push=push)
    body = {"gitUrl": forge.url_of(repository), "token": token, "id": "w1"}

    answer = api.call("POST", json=body)

    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert api.call("GET", "/w1").status_code == 404
    assert token not in answer.text + api.audit_path.read_text()


def test_own_token_for_reading_needs_no_more(api, forge):
    """Read-only, a token that may read is enough."""
    body = {"gitUrl": forge.url_of("acme/app"), "token": issue(forge, push=False)}

    assert api.call("POST", json={**body, "readOnly": True}).status_code == 201


def test_replaced_token_is_tried_too(api, forge):
    """A new token for a workspace that is there has to work as well; the mask of the old one
    changes nothing and asks nobody."""
    url = forge.url_of("acme/app")
    api.call("POST", json={"gitUrl": url, "token": issue(forge), "id": "w1"})
    asked = len(forge.requests)

    same = api.call("PATCH", "/w1", json={"token": "********"})
    assert (same.status_code, same.json()["works"]) == (200, [])
    assert len(forge.requests) == asked
    bad = api.call("PATCH", "/w1", json={"token": "made-up-token"})
    good = api.call("PATCH", "/w1", json={"token": issue(forge)})
    assert (bad.status_code, bad.json()["code"]) == (422, "FORGE_TOKEN_REJECTED")
    assert (good.status_code, good.json()["works"][0]["verified"]) == (200, True)


def test_broker_connects_to_no_address_that_only_a_url_names(tmp_path, forge):
    """A git URL from outside does not make the broker ask a host that nobody has configured."""
    serving = AdminApi(tmp_path, new_key(), ADMIN)
    before = len(forge.requests)
    try:
        body = {"gitUrl": forge.url_of("acme/app"), "token": "made-up-token"}
        answer = serving.call("POST", json=body)
    finally:
        serving.close()

    assert answer.status_code == 201
    assert answer.json()["works"][0]["verified"] is False
    assert len(forge.requests) == before


def test_two_forges_at_one_host_are_refused(api):
    """git names the host alone, so one workspace has one forge there."""
    grants = [
        {"host": "h.example", "url": f"https://h.example/{root}", "repositories": ["a/b"],
         "token": "user-token"}
        for root in ("one", "two")
    ]  # fmt: skip
    answer = api.call("POST", json={"grants": grants})

    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_GRANT")


def test_change_that_fails_after_its_event_has_a_second_one(api, forge, tmp_path):
    """What the store refuses at the last moment is on record as allowed and then as failed, under
    one request id: never a change without an event, nor a success that was none."""
    body = {"gitUrl": forge.url_of("acme/app"), "token": issue(forge), "id": "w1"}
    api.call("POST", json=body)
    with sqlite3.connect(tmp_path / "broker.db") as database:
        database.execute(
            "CREATE TRIGGER full BEFORE UPDATE ON workspaces"
            " BEGIN SELECT RAISE(ABORT, 'no room'); END"
        )
    database.close()

    answer = api.call("POST", "/w1/rotate")
    first, second = api.events()[-2:]

    assert (answer.status_code, answer.json()["code"]) == (503, "STORE_UNAVAILABLE")
    assert first["request_id"] == second["request_id"]
    assert [(e["action"], e["verdict"]) for e in (first, second)] == [
        ("rotate", "allowed"), ("rotate", "failed"),
    ]  # fmt: skip
    assert len(api.call("GET", "/w1").json()["secrets"]) == 1
