"""What is in an address, and how it is shown without."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.doctor.addresses import secrets_in, shown, ssh_place, without_user
from git_credential_relay.doctor.checks.authorization import names_host

OLD_TOKEN = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("https://x:hunter2@github.com/a/b", ["hunter2"]),
        ("https://x:hunter%32@github.com/a/b", ["hunter%32", "hunter2"]),
        ("http://:hunter2@host/a", ["hunter2"]),
        ("https://x:p@ss@github.com/a/b", ["p@ss"]),
        ("https://ghp_abc@github.com/a/b", ["ghp_abc"]),
        (f"https://{OLD_TOKEN}@github.com/a/b", [OLD_TOKEN]),
        (f"https://{OLD_TOKEN}:x-oauth-basic@github.com/a", ["x-oauth-basic", OLD_TOKEN]),
        ("https://bob@github.com/a/b", []),
        ("https://bob:@github.com/a/b", []),
        ("https://github.com/a@b:c/d", []),
        ("https://github.com/a/b", []),
        ("ssh://git:x@github.com/a/b", []),
        ("git@github.com:a/b", []),
        ("/a/path@with:colon", []),
        ("", []),
    ],
)
def test_what_counts_as_a_secret(url, secrets):
    """Passwords, and user names that are tokens; not users, and not ssh's."""
    assert [secret.reveal() for secret in secrets_in(url)] == secrets


@given(
    st.from_regex(r"[A-Za-z0-9._~%!$&'()*+,;=-]{1,20}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9._~%!$&'()*+,;=:@-]{8,40}", fullmatch=True),
)
def test_nothing_of_a_password_is_shown(user, password):
    """Whatever characters a password is made of, the address is shown without it."""
    url = f"https://{user}:{password}@git.example/a/b.git"

    assert secrets_in(url)
    assert shown(url) == without_user(url) == "https://git.example/a/b.git"


def test_queries_are_not_shown():
    """A token may stand there as well."""
    assert shown("https://git.example/a/b?private_token=x#y") == "https://git.example/a/b"


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("git@github.com:a/b.git", ("github.com", "a/b.git")),
        ("GitHub.com:a/b", ("github.com", "a/b")),
        ("ssh://git@github.com:22/a/b", ("github.com", "a/b")),
        ("git+ssh://git@github.com/a/b", ("github.com", "a/b")),
        ("https://github.com/a/b", None),
        ("/srv/git/a:b", None),
        ("./a:b", None),
        ("file:///srv/a", None),
        ("gh::https://x", None),
    ],
)
def test_addresses_of_ssh(url, place):
    """Both forms are told from paths and from other schemes."""
    assert ssh_place(url) == place


@pytest.mark.parametrize(
    ("text", "is_named"),
    [
        ("machine github.com login x password y", True),
        ("machine GitHub.com\n\tlogin x\n\tpassword y\n", True),
        ("default login x password y", True),
        ("machine example.com login github.com password machine", False),
        ("machine a login machine password github.com", False),
        ("machine", False),
        ("", False),
    ],
)
def test_entries_of_a_netrc(text, is_named):
    """Only a machine's name names it: not a login or a password that reads like one."""
    assert names_host(text, "github.com") == is_named
