"""The App's key and its JWT."""

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from git_credential_relay.broker.sources.github_app.app_jwt import AppJwt, parse_private_key
from git_credential_relay.broker.sources.github_app.source import github_app_source
from git_credential_relay.broker.sources.hooks import SourceHooks
from git_credential_relay.errors import ConfigError
from git_credential_relay.secret import Secret
from tests.fakes.fake_clock import START, FakeClock
from tests.fakes.github_app import GitHubAppWorld, app_key


def signer(clock):
    """A signer that goes by this clock."""
    key = parse_private_key(Secret(app_key()[0]), "app.pem")
    return AppJwt(key, "12345", lambda: clock.now)


def claims(signed):
    """What a JWT says, once its signature has been checked."""
    return jwt.decode(
        signed,
        app_key()[1],
        algorithms=["RS256"],
        options={"verify_exp": False, "verify_iat": False},
    )


def test_the_jwt_stays_within_ten_minutes():
    """It is back-dated by a minute, leaves one to spare, and names the App as a text."""
    clock = FakeClock()

    assert claims(signer(clock).get()) == {
        "iat": START - 60,
        "exp": START + 540,
        "iss": "12345",
    }


def test_a_jwt_is_used_as_long_as_it_lasts():
    """Signed once, it is good until a minute before it expires."""
    clock = FakeClock()
    app_jwt = signer(clock)
    first = app_jwt.get()
    clock.advance(479)

    assert app_jwt.get() is first
    clock.advance(1)
    assert app_jwt.get() is not first


def test_a_clock_that_is_set_back_makes_a_new_one():
    """A JWT of a later time would be refused as too far in the future."""
    clock = FakeClock()
    app_jwt = signer(clock)
    app_jwt.get()
    clock.now -= 3600

    assert claims(app_jwt.get())["exp"] == START - 3600 + 540


def test_the_forges_clock_counts_once_it_is_known():
    """After a Date header all JWTs go by it."""
    clock = FakeClock()
    app_jwt = signer(clock)
    app_jwt.get()

    assert app_jwt.set_clock("Fri, 15 Jan 2027 09:00:00 GMT")
    assert claims(app_jwt.get())["iat"] == START + 3600 - 60
    assert app_jwt.forge_now() == START + 3600


@pytest.mark.parametrize("date", ["", "soon", "Fri, 99 Jan 2027 09:00:00 GMT"])
def test_a_date_that_is_none_changes_nothing(date):
    """Without a clock to go by nothing is signed anew."""
    app_jwt = signer(FakeClock())

    assert not app_jwt.set_clock(date)
    assert app_jwt.forge_now() == START


def test_a_key_may_stand_in_an_environment_variable():
    """There its lines are often written with a backslash and an n."""
    pem = app_key()[0].strip().replace("\n", "\\n")

    assert parse_private_key(Secret(pem), "env:KEY").key_size == 2048


def pem_of(key, password=None):
    """A private key as PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption(),
    ).decode()


@pytest.mark.parametrize(
    "pem",
    [
        lambda: "not a key",
        lambda: app_key()[0][:-200],
        lambda: pem_of(ec.generate_private_key(ec.SECP256R1())),
        lambda: pem_of(rsa.generate_private_key(65537, 1024)),  # noqa: S505 - is to be refused
        lambda: pem_of(ec.generate_private_key(ec.SECP256R1()), b"password"),
    ],
    ids=["text", "cut off", "elliptic", "short", "encrypted"],
)
def test_a_key_that_is_none_is_a_mistake_in_the_configuration(pem):
    """The broker does not start with it; the error names the file and shows nothing of it."""
    with GitHubAppWorld() as world:
        config = world.config(pem=pem())
        with pytest.raises(ConfigError) as caught:
            github_app_source(config.forges[0], config, None, SourceHooks())

        said = f"{caught.value} {caught.value.hint}"
        assert "app.pem" in said
        assert not any(line in said for line in pem().splitlines() if len(line) > 10)
