"""Which paths may be a sidecar's socket, and gh's settings that lead there."""

import pytest
import yaml

from git_credential_relay.errors import ConfigError
from git_credential_relay.settings import DEFAULT_SOCKET
from git_credential_relay.wiring.sidecar import (
    PLACEHOLDER,
    checked,
    gh_config_yml,
    gh_hosts_yml,
)


@pytest.mark.parametrize("path", [DEFAULT_SOCKET, "/run/my relay/git.sock", "/" + "x" * 106])
def test_a_socket_is_an_absolute_path(path):
    """Of up to 107 bytes, which is what a socket's address holds."""
    assert checked(path, "--socket") == path


@pytest.mark.parametrize(
    "path",
    [
        *("", "git.sock", "./git.sock", "~/git.sock", "/" + "x" * 107, "/run/", "/", "/run/x "),
        *("/run/a'b", '/run/a"b', "/run/a\\b", "/run/`id`", "/run/$HOME", "/run/a\nb", "/run/\xe4"),
        *("/run/a#b", "/run/a\0b"),
    ],
)
def test_anything_that_two_readers_could_read_differently_is_refused(path):
    """Git's shell, YAML and relay.env all have to find the same socket."""
    with pytest.raises(ConfigError, match="--socket must ") as caught:
        checked(path, "--socket")

    assert caught.value.code == "usage"


def test_gh_is_led_to_the_socket():
    """The path is what gh's YAML parser reads, whatever stands in it; the version is a string."""
    read = yaml.safe_load(gh_config_yml("/run/my relay: {x}/gh.sock"))

    assert read == {"version": "1", "http_unix_socket": "/run/my relay: {x}/gh.sock"}


def test_gh_knows_each_host_and_no_token():
    """Old and new ones of gh find a placeholder for every host."""
    read = yaml.safe_load(gh_hosts_yml(["github.com", "ghe.example:8443"]))

    assert list(read) == ["github.com", "ghe.example:8443"]
    for host in read.values():
        assert host["oauth_token"] == PLACEHOLDER
        assert host["users"][host["user"]]["oauth_token"] == PLACEHOLDER
