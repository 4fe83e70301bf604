"""Who may manage workspaces: by secret or identity, both rotated without a restart."""

import asyncio
import hashlib

import pytest

from git_credential_relay.broker.config.load import parse_config
from git_credential_relay.broker.errors import AdminUnknownError
from git_credential_relay.broker.identity.admin import AdminGate
from git_credential_relay.broker.identity.caller import Caller
from git_credential_relay.errors import ConfigError
from tests.fakes.issuer import AUDIENCE
from tests.unit.broker.identity.verifying import make_verifier, model

NOW = 1_800_000_000
HASHED = hashlib.sha256(b"hashed-secret").hexdigest()


def gate(directory, text, verifier=None):
    config = parse_config(directory / "broker.toml", text)
    return AdminGate(config, verifier or make_verifier(), lambda: NOW)


def identify(admin_gate, bearer):
    return asyncio.run(admin_gate.identify(bearer))


def refusal(admin_gate, bearer):
    with pytest.raises(AdminUnknownError) as caught:
        identify(admin_gate, bearer)
    error = caught.value
    assert (error.status, error.code) == (401, "INVALID_ADMIN_TOKEN")
    assert error.message == "the secret or identity token may not manage workspaces"
    return error.reason


def test_every_secret_of_the_configuration(tmp_path):
    """Several secrets are accepted while one of them is being rotated."""
    (tmp_path / "a.secret").write_text("first-secret\n")
    (tmp_path / "b.secret").write_text("second-secret")
    text = f'[admin]\nsecret_file = ["a.secret", "b.secret"]\nsecret_sha256 = "{HASHED}"'
    admin_gate = gate(tmp_path, text)

    for secret in ("first-secret", "second-secret", "hashed-secret"):
        assert identify(admin_gate, secret) == Caller("secret", "admin")
    assert refusal(admin_gate, "third-secret") == "the secret is none of [admin]"
    assert refusal(admin_gate, HASHED) == "the secret is none of [admin]"
    assert refusal(admin_gate, None) == "no bearer token was sent"


def test_a_changed_secret_file_counts_at_once(tmp_path):
    """The new secret works and the old one does not, without a restart."""
    file = tmp_path / "a.secret"
    file.write_text("first-secret")
    admin_gate = gate(tmp_path, '[admin]\nsecret_file = "a.secret"')
    file.write_text("another-secret")

    assert refusal(admin_gate, "first-secret")
    assert identify(admin_gate, "another-secret") == Caller("secret", "admin")


def test_a_secret_file_that_is_gone_lets_nobody_in(tmp_path):
    """A secret that was taken away ends, and comes back with its file."""
    file = tmp_path / "a.secret"
    file.write_text("first-secret")
    admin_gate = gate(tmp_path, '[admin]\nsecret_file = "a.secret"')
    file.unlink()

    assert "cannot read" in refusal(admin_gate, "first-secret")
    file.write_text("short")
    assert "shorter than 8 characters" in refusal(admin_gate, "short")
    file.write_text("first-secret")
    assert identify(admin_gate, "first-secret") == Caller("secret", "admin")


@pytest.mark.parametrize("bearer", [None, "", "anything"])
def test_without_admin_nobody_is_let_in(tmp_path, bearer):
    """A broker whose configuration names no administrator has none."""
    assert refusal(gate(tmp_path, ""), bearer) == "the configuration has no [admin]"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("[admin]", "lets nobody in"),
        ('[admin]\nsecret_file = "missing"', "cannot read"),
        ('[[admin.identity]]\nissuer = "https://a.example"\nsubject = "x"', "no [[issuer]]"),
    ],
)
def test_an_admin_that_cannot_work_stops_the_start(tmp_path, text, cause):
    """A mistake is found at the start, not when somebody needs to get in."""
    with pytest.raises(ConfigError) as caught:
        gate(tmp_path, text)

    assert cause in caught.value.message


def test_an_admin_workload(tmp_path, issuer):
    """A workload that a rule of [admin] means may manage workspaces, and no other."""
    text = (
        f'[[issuer]]\nurl = "{issuer.url}"\naudience = "{AUDIENCE}"\n'
        f'[[admin.identity]]\nissuer = "{issuer.url}"\nsubject = "platform"\n'
    )

    async def run(*tokens):
        verifier = make_verifier(model(issuer.url))
        admin_gate = gate(tmp_path, text, verifier)
        try:
            return [
                await asyncio.gather(admin_gate.identify(token), return_exceptions=True)
                for token in tokens
            ]
        finally:
            await verifier.aclose()

    [admitted], [other], [expired] = asyncio.run(
        run(
            issuer.token(sub="platform"), issuer.token(sub="x"), issuer.token(sub="platform", exp=1)
        )
    )

    assert admitted == Caller("identity", "platform", {"iss": issuer.url, "sub": "platform"})
    assert isinstance(other, AdminUnknownError)
    assert other.reason == f"no identity of [admin] means x of {issuer.url}"
    assert isinstance(expired, AdminUnknownError)
    assert expired.reason == "the identity token is refused: it has expired"
