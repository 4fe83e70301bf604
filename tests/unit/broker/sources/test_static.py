"""A token made by hand is lent for what it is for, and for nothing else."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.broker.config.load import load_config
from git_credential_relay.broker.errors import ForgeRefusedError, GrantMissingError
from git_credential_relay.broker.policy import Allowed
from git_credential_relay.broker.sources.hooks import SourceHooks
from git_credential_relay.broker.sources.interface import Lease, Repository, Scope
from git_credential_relay.broker.sources.static import StaticSource, lent_source, static_source
from git_credential_relay.credential.forge import GITHUB, GITLAB, STATIC, Forge
from git_credential_relay.errors import ConfigError
from git_credential_relay.secret import Secret, token_sha256

NOW = 1_800_000_000  # 2027-01-15T08:00:00Z
TOKEN = "ATCTT3xFfGN0-canary"
LEASE = Lease("l1", "w1", "static:bitbucket.org", NOW + 3600)
WRITE = {"contents": "write"}
LIST = 'repositories = ["acme/app", "Acme/Lib"]'
MAY_WRITE = f'{LIST}\npermissions = {{ contents = "write" }}'


def scope_of(*names: str, **permissions: str) -> Scope:
    return Scope(tuple(Repository(name) for name in names), permissions or WRITE, "git")


@pytest.fixture
def make(tmp_path):
    """Makes a source as the broker does."""

    def make(extra: str = LIST, token: str | None = f"{TOKEN}\n", now: float = NOW) -> StaticSource:
        if token is not None:
            (tmp_path / "token").write_text(token)
        path = tmp_path / "broker.toml"
        path.write_text(
            f'[[forge]]\nkind = "static"\nhost = "bitbucket.org"\ntoken_file = "token"\n{extra}\n'
        )
        config = load_config(path)
        return static_source(config.forges[0], config, None, SourceHooks(now=lambda: now))

    return make


def mint(source, scope=None):
    scope = scope or scope_of("acme/app")
    return asyncio.run(source.mint(source.narrow(scope), LEASE, time.monotonic() + 1))


def test_the_token_is_lent(make):
    """It comes as it is in the file, with the user name, and is not ours to revoke."""
    source = make(f'{LIST}\nusername = "x-token-auth"')

    minted = mint(source)

    assert minted.token == Secret(TOKEN)
    assert (minted.username, minted.is_ours, minted.expires_at) == ("x-token-auth", False, None)
    assert (minted.repositories, minted.permissions) == (("acme/app",), WRITE)
    assert (source.needs_lease_first, source.refreshes_ahead) == (False, False)


@pytest.mark.parametrize("name", ["acme/other", "acme/lib", "acme/app2", "acme", "ACME/app"])
def test_other_repositories_are_refused(make, name):
    """A repository that is not in the list, letter by letter, gets nothing."""
    for scope in (scope_of(name), scope_of("acme/app", name)):
        with pytest.raises(GrantMissingError) as caught:
            mint(make(), scope)

        assert caught.value.code == "REPOSITORY_NOT_GRANTED"


def test_without_a_list_the_policy_decides(make):
    """A source without a list lends for whatever a grant has let through."""
    assert mint(make(""), scope_of("acme/any")).repositories == ("acme/any",)


@pytest.mark.parametrize(
    "permissions",
    [
        {"contents": "read"},
        {"contents": "admin"},
        {"contents": "write", "issues": "read"},
        {"issues": "write"},
    ],
)
def test_other_permissions_are_refused(make, permissions):
    """What is more than the token may do would fail, and what is less would be exceeded."""
    with pytest.raises(GrantMissingError) as caught:
        mint(make(MAY_WRITE), scope_of("acme/app", **permissions))

    assert caught.value.code == "PERMISSION_NOT_GRANTED"
    assert caught.value.hint


def test_without_permissions_the_grant_decides_but_for_reading(make):
    """A token nobody has described is lent as granted, but never as one that can only read."""
    source = make()

    for permissions in (WRITE, {"contents": "write", "issues": "read"}):
        assert mint(source, scope_of("acme/app", **permissions)).permissions == permissions
    for permissions in ({"contents": "read"}, {"contents": "read", "metadata": "read"}):
        with pytest.raises(GrantMissingError) as caught:
            mint(source, scope_of("acme/app", **permissions))
        assert caught.value.code == "PERMISSION_NOT_GRANTED"


def test_a_read_only_token(make):
    """A token for reading is lent for reading; metadata comes by itself."""
    source = make(f'{LIST}\npermissions = {{ contents = "read" }}')

    assert mint(source, scope_of("acme/app", contents="read", metadata="read"))
    with pytest.raises(GrantMissingError):
        mint(source, scope_of("acme/app", contents="write"))


@given(
    st.dictionaries(
        st.sampled_from(["contents", "issues", "metadata"]),
        st.sampled_from(["read", "write", "admin"]),
    ),
    st.dictionaries(
        st.sampled_from(["contents", "issues", "metadata"]),
        st.sampled_from(["read", "write", "admin"]),
    ),
)
def test_a_grant_is_never_exceeded(configured, asked):
    """Whoever gets the token has been granted everything it may do."""
    source = StaticSource(
        "s",
        "h",
        lambda: Secret(TOKEN),
        username="u",
        repositories=None,
        permissions=configured,
        expires_at=None,
        now=lambda: NOW,
    )
    try:
        narrow = source.narrow(scope_of("acme/app", **asked) if asked else scope_of("acme/app"))
    except GrantMissingError:
        return

    for name, level in configured.items():
        assert narrow.permissions.get(name) == level or (name, level) == ("metadata", "read")
    assert source.narrow(narrow) == narrow


def test_both_uses_share_the_token(make):
    """git and the API get the same token, so one answer serves both."""
    source = make()
    scopes = {use: replace(scope_of("acme/app"), use=use) for use in ("git", "api")}

    assert source.narrow(scopes["git"]) == source.narrow(scopes["api"])


def test_a_new_token_in_the_file_is_used_at_once(make, tmp_path):
    """Rotating a token is writing the file."""
    source = make()
    mint(source)
    (tmp_path / "token").write_text("another-token")

    assert mint(source).token == Secret("another-token")


@pytest.mark.parametrize("content", ["two words", "tok\x7fen", "tökèn", "t" * 8193, "a\nb"])
def test_what_is_no_token_is_not_lent(make, tmp_path, content):
    """Something else in the file is refused without showing it."""
    source = make()
    (tmp_path / "token").write_text(content)

    with pytest.raises(ForgeRefusedError) as caught:
        mint(source)

    assert caught.value.code == "FORGE_TOKEN_UNREADABLE"
    assert content not in f"{caught.value!r} {caught.value.hint} {caught.value.reason}"


def test_a_file_that_is_gone(make, tmp_path):
    """At the start it is a mistake in the configuration, later a refusal without the path."""
    source = make()
    (tmp_path / "token").unlink()

    with pytest.raises(ForgeRefusedError) as caught:
        mint(source)

    assert caught.value.code == "FORGE_TOKEN_UNREADABLE"
    assert str(tmp_path) not in f"{caught.value} {caught.value.hint}"
    with pytest.raises(ConfigError):
        make(token=None)


def test_the_end_of_a_token(make):
    """Until expires_at it is lent with that end, from then on it is refused."""
    end = f'{LIST}\nexpires_at = "2027-01-15T10:00:00+01:00"'

    assert mint(make(end, now=NOW + 3599)).expires_at == NOW + 3600
    assert make(end, now=NOW).lease_seconds(NOW) == 3600
    with pytest.raises(ForgeRefusedError) as caught:
        mint(make(end, now=NOW + 3600))
    assert caught.value.code == "FORGE_TOKEN_EXPIRED"


@pytest.mark.parametrize("text", ["2027-01-15", "2027-01-15T09:00:00", "tomorrow", "1800000000"])
def test_an_end_must_be_clear(make, text):
    """A time without its zone, or no time at all, is a mistake in the configuration."""
    with pytest.raises(ConfigError) as caught:
        make(f'expires_at = "{text}"')

    assert "expires_at" in caught.value.message


def test_a_token_that_the_forge_refuses(make, tmp_path):
    """Who reports it is told, once; a good token is not lost to the others by a report."""
    source = make()
    asyncio.run(source.reject(token_sha256(Secret(TOKEN))))

    with pytest.raises(ForgeRefusedError) as caught:
        mint(source)

    assert caught.value.code == "FORGE_TOKEN_REJECTED"
    assert mint(source).token == Secret(TOKEN)

    asyncio.run(source.reject(token_sha256(Secret(TOKEN))))
    (tmp_path / "token").write_text("another-token")
    assert mint(source).token == Secret("another-token")


def test_verifying_says_what_is_configured(make):
    """Nothing can be asked, so the configuration answers, and refuses what it does not have."""
    source = make()

    verified = asyncio.run(source.verify("acme/app", WRITE))
    assert (verified.repository, verified.permissions) == (Repository("acme/app"), WRITE)
    for name, permissions in (("acme/no", WRITE), ("acme/app", {"contents": "read"})):
        with pytest.raises(ForgeRefusedError) as caught:
            asyncio.run(source.verify(name, permissions))
        assert caught.value.hint


def test_a_workspaces_own_token():
    """A grant's token is lent for the repository of the request, with the grant's permissions."""
    forge = Forge(STATIC, "https", "bitbucket.org")
    allowed = Allowed(forge, scope_of("acme/app", contents="read"), None, Secret(TOKEN), "me")
    source = lent_source(allowed, SourceHooks())

    minted = mint(source, allowed.scope)

    assert (minted.token, minted.username, minted.is_ours) == (Secret(TOKEN), "me", False)
    assert (source.host, minted.permissions) == ("bitbucket.org", {"contents": "read"})
    with pytest.raises(GrantMissingError):
        source.narrow(scope_of("acme/other", contents="read"))
    assert TOKEN not in f"{source!r} {source}"


@pytest.mark.parametrize(
    ("kind", "username"),
    [(GITHUB, "x-access-token"), (GITLAB, "oauth2"), (STATIC, "x-access-token")],
)
def test_the_user_name_of_a_workspaces_own_token(kind, username):
    """Without a user name of its own the token gets the one its kind of forge wants."""
    allowed = Allowed(Forge(kind, "https", "h.example"), scope_of("a/b"), None, Secret(TOKEN), None)

    assert mint(lent_source(allowed, SourceHooks()), allowed.scope).username == username


def test_no_own_token_no_source():
    """Without a token there is nothing to lend."""
    allowed = Allowed(Forge(STATIC, "https", "h.example"), scope_of("a/b"), None, None, None)

    with pytest.raises(ValueError, match="no token"):
        lent_source(allowed, SourceHooks())
