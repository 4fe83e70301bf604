"""`status`: what the sidecar tells about its workspaces, for people and for programs."""

from __future__ import annotations

import json
import time
from typing import Any

from git_credential_relay.credential.forge import Target
from git_credential_relay.errors import DeniedError, TransportError
from git_credential_relay.relay.cache_socket.message import Message
from git_credential_relay.relay.sidecar.record import answered, failed
from git_credential_relay.relay.sidecar.status import status
from git_credential_relay.relay.sidecar.workspace import ServedWorkspace
from git_credential_relay.secret import Secret, token_sha256
from git_credential_relay.trace import Trace
from tests.fakes.configs import GITHUB_COM, WORKSPACE_SECRET, api_config, make_config
from tests.fakes.credentials import credential
from tests.fakes.fake_clock import START, FakeClock

APP = Target(GITHUB_COM, "acme/app")
API = Target(GITHUB_COM, None, "api")
NOW = START + 60
TOKEN = "ghs_c4n4ryc4n4ryc4n4ry"
AWAY = TransportError("cannot connect", code="connect-failed", hint="look at it")


def workspace(name: str = "default", config=None) -> ServedWorkspace:
    """A workspace with nothing on record."""
    return ServedWorkspace(name, config or api_config(), FakeClock().clock, Trace())


def lines(*served: ServedWorkspace, now: float = NOW) -> list[str]:
    """The status for people."""
    return status(served, Message("get", [("relay", "status")]), now).decode().splitlines()


def facts(*served: ServedWorkspace, now: float = NOW) -> Any:
    """The status for programs."""
    message = Message("get", [("relay", "status"), ("format", "json")])
    answer = status(served, message, now)
    assert answer.endswith(b"\n")
    assert answer.count(b"\n") == 1
    return json.loads(answer)


def test_a_sidecar_that_nobody_has_asked():
    """The workspace, its API, and that nothing was asked."""
    assert lines(workspace()) == [
        "workspace default: ws-1",
        "  API https://relay.example: not asked yet",
        "  nobody has asked for a token yet",
    ]
    [found] = facts(workspace())["workspaces"]
    assert found == {
        "name": "default",
        "workspace_id": "ws-1",
        "api": {
            "url": "https://relay.example",
            "state": "not asked yet",
            "answered_at": None,
            "failed_at": None,
            "trouble": None,
        },
        "keys": [],
        "more_keys": 0,
    }


def test_keys_in_use_are_told_with_their_life_and_hits():
    """Minutes left, hits of asks, the hash and never the token; the last one used comes first."""
    served = workspace()
    served.record.api_answered(NOW - 30)
    use = served.record.asked(APP, NOW - 30)
    answered(use, credential(TOKEN), NOW - 30)
    answered(served.record.asked(APP, NOW - 5), credential(TOKEN), NOW - 5, is_hit=True)
    answered(served.record.asked(API, NOW), credential(TOKEN, expires_at=None), NOW)

    assert lines(served) == [
        "workspace default: ws-1",
        "  API https://relay.example: answering (answered 30 s ago)",
        "  https://github.com (api): life unknown, 0 of 1 from memory",
        "  https://github.com/acme/app (git): 59 min left, 1 of 2 from memory",
    ]
    assert "  https://github.com/acme/app (git): expired" in lines(served, now=NOW + 7200)[3]
    told = facts(served)
    assert told["now"] == NOW
    first, second = told["workspaces"][0]["keys"]
    assert (first["minutes_left"], first["use"], first["repository"]) == (None, "api", None)
    assert second == {
        "forge": "https://github.com",
        "repository": "acme/app",
        "use": "git",
        "minutes_left": 59.0,
        "fetched_at": START,
        "expires_at": START + 3600,
        "token_sha256": token_sha256(Secret(TOKEN)),
        "source": "relay API",
        "asks": 2,
        "hits": 1,
        "used_at": NOW - 5,
        "is_troubled": False,
        "trouble": None,
    }


def test_trouble_is_told_where_it_is():
    """Of the API at the API, of a key at the key, each with its code and its lines."""
    served = workspace()
    served.record.api_failed(AWAY, NOW - 10)
    failed(served.record.asked(APP, NOW - 10), AWAY, NOW - 10)

    assert lines(served)[1:] == [
        "  API https://relay.example: failing (failed 10 s ago)",
        "    10 s ago: git-credential-relay: error: cannot connect [connect-failed] (hint: look at"
        " it; trying again may help)",
        "  https://github.com/acme/app (git): no token, 0 of 1 from memory",
        "    10 s ago: git-credential-relay: error: cannot connect [connect-failed] (hint: look at"
        " it; trying again may help)",
    ]
    [found] = facts(served)["workspaces"]
    assert (found["api"]["state"], found["api"]["failed_at"]) == ("failing", NOW - 10)
    assert found["api"]["trouble"]["code"] == "connect-failed"
    [key] = found["keys"]
    assert key["is_troubled"]
    assert key["trouble"]["at"] == NOW - 10
    assert key["trouble"]["lines"][0].startswith("git-credential-relay: error: cannot connect")


def test_an_api_that_refuses_is_answering():
    """A refusal is told, and is no failure of the API; a later token ends it."""
    served = workspace()
    served.record.api_failed(DeniedError("no"), NOW - 5)
    assert lines(served)[1] == "  API https://relay.example: answering (answered 5 s ago)"
    assert "no [denied]" in lines(served)[2]

    served.record.api_answered(NOW)
    assert not any("[denied]" in line for line in lines(served))


def test_what_is_not_configured_is_said_to_be():
    """A sidecar without an API says so instead of calling it away."""
    told = lines(workspace(config=make_config()))

    assert told[:2] == ["workspace default: no WORKSPACE_ID", "  API not set: not configured"]


def test_thousands_of_keys_are_counted_quickly():
    """What nobody reads is a number, and an answer never holds up those who wait for a token."""
    served = workspace()
    for number in range(16000):
        served.record.asked(Target(GITHUB_COM, f"acme/r{number}"), NOW)
    started = time.perf_counter()
    told, [found] = lines(served), facts(served)["workspaces"]

    assert time.perf_counter() - started < 1
    assert told[-1] == "  and 15000 more"
    assert (len(found["keys"]), found["more_keys"]) == (1000, 15000)
    assert found["keys"][0]["repository"] == "acme/r15999"


def test_no_secret_and_nothing_that_steers_a_terminal():
    """Names and an API's words come out printable, in JSON escaped; no token, no secret."""
    served = workspace("evil\x1b[2J\u202e")
    error = DeniedError(f"no\x1b]0;owned\x07 {TOKEN}", details="\x9b31m\u2028")
    failed(served.record.asked(APP, NOW), error, NOW)
    answered(served.record.asked(API, NOW), credential(TOKEN), NOW)
    text = "\n".join(lines(served))
    as_json = json.dumps(facts(served))

    assert all(c.isprintable() or c == "\n" for c in text)
    assert as_json.isascii()
    assert as_json.isprintable()
    for secret in (TOKEN, WORKSPACE_SECRET):
        assert secret not in text + as_json
