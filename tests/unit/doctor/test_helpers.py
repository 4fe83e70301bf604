"""Which helper of a list is us."""

from __future__ import annotations

import os

import pytest

from git_credential_relay.doctor.checks.helpers import (
    check_helpers,
    is_by_name,
    is_ours,
    own_program,
)
from git_credential_relay.doctor.gitconfig import Entry
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
