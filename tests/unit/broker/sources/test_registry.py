"""Which source mints for a grant, and what becomes of sources when the configuration changes."""

from __future__ import annotations

import asyncio

import pytest

from git_credential_relay.broker.config.load import load_config
from git_credential_relay.broker.policy import Allowed
from git_credential_relay.broker.sources.hooks import SourceHooks
from git_credential_relay.broker.sources.interface import Repository, Scope
from git_credential_relay.broker.sources.registry import build_sources
from git_credential_relay.credential.forge import FORGEJO, GITHUB, STATIC, Forge
from git_credential_relay.errors import ConfigError
from git_credential_relay.secret import Secret
from tests.fakes.github_app import app_key

HUB = Forge(GITHUB, "https", "github.com")
CODE = Forge(FORGEJO, "https", "code.example", "git")
BUCKET = Forge(STATIC, "https", "bitbucket.org")

GITHUB_APPS = """
[[forge]]
kind = "github"
name = "everybody"
app_id = 1
private_key_file = "app.pem"

[[forge]]
kind = "github"
name = "acme"
app_id = 2
private_key_file = "app.pem"
owners = ["Acme", "tools"]
"""
BOT = """
[[forge]]
kind = "forgejo"
name = "bot"
url = "https://code.example/git"
user = "bot"
admin_token_file = "admin"
"""
LENT = """
[[forge]]
kind = "static"
host = "bitbucket.org"
token_file = "token"
owners = ["acme"]
"""


@pytest.fixture
def build(tmp_path):
    """Builds the sources of a configuration, or updates others to it; closes them all."""
    (tmp_path / "app.pem").write_text(app_key()[0])
    (tmp_path / "admin").write_text("a" * 40)
    (tmp_path / "token").write_text("token")
    made = []

    def build(text, known=None):
        path = tmp_path / "broker.toml"
        path.write_text(text)
        config = load_config(path)
        sources = known.updated(config) if known else build_sources(config, None, SourceHooks())
        made.append(sources)
        return sources

    yield build

    async def close():
        for sources in made:
            await sources.aclose()

    asyncio.run(close())


def name_of(source):
    return source and source.name


@pytest.mark.parametrize(
    ("forge", "owner", "integration", "name"),
    [
        (HUB, "acme", None, "acme"),
        (HUB, "ACME", None, "acme"),
        (HUB, "tools", None, "acme"),
        (HUB, "someone", None, "everybody"),
        (HUB, "acme", "everybody", "everybody"),
        (HUB, "acme", "acme", "acme"),
        (HUB, "someone", "acme", None),
        (HUB, "acme", "bot", None),  # another forge's
        (HUB, "acme", "none", None),
        (CODE, "acme", None, "bot"),
        (CODE, "acme", "acme", None),
        (BUCKET, "acme", None, "static:bitbucket.org"),
        (BUCKET, "other", None, None),
        (Forge(FORGEJO, "https", "code.example"), "acme", None, None),
        (Forge(FORGEJO, "http", "code.example", "git"), "acme", None, None),
        (Forge(FORGEJO, "https", "code.example:8443", "git"), "acme", None, None),
        (Forge(STATIC, "https", "code.example", "git"), "acme", None, None),
    ],
)
def test_the_source_for_a_grant(build, forge, owner, integration, name):
    """The one that is named and there, else the one for just this owner, else for everybody."""
    sources = build(GITHUB_APPS + BOT + LENT)

    assert name_of(sources.for_grant(forge, owner, integration)) == name


def test_of_equals_the_first(build):
    """Where several would do, the order of the file decides."""
    two = BOT + BOT.replace('"bot"', '"second"', 1)

    assert name_of(build(two).for_grant(CODE, "acme", None)) == "bot"


def test_sources_by_name(build):
    """Leases name their source; one that is not configured is not found."""
    sources = build(GITHUB_APPS + BOT)

    assert [source.name for source in sources.all()] == ["everybody", "acme", "bot"]
    assert name_of(sources.by_name("bot")) == "bot"
    assert sources.by_name("gone") is None


def allowed(*names, token=None):
    scope = Scope(tuple(Repository(name) for name in names), {"contents": "write"}, "git")
    return Allowed(HUB, scope, None, token, None)


def test_the_source_for_what_a_policy_allowed(build):
    """The grant's own token comes before any integration, and one source mints for all owners."""
    sources = build(GITHUB_APPS)

    assert name_of(sources.for_allowed(allowed("acme/app", "acme/lib"))) == "acme"
    assert sources.for_allowed(allowed("acme/app", "other/lib")) is None
    lent = sources.for_allowed(allowed("acme/app", token=Secret("own")))
    assert (lent.kind, lent.host) == (STATIC, "github.com")


def test_a_reload_keeps_what_has_not_changed(build):
    """A source whose settings are as before goes on, with its connections and what it knows."""
    before = build(GITHUB_APPS + BOT)
    after = build(BOT + GITHUB_APPS.replace("app_id = 1", "app_id = 3") + LENT, before)

    assert after.by_name("acme") is before.by_name("acme")
    assert after.by_name("bot") is before.by_name("bot")
    assert after.by_name("everybody") is not before.by_name("everybody")
    assert [source.name for source in after.all()] == [
        "bot",
        "everybody",
        "acme",
        "static:bitbucket.org",
    ]


@pytest.mark.parametrize("change", ['user = "bot2"', 'url = "https://code.example/other"'])
def test_a_reload_sees_each_setting(build, change):
    """Another user or address is another source."""
    key = change.split(" = ")[0]
    text = "\n".join(change if line.startswith(f"{key} =") else line for line in BOT.splitlines())

    before = build(BOT)

    assert build(text, before).by_name("bot") is not before.by_name("bot")


def test_a_reload_sees_a_new_key(build, tmp_path):
    """A key that was replaced in its file is read again."""
    before = build(BOT)
    (tmp_path / "admin").write_text("b" * 40)

    assert build(BOT, before).by_name("bot") is not before.by_name("bot")


def test_a_reload_that_fails_changes_nothing(build, tmp_path):
    """Where a key cannot be read the sources of before are still there."""
    before = build(GITHUB_APPS + BOT)
    (tmp_path / "app.pem").write_text("no key")

    with pytest.raises(ConfigError):
        build(GITHUB_APPS + BOT, before)
    assert [source.name for source in before.all()] == ["everybody", "acme", "bot"]


def test_what_a_reload_replaced_is_closed_alone(build):
    """Sources that go on are not closed with those that were replaced."""

    async def scenario():
        before = build(BOT + LENT)
        after = build(BOT + LENT.replace('"token"', '"admin"'), before)
        await before.aclose(kept_by=after)
        client = after.by_name("bot")._api._client._client
        is_open = not client.is_closed
        await after.aclose()
        return is_open, client.is_closed

    assert asyncio.run(scenario()) == (True, True)
