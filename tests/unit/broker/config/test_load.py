"""broker.toml is taken as it is meant, or refused with the line of the mistake."""

from __future__ import annotations

import hashlib

import pytest

from git_credential_relay.broker.config.load import load_config, parse_config, split_listen
from git_credential_relay.broker.policy import Allowed
from git_credential_relay.errors import ConfigError

TEXT = """\
database = "sqlite:///broker.db"
audit_file = "audit.ndjson"
[[forge]]
kind = "github"
host = "github.com"
app_id = "12345"
private_key_file = "app.pem"
[[forge]]
kind = "gitlab"
url = "https://git.example:8443/gitlab"
token_file = "gitlab.token"
[[workspace]]
id = "w1"
secret_file = "w1.secret"
[[workspace.grant]]
host = "github.com"
repositories = ["acme/app", "acme/lib-*"]
permissions = { contents = "write", pull_requests = "write" }
[[workspace.grant]]
host = "git.example:8443"
repositories = ["group/sub/app"]
"""


@pytest.fixture
def path(tmp_path):
    (tmp_path / "w1.secret").write_text("a secret of the workspace\n")
    return tmp_path / "broker.toml"


def refusal(path, text):
    with pytest.raises(ConfigError) as caught:
        parse_config(path, text)
    return caught.value.message


def test_the_issues_shape_is_understood(path):
    """Forges, workspaces, grants and hashed secrets come out as written, with their defaults."""
    path.write_text(TEXT)

    config = load_config(path)

    assert [(e.name, e.forge.url, e.api_url) for e in config.forges] == [
        ("github:github.com", "https://github.com", "https://api.github.com"),
        (
            "gitlab:git.example:8443",
            "https://git.example:8443/gitlab",
            "https://git.example:8443/gitlab/api/v4",
        ),
    ]
    workspace = config.workspaces["w1"]
    assert [s.sha256 for s in workspace.secrets] == [
        hashlib.sha256(b"a secret of the workspace").digest()
    ]
    assert isinstance(workspace.policy.decide("github.com", "acme/lib-x", "git"), Allowed)
    assert isinstance(workspace.policy.decide("git.example:8443", "group/sub/app", "git"), Allowed)
    assert config.model.listen == "127.0.0.1:8750"


@pytest.mark.parametrize(
    ("host", "api"),
    [
        ("github.com", "https://api.github.com"),
        ("acme.ghe.com", "https://api.acme.ghe.com"),
        ("ghes.example", "https://ghes.example/api/v3"),
        ("127.0.0.1:4000", "http://127.0.0.1:4000/api/v3"),
    ],
)
def test_the_api_of_a_github_host_is_known(path, host, api):
    """github.com, data residency and Enterprise servers have their APIs at three kinds of place."""
    config = parse_config(path, TEXT.replace('"github.com"', f'"{host}"'))

    assert config.forges[0].api_url == api


@pytest.mark.parametrize(
    ("old", "new", "line", "cause"),
    [
        ('app_id = "12345"', 'app_idd = "12345"', 6, "app_idd"),
        ('kind = "github"', 'kind = "gitea"', 4, "gitea"),
        ('id = "w1"', "id = 5", 13, "Expected `str`"),
        ("[[forge]]", "[[forge]", 3, "at line 3"),
        ('"acme/app"', '"*/app"', 15, "not a repository"),
        ('host = "github.com"\nrepo', 'host = "gitx.com"\nrepo', 15, "no forge serves gitx.com"),
        ('secret_file = "w1.secret"', 'secret_file = "absent"', 12, "cannot read"),
        ('secret_file = "w1.secret"\n', "", 12, "nobody can speak for"),
        ('secret_file = "w1.secret"', 'secret_sha256 = "abc"', 12, "not the hex of a SHA-256"),
        ('pull_requests = "write"', 'pull_requests = "rwite"', 15, "not a permission"),
        ('token_file = "gitlab.token"\n', "", 8, "either token_file or oauth"),
        ("https://git.example", "http://git.example", 8, "is http"),
        ('audit_file = "audit.ndjson"', 'listen = "8750"', 2, "not an address"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_cause(path, old, new, line, cause):
    """The message leads to the place: the key where it is known, else its table."""
    assert old in TEXT

    message = refusal(path, TEXT.replace(old, new, 1))

    assert message.startswith(f"{path}:{line}: ")
    assert cause in message


def test_a_misplaced_key_at_the_top_is_refused(path):
    """An unknown key at the top is no option that silently does nothing."""
    assert "audit_fiel" in refusal(path, TEXT.replace("audit_file", "audit_fiel"))


def test_two_workspaces_of_one_name_are_refused(path):
    """The second of two equal ids would be ignored, so neither is taken."""
    again = '[[workspace]]\nid = "w1"\nsecret_file = "w1.secret"\n'

    assert "two workspaces w1" in refusal(path, TEXT + again)


def test_two_forges_at_one_host_must_be_the_same(path):
    """git names a host and no path, so one host cannot be two forges; two Apps need two names."""
    other = '[[forge]]\nkind = "gitlab"\nurl = "https://git.example:8443/other"\ntoken_file = "t"\n'
    named = other.replace("/other", "/gitlab") + 'name = "second"\n'

    assert "two forges" in refusal(path, TEXT + other)
    assert "two different forges" in refusal(path, TEXT + other + 'name = "second"\n')
    assert parse_config(path, TEXT + named).forges[2].name == "second"


def test_a_secret_that_can_be_guessed_is_refused(path):
    """A short secret is refused: its hash could be tried out."""
    (path.parent / "w1.secret").write_text("short")

    assert "shorter than" in refusal(path, TEXT)


def test_no_secret_is_in_a_message_or_a_repr(path):
    """Neither a configuration nor its mistakes show the secrets of the files they name."""
    config = parse_config(path, TEXT)

    assert "a secret of the workspace" not in repr(config)
    assert hashlib.sha256(b"a secret of the workspace").hexdigest() not in repr(config.workspaces)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:8750", ("127.0.0.1", 8750)),
        ("[::1]:0", ("::1", 0)),
        ("0.0.0.0:1", ("0.0.0.0", 1)),
    ],
)
def test_addresses_to_listen_at(text, expected):
    """Address and port are split at the last colon, brackets and all."""
    assert split_listen(text) == expected
