"""`broker audit`: events as lines for people, or as they are."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode

import pytest

from git_credential_relay.main import main

DIGEST = hashlib.sha256(b"ghs_token").digest()
HASH = b64encode(DIGEST).decode()
EVENTS = [
    {
        "at": 1_800_000_000.5, "request_id": "r1", "verdict": "vended", "code": None,
        "workspace": "w1", "caller": "secret:w1", "address": "192.0.2.1", "host": "github.com",
        "repositories": ["acme/app"], "use": "git", "source": "github:github.com",
        "cache": "hit", "token_sha256": HASH,
    },
    {"at": 1_800_000_001, "request_id": "r2", "unverified_workspace": "w2\u001b[2J"},
    {"at": 1_800_000_002, "request_id": "r3", "kind": "admin", "action": "create",
     "verdict": "denied", "code": "ADMIN_UNKNOWN"},
]  # fmt: skip


@pytest.fixture
def config(tmp_path):
    """The arguments that name a configuration whose audit log has three events."""
    (tmp_path / "broker.toml").write_text('audit_file = "log.ndjson"\n')
    lines = "".join(json.dumps(event) + "\n" for event in EVENTS)
    (tmp_path / "log.ndjson").write_text(lines)
    return ["--config", str(tmp_path / "broker.toml")]


@pytest.mark.parametrize("form", [HASH, DIGEST.hex()])
def test_who_used_a_token(capsys, config, form):
    """The events of that token alone, by either form of its hash."""
    assert main(["broker", "audit", "who-used", form, *config]) == 0
    out, err = capsys.readouterr()

    assert (out, err) == (
        "2027-01-15T08:00:00Z vend vended w1 caller=secret:w1 address=192.0.2.1 github.com"
        " acme/app use=git source=github:github.com cache=hit"
        f" token_sha256={HASH} request_id=r1\n",
        "",
    )


def test_a_token_that_nobody_got(capsys, config):
    """Exit code 1, said on stderr."""
    assert main(["broker", "audit", "who-used", "0" * 64, *config]) == 1

    assert capsys.readouterr() == ("", "the audit log has nothing of this token\n")


def test_the_last_events(capsys, config):
    """Oldest first, defaults spelled out, and nothing that steers a terminal."""
    assert main(["broker", "audit", "tail", "-n", "2", *config]) == 0

    assert capsys.readouterr().out.splitlines() == [
        "2027-01-15T08:00:01Z vend failed code=INTERNAL unverified_workspace=w2 [2J request_id=r2",
        "2027-01-15T08:00:02Z admin denied code=ADMIN_UNKNOWN action=create request_id=r3",
    ]


def test_events_as_they_are(capsys, config):
    """With --format json each line is the event."""
    assert main(["broker", "audit", "tail", "--format", "json", *config]) == 0

    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == EVENTS


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [(["who-used", "nonsense"], "SHA-256"), (["tail", "-n", "-1"], "-n")],
)
def test_a_wrong_argument_is_said(capsys, config, arguments, cause):
    """One line, exit code 2."""
    assert main(["broker", "audit", *arguments, *config]) == 2
    err = capsys.readouterr().err

    assert err.count("\n") == 1
    assert cause in err


def test_no_log_yet(capsys, tmp_path):
    """A broker that never ran has no log, and that is said."""
    (tmp_path / "broker.toml").write_text("")

    assert main(["broker", "audit", "tail", "--config", str(tmp_path / "broker.toml")]) == 2
    assert "there is no audit log" in capsys.readouterr().err
