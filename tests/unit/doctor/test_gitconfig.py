"""Git's configuration as git lists it, and commands that change exactly what they should."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.doctor.gitconfig import (
    Entry,
    in_force,
    is_true,
    parse_listing,
    rewritten,
    set_command,
    unset_command,
)
from git_credential_relay.doctor.repository import addresses, default_remote
from git_credential_relay.secret import is_plain_command

GIT = shutil.which("git") or "git"


def listed(path):
    """The entries of a file, as git lists them."""
    command = [GIT, "config", "--file", str(path), "--list", "--show-origin", "--null"]
    done = subprocess.run(command, capture_output=True, check=True, cwd="/")
    return parse_listing(done.stdout, "/", "local")


def values(path):
    return [(entry.key, entry.value) for entry in listed(path)]


@given(st.binary())
def test_any_bytes_are_a_listing(data):
    """A listing that is cut short or broken gives entries or none, and no exception."""
    for scope in (None, "local"):
        for entry in parse_listing(data, "/top", scope):
            assert entry.key.startswith(entry.section)
            assert entry.file is None or entry.file.startswith("/")


def test_a_listing_of_real_git(tmp_path):
    """Subsections keep their dots and case, values their newlines, switches their lack of one."""
    path = tmp_path / "config"
    path.write_text('[a "B.c"]\n\tD = "x\\ny"\n\te\n[f]\n\tg =\n')
    first, second, third = listed(path)

    assert (first.section, first.subsection, first.variable) == ("a", "B.c", "d")
    assert (first.value, second.value, third.value) == ("x\ny", None, "")
    assert (third.subsection, third.file) == (None, str(path))


def entry(value, key="credential.helper", file="/f", scope="global"):
    return Entry(scope, file, key, value)


@pytest.mark.parametrize(
    ("texts", "left"),
    [
        (["a", "b"], ["a", "b"]),
        (["a", "", "b"], ["b"]),
        (["a", ""], []),
        (["", "a", "", ""], []),
        ([None, "a"], ["a"]),
        ([], []),
    ],
)
def test_an_empty_value_takes_away_what_was_before(texts, left):
    """Only what comes after the last empty value is in force."""
    assert [e.value for e in in_force([entry(text) for text in texts])] == left


@pytest.mark.parametrize("text", [None, "true", "YES", "on", "1", "-2", "", "false", "0", "off"])
def test_switches_are_read_as_git_reads_them(text, tmp_path):
    """Our reading of a switch is git's."""
    path = tmp_path / "config"
    path.write_text("[a]\n\tb" + ("" if text is None else f" = {text}") + "\n")
    command = [GIT, "config", "--file", str(path), "--type=bool", "a.b"]
    by_git = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    assert is_true(listed(path)[0].value) == (by_git == "true")


REWRITES = """\
[url "https://github.com/"]
	insteadOf = gh:
	insteadOf = git@github.com:
[url "https://mirror.example/"]
	insteadOf = https://github.com/acme/
[url "git@push.example:"]
	pushInsteadOf = https://github.com/
[url "ssh://first.example/"]
	pushInsteadOf = twice:
[url "ssh://second.example/"]
	pushInsteadOf = twice:
[remote "plain"]
	url = https://gitlab.com/a/b
[remote "short"]
	url = gh:other/app
[remote "longest"]
	url = https://github.com/acme/app
[remote "pushed"]
	url = gh:other/app
	pushurl = https://github.com/other/app
	pushurl = git@github.com:other/app
[remote "tie"]
	url = twice:x
[remote "several"]
	url = https://github.com/a/b
	url = gh:c/d
"""


@pytest.mark.parametrize("remote", ["plain", "short", "longest", "pushed", "tie", "several"])
@pytest.mark.parametrize("is_push", [False, True])
def test_addresses_are_rewritten_as_git_rewrites_them(remote, is_push, tmp_path):
    """After insteadOf and pushInsteadOf each remote leads where git says that it does."""
    subprocess.run([GIT, "init", "--quiet", str(tmp_path)], check=True, cwd="/")
    path = tmp_path / ".git/config"
    path.write_text(path.read_text() + REWRITES)
    command = [GIT, "remote", "get-url", "--all", *(["--push"] if is_push else []), remote]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    ours = [a.url for a in addresses(listed(path)) if (a.remote, a.is_push) == (remote, is_push)]

    assert ours == done.stdout.splitlines()


