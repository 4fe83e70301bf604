"""The fake GitLab's own rules, which the demo and the tests rely on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from git_credential_relay.demo.forge import ApiAnswer, ApiRequest, PlaygroundForge
from git_credential_relay.demo.gitlab import PlaygroundGitLab

NOW = 1_800_000_000.0


@pytest.fixture
def forge() -> Iterator[PlaygroundForge]:
    """A forge whose clock stands still."""
    with PlaygroundForge(lambda: NOW) as forge:
        yield forge


@pytest.fixture
def gitlab(forge: PlaygroundForge) -> PlaygroundGitLab:
    """A GitLab with one project."""
    gitlab = PlaygroundGitLab(forge, lambda: NOW)
    gitlab.create_project("acme/app")
    return gitlab


def call(gitlab: PlaygroundGitLab, method: str, path: str, token: str = "", **body) -> ApiAnswer:
    """What the API answers."""
    headers = {"authorization": f"Bearer {token}"}
    answer = gitlab(
        ApiRequest(method, path, "", headers, json.dumps(body).encode() if body else b"")
    )
    assert answer is not None
    return answer


def make(gitlab: PlaygroundGitLab, **fields) -> ApiAnswer:
    """An access token of the project."""
    body = {"name": "n", "scopes": ["api"], "access_level": 40, "expires_at": "2027-01-20"}
    path = "/api/v4/projects/101/access_tokens"
    return call(gitlab, "POST", path, gitlab.create_user_token(), **(body | fields))


def test_rotating_a_dead_token_ends_its_family(gitlab, forge):
    """The old token dies when it is rotated; rotating it again ends the new one as well."""
    old = make(gitlab).body
    path = f"/api/v4/projects/101/access_tokens/{old['id']}/rotate"
    new = call(gitlab, "POST", path, gitlab.create_user_token()).body
    assert forge.tokens.find_usable(old["token"]) is None
    assert forge.tokens.find_usable(new["token"]) is not None
    assert call(gitlab, "POST", path, gitlab.create_user_token()).status == 400
    assert forge.tokens.find_usable(new["token"]) is None


def test_a_refresh_ends_the_pair_it_was_made_from(gitlab, forge):
    """Old access token and old refresh token are dead at once; the loser gets invalid_grant."""
    access, refresh = gitlab.create_oauth_pair("id", "secret")
    form = {"grant_type": "refresh_token", "refresh_token": refresh, "client_id": "id"}
    body = urlencode(form | {"client_secret": "secret"}).encode()
    request = ApiRequest("POST", "/oauth/token", "", {}, body)
    first, second = gitlab(request), gitlab(request)
    assert forge.tokens.find_usable(access) is None
    assert forge.tokens.find_usable(first.body["access_token"]).username == "oauth2"
    assert (second.status, second.body["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize(
    "fields",
    [{"scopes": []}, {"scopes": ["admin"]}, {"access_level": 50}, {"expires_at": "2020-01-01"}],
)
def test_what_it_does_not_make(gitlab, fields):
    """Scopes, roles and dates it does not know are refused."""
    assert make(gitlab, **fields).status == 400


def test_project_tokens_make_no_tokens(gitlab):
    """Only a person's token makes others."""
    token = make(gitlab).body["token"]
    assert call(gitlab, "POST", "/api/v4/projects/101/access_tokens", token, a=1).status == 403


def test_tokens_of_a_demo_die_early(gitlab, forge):
    """With a lifetime given, a token dies before its date."""
    gitlab.lifetime_seconds = 8
    issued = forge.tokens.find(make(gitlab).body["token"])
    assert issued.expires_at == int(NOW) + 8
