"""No secret of the broker, and no token, is anywhere but where it has to be."""

from __future__ import annotations

import base64
import json
import subprocess

import pytest

from tests.fakes.broker import BrokerProcess
from tests.fakes.github_app import LOOKUPS, MINTS, GitHubAppWorld
from tests.fakes.program import EXECUTABLE

SECRETS = {
    "w1.secret": "canary-of-the-workspace-0123456789",
    "admin.secret": "canary-of-the-administrator-0123456789",
    "session.secret": "canary-of-the-sessions-0123456789",
    "static.token": "canary-of-a-token-made-by-hand-0123456789",
}
OWN_TOKEN = "canary-of-a-users-own-token-0123456789"
WRONG = "canary-of-a-wrong-secret-0123456789"
REST = """
[[forge]]
kind = "static"
host = "git.example"
token_file = "static.token"
[admin]
secret_file = "admin.secret"
[[workspace]]
id = "w1"
secret_file = "w1.secret"
session_hmac = true
[[workspace.grant]]
host = "{host}"
repositories = ["acme/*", "other/app"]
[[workspace.grant]]
host = "git.example"
repositories = ["acme/app"]
"""


@pytest.fixture
def world():
    with GitHubAppWorld() as found:
        yield found


@pytest.fixture
def directory(world, tmp_path):
    world.config()
    forge = (world.directory / "broker.toml").read_text()
    for name, text in SECRETS.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "app.pem").write_text(world.pem)
    top = 'session_secret_file = "session.secret"\n'
    (tmp_path / "broker.toml").write_text(top + forge + REST.format(host=world.forge.host))
    return tmp_path


def commands(directory, broker):
    """What each command that looks at this broker says, on both of its streams."""
    config = ["--config", str(directory / "broker.toml")]
    admin = [*config, "--url", broker.url]
    for arguments in (
        ["check", *config],
        ["check", *config, "--live", "--format", "json"],
        ["workspace", "list", *admin],
        ["workspace", "show", "own", *admin],
        ["workspace", "show", "own", "--format", "json", *admin],
        ["workspace", "delete", "own", *admin],
        ["audit", "tail", *config],
        ["audit", "who-used", "AAAA", *config],
        ["key", "rotate", *config],
    ):
        done = subprocess.run(
            [EXECUTABLE, "-v", "broker", *arguments], capture_output=True, check=False
        )
        yield done.stdout + done.stderr


def test_no_secret_and_no_token_is_told(world, directory):
    """Through vends, refusals, failures of the forge, admin calls and commands, none of the
    secrets and tokens is in an answer that is not its own, a log, the audit, the database or a
    command's output."""
    ask = {"host": world.forge.host, "path": "acme/app"}
    admin = {
        "Authorization": f"Bearer {SECRETS['admin.secret']}",
        "Content-Type": "application/json",
    }
    said: list[bytes] = []
    tokens: list[str] = []
    with BrokerProcess(directory, GIT_CREDENTIAL_DEBUG="1") as broker:
        tokens += [
            broker.ask("w1", SECRETS["w1.secret"], **fields).json["token"]
            for fields in (ask, {"host": "git.example", "path": "acme/app"})
        ]
        said += [broker.ask("w1", WRONG, **ask).body, broker.ask("w2", WRONG, **ask).body]
        for fault in ({"status": 500}, {"status": 401}, {"drops": "after"}, {"status": 422}):
            world.faults.inject("POST", MINTS, times=2, **fault)
            world.faults.inject("GET", LOOKUPS, times=1, **fault)
            answer = broker.ask("w1", SECRETS["w1.secret"], **{**ask, "path": "acme/lib"})
            if answer.status != 200:  # else trying again has helped, and the token is the caller's
                said.append(answer.body)
        own = {"host": "own.example", "repositories": ["acme/app"], "token": OWN_TOKEN}
        made = broker.request(
            "POST",
            "/api/workspaces",
            headers=admin,
            body=json.dumps({"id": "own", "grants": [own]}).encode(),
        )
        secret = made.json["secret"]
        said.append(json.dumps({k: v for k, v in made.json.items() if k != "secret"}).encode())
        said += [
            broker.request("GET", "/api/workspaces", headers=admin).body,
            broker.request("POST", "/api/workspaces", headers=admin, body=OWN_TOKEN.encode()).body,
            broker.request("GET", f"/{SECRETS['w1.secret']}").body,
        ]
        said += [
            broker.request("GET", path).body for path in ("/metrics", "/readyz", "/openapi.json")
        ]
        tokens.append(broker.ask("own", secret, host="own.example", path="acme/app").json["token"])
        said += commands(directory, broker)
        kept = {*SECRETS, "app.pem"}
        files = [file for file in directory.iterdir() if file.is_file() and file.name not in kept]
        said += [file.read_bytes() for file in files]
    said.append("\n".join(broker.lines).encode())

    issued = [token.token for token in world.forge.tokens.issued]
    key = world.pem.splitlines()[1]
    needles = [*SECRETS.values(), OWN_TOKEN, WRONG, secret, key, *tokens, *issued]
    assert made.status == 201
    assert tokens[2] == OWN_TOKEN
    everything = b"\n".join(said)
    assert b"w1" in everything
    for needle in needles:
        for form in (needle.encode(), base64.b64encode(needle.encode()).rstrip(b"=")[:-1]):
            assert form not in everything, needle