def test_the_entry_that_rewrites_is_told():
    """Whoever is to take it out has to know which one it is."""
    rule = entry("gh:", "url.https://github.com/.insteadof")
    assert rewritten([rule], "gh:a/b", "insteadof") == ("https://github.com/a/b", rule)
    assert rewritten([rule], "x:a/b", "insteadof") == ("x:a/b", None)


@pytest.mark.parametrize(
    ("settings", "branch", "remote"),
    [
        ({}, "main", "origin"),
        ({"remote.only.url": "x"}, None, "only"),
        ({"remote.a.url": "x", "remote.origin.url": "y"}, None, "origin"),
        ({"branch.main.remote": "a", "remote.a.url": "x"}, "main", "a"),
        ({"branch.main.remote": "a", "remote.pushdefault": "b"}, "main", "b"),
        ({"branch.main.pushremote": "c", "remote.pushdefault": "b"}, "main", "c"),
        ({"branch.main.pushremote": "c", "remote.pushdefault": "b"}, "other", "b"),
    ],
)
def test_the_remote_of_a_bare_push(settings, branch, remote):
    """Git's order: the branch's pushRemote, pushDefault, the branch's remote, origin."""
    entries = [entry(value, key) for key, value in settings.items()]
    assert default_remote(entries, branch) == remote


HARMLESS = "/usr/bin/gh auth git-credential"
ODD = ["a.b", "a+b", "(x)|y", "^$", "[z]", "c\\d", "*", "!/usr/bin/gh auth", "it's", 'a "b"', "{1}"]


@pytest.mark.parametrize("number", range(len(ODD)))
def test_unset_takes_out_exactly_the_culprit(number, tmp_path):
    """Whatever characters a value has, its command takes it out and leaves the others."""
    path = tmp_path / "it's a config"
    for value in [*ODD, "", "axb"]:
        add = [GIT, "config", "--file", str(path), "--add", "credential.https://x.y.helper"]
        subprocess.run([*add, value], check=True, cwd="/")
    entries = listed(path)
    culprits = [e for e in entries if e.value == ODD[number]]
    command = unset_command(culprits, entries)
    if not is_plain_command(ODD[number]):
        assert command.endswith(" --edit")
        return
    subprocess.run(["sh", "-ec", command], check=True, cwd="/")

    assert values(path) == [(e.key, e.value) for e in entries if e not in culprits]


def test_unset_of_a_reset_and_of_everything(tmp_path):
    """A reset goes too, and where all goes, no value has to be shown."""
    path = tmp_path / "config"
    text = (
        f'[credential "https://x"]\n\thelper =\n\thelper = {HARMLESS}\n\thelper = "!f(){{ :;}};f"\n'
    )
    path.write_text(text)
    entries = listed(path)
    subprocess.run(["sh", "-ec", unset_command(entries[:2], entries)], check=True, cwd="/")
    assert [e.value for e in listed(path)] == ["!f(){ :;};f"]

    path.write_text(text)
    command = unset_command(entries, entries)
    assert "f()" not in command
    subprocess.run(["sh", "-ec", command], check=True, cwd="/")
    assert listed(path) == []


def test_what_the_command_line_says_is_unset():
    """It stands in no file."""
    of_command = entry("", scope="command", file=None)
    assert unset_command([of_command], [of_command]).startswith("unset GIT_CONFIG_COUNT")
    assert set_command([of_command], "a.b", "1").startswith("unset GIT_CONFIG_COUNT")


def test_no_editor_is_needed_for_what_can_be_set(tmp_path):
    """The last of several is replaced, in its own file."""
    path = tmp_path / "config"
    path.write_text("[http]\n\tmaxRetries = 0\n")
    command = set_command(listed(path), "http.maxRetries", "1")
    subprocess.run(["sh", "-ec", command], check=True, cwd="/", env={"PATH": os.environ["PATH"]})

    assert values(path) == [("http.maxretries", "1")]
