"""The admin API towards those who have no business there, and behind a proxy."""

import pytest

from git_credential_relay.broker.store.cipher import new_key
from tests.fakes.admin_api import CONFIG, AdminApi

KEY = new_key()
URL = {"gitUrl": "https://github.com/acme/app.git"}


@pytest.fixture
def api(tmp_path):
    serving = AdminApi(tmp_path, KEY)
    yield serving
    serving.close()


def test_a_method_that_does_nothing_is_on_record(api):
    """A request without an action leaves its event as well."""
    answer = api.call("PUT", "/w1")

    assert (answer.status_code, answer.json()["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert api.events()[-1]["code"] == "METHOD_NOT_ALLOWED"


def test_the_admins_secret_is_not_guessed_at_line_speed(api):
    """After some wrong ones the right one waits as well, so that trying finds out nothing."""
    wrong = {"Authorization": "Bearer wrong-secret-of-the-admin"}
    codes = [api.call("GET", headers=wrong).status_code for _ in range(40)]
    right = api.call("GET")

    assert (codes[0], codes[-1], right.status_code) == (401, 429, 429)
    assert int(right.headers["retry-after"]) >= 1
    assert api.events()[-1]["verdict"] == "denied"


def test_behind_a_proxy_with_tls_no_relay_is_sent_to_plain_http(tmp_path):
    """The proxy's scheme is in the relay's settings, or secrets leave in the clear."""
    serving = AdminApi(tmp_path, KEY, 'trusted_proxies = ["127.0.0.0/8"]\n' + CONFIG)
    headers = {"X-Forwarded-Proto": "https", "Host": "broker.example.com"}
    try:
        made = serving.call("POST", json={**URL, "id": "w1"}, headers=headers).json()
    finally:
        serving.close()

    assert made["relayEnv"] == {
        "CLOUD_API_URL": "https://broker.example.com",
        "WORKSPACE_ID": "w1",
    }
