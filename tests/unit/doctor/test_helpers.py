"""Which helper of a list is us."""

from __future__ import annotations

import os

import pytest

from git_credential_relay.doctor.checks.helpers import check_helpers
from git_credential_relay.doctor.gitconfig import Entry
from git_credential_relay.doctor.helper_commands import (
    is_by_name,
    is_ours,
    own_program,
    sidecar_socket,
)
from git_credential_relay.doctor.urlmatch import parse_url

LAUNCHER = "/usr/local/bin/git-credential-relay"


@pytest.mark.parametrize(
    ("command", "path"),
    [
        (LAUNCHER, LAUNCHER),
        (f"/venv/bin/python -I {LAUNCHER}", LAUNCHER),
        (f"!{LAUNCHER} -v", LAUNCHER),
        ("/a\\ b/git-credential-relay", "/a b/git-credential-relay"),
        ("relay", None),
        ("git-credential-relay", None),
        ("cache --socket=/run/git-credential-relay/git.sock", None),
    ],
)
def test_we_know_ourselves(command, path):
    """By path, also behind an interpreter or with its spaces escaped; by name; by the socket."""
    assert is_ours(command)
    assert own_program(command) == path
    assert is_by_name(command) == (command in ("relay", "git-credential-relay"))


@pytest.mark.parametrize(
    "command",
    ["", None, "store", "cache", "cache --socket=/x", "/usr/bin/gh auth git-credential", "relay2",
     "/opt/git-credential-relay/other", "!'"],
)  # fmt: skip
def test_others_are_others(command):
    """A name that only resembles ours is somebody else's."""
    assert not is_ours(command)


def test_the_sidecar_before_the_helper_is_well():
    """Both of our ways may stand in one list."""
    texts = ["", "cache --socket=/run/git-credential-relay/git.sock", LAUNCHER]
    entries = [Entry("system", "/etc/gitconfig", "credential.helper", text) for text in texts]
    url = parse_url("https://github.com/a/b")
    assert url is not None
    [check] = check_helpers(entries, url)

    assert check.status == "ok"
    assert check.message.index("cache") < check.message.index(LAUNCHER)


SOCKET = "/srv/relay/git.sock"


@pytest.mark.parametrize(
    ("command", "path"),
    [
        (f"cache --socket={SOCKET}", SOCKET),
        (f"cache --timeout=9 --socket {SOCKET}", SOCKET),
        (f"cache --socket=/x --socket={SOCKET}", SOCKET),
        (f"cache --socket='{SOCKET}'", SOCKET),
        ("cache --socket=/run/git-credential-relay/git.sock", "/run/git-credential-relay/git.sock"),
        (f"cache --socket={SOCKET}x", None),
        (f"cache --socket={SOCKET} --socket=/x", None),
        ("cache --socket=srv/git-credential-relay/git.sock", None),
        ("cache --timeout=300", None),
        ("cache --socket", None),
        (f"store --socket={SOCKET}", None),
        (f"!cache2 --socket={SOCKET}", None),
        (None, None),
    ],
)
def test_a_sidecar_s_socket_is_told_from_git_s_own_cache(command, path):
    """The configured socket is ours, or one in a directory of our name; any other is git's."""
    assert sidecar_socket(command, SOCKET) == path
    assert is_ours(command, SOCKET) == (path is not None)


@pytest.mark.parametrize(
    ("texts", "code"),
    [
        ([f"cache --socket={SOCKET}"], "ok"),
        ([f"cache --socket={SOCKET}", LAUNCHER], "ok"),
        ([f"cache --socket={SOCKET}", "relay"], "ok"),
        ([f"cache --socket={SOCKET}", LAUNCHER, f"cache --socket={SOCKET}"], "ok"),
        ([LAUNCHER, f"cache --socket={SOCKET}"], "sidecar-behind"),
        (["cache --socket=/x", f"cache --socket={SOCKET}"], "helper-in-front"),
        ([f"cache --socket={SOCKET}", "store"], "plaintext-helper"),
        ([f"cache --socket={SOCKET}", LAUNCHER, "cache"], "helper-behind"),
        ([f"cache --socket={SOCKET}", ""], "helper-reset"),
        (["cache --socket=/x"], "not-wired"),
    ],
)
def test_the_order_with_a_sidecar(texts, code):
    """The socket first, our program behind it or not at all; others are what they always were."""
    entries = [Entry("system", "/etc/gitconfig", "credential.helper", text) for text in texts]
    url = parse_url("https://github.com/a/b")
    assert url is not None
    [check] = check_helpers(entries, url, SOCKET)

    assert check.code == code
    if check.fix and "install" in check.fix:
        assert f" --mode sidecar --socket {SOCKET}" in check.fix


def test_one_command_for_a_line_for_all_and_one_of_a_repository():
    """What is everybody's stays, what is of this repository goes, by one command."""
    entries = [
        Entry("system", "/etc/gitconfig", "credential.helper", LAUNCHER),
        Entry("global", "/home/a/.gitconfig", "credential.helper", ""),
        Entry("local", "/w/.git/config", "credential.helper", ""),
    ]
    url = parse_url("https://github.com/a/b")
    assert url is not None
    [check] = check_helpers(entries, url)

    assert check.fix == (
        "git-credential-relay install --global"
        " && git config --file /w/.git/config --unset-all credential.helper"
    )
    system_alone = [entries[0], Entry("system", "/etc/gitconfig", "credential.helper", "")]
    [check] = check_helpers(system_alone, url)
    for_user = "" if os.geteuid() == 0 else " --global"
    assert check.fix == f"git-credential-relay install{for_user}"
