"""What git's configuration is made to say."""

import pytest

from git_credential_relay.errors import ConfigError
from git_credential_relay.wiring.entries import (
    helper_entries,
    identity_entries,
    origins,
    rewrite_entries,
)
from tests.fakes.configs import CODEBERG, GITHUB_COM, GITLAB_OWN

HELPER = "/usr/local/bin/git-credential-relay"


def test_each_host_gets_a_reset_then_us_and_the_path():
    """Nobody inherited is asked for our hosts, and git says which repository it means."""
    entries = helper_entries([GITHUB_COM], HELPER)

    assert entries == [
        ("credential.helper", HELPER),
        ("credential.https://github.com.helper", ""),
        ("credential.https://github.com.helper", HELPER),
        ("credential.https://github.com.useHttpPath", "true"),
        ("http.maxRetries", "1"),
    ]


def test_helper_with_a_space_is_one_word_to_the_shell():
    """Git hands the helper to a shell; only a value that begins with / is a path to git."""
    assert helper_entries([], "/opt/my tools/relay's")[0][1] == "/opt/my\\ tools/relay\\'s"


def test_with_a_sidecar_gits_own_client_comes_first():
    """For every host the sidecar is asked, and then the helper that says why it had nothing."""
    entries = helper_entries([GITHUB_COM], HELPER, "/run/my relay/git.sock")
    asked = r"cache --socket=/run/my\ relay/git.sock"

    assert entries == [
        ("credential.helper", asked),
        ("credential.helper", HELPER),
        ("credential.https://github.com.helper", ""),
        ("credential.https://github.com.helper", asked),
        ("credential.https://github.com.helper", HELPER),
        ("credential.https://github.com.useHttpPath", "true"),
        ("http.maxRetries", "1"),
    ]


def test_two_forges_on_one_host_are_one_section():
    """Git compares hosts; which forge a path belongs to is the helper's to find out."""
    assert origins([GITLAB_OWN, GITLAB_OWN, CODEBERG]) == [
        "https://git.example:8443",
        "https://codeberg.org",
    ]


def test_ssh_addresses_lead_to_the_forge_with_its_port_and_path():
    """Both spellings of an ssh address are turned into the https one; ssh has its own port."""
    assert rewrite_entries([GITLAB_OWN]) == [
        ("url.https://git.example:8443/gitlab/.insteadOf", "git@git.example:"),
        ("url.https://git.example:8443/gitlab/.insteadOf", "ssh://git@git.example/"),
    ]


@pytest.mark.parametrize("text", ["Ada <ada@example.com>", "  Ada   <ada@example.com> "])
def test_identity_is_a_name_and_an_address(text):
    """The usual form is taken apart."""
    assert identity_entries(text) == [("user.name", "Ada"), ("user.email", "ada@example.com")]


@pytest.mark.parametrize("text", ["Ada", "<a@b>", "Ada <ada>", "Ada <a@b> x", "A\n[x] <a@b>", ""])
def test_anything_else_is_no_identity(text):
    """Half an identity, or one with a line break, is refused."""
    with pytest.raises(ConfigError, match="not a name and an address"):
        identity_entries(text)
