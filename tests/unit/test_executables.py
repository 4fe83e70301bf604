"""The program behind our launchers of the same name."""

import pytest

from git_credential_relay.executables import displaced, find_program, is_launcher
from git_credential_relay.wiring.launcher import launcher_script


def make(path, text="#!/bin/sh\n"):
    """An executable file."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


OURS = launcher_script("/usr/bin/python3", "gh")


def test_our_own_launchers_are_passed_over(tmp_path):
    """However many of them stand in front, the real program is found."""
    make(tmp_path / "one" / "gh", OURS)
    make(tmp_path / "two" / "gh", launcher_script("/opt/a b/python", "gh"))
    real = make(tmp_path / "three" / "gh")

    assert find_program("gh", f"{tmp_path}/one:{tmp_path}/two:{tmp_path}/three") == real


def test_what_a_launcher_displaced_counts_in_its_place(tmp_path):
    """The program that stood there first comes before those further down PATH."""
    ours = make(tmp_path / "one" / "gh", OURS)
    real = make(tmp_path / "one" / "gh.displaced")
    make(tmp_path / "two" / "gh")

    assert displaced(ours) == real
    assert find_program("gh", f"{tmp_path}/one:{tmp_path}/two") == real


@pytest.mark.parametrize("path", ["", ".", "bin:.", ":", "/nonexistent"])
def test_relative_directories_are_passed_over(tmp_path, monkeypatch, path):
    """They lie in the work tree, which others have written."""
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "relay-tests-program")
    make(tmp_path / "bin" / "relay-tests-program")

    assert find_program("relay-tests-program", path) is None


def test_no_launcher(tmp_path):
    """A program, a directory and nothing are no launchers."""
    assert not is_launcher(make(tmp_path / "gh"))
    assert not is_launcher(str(tmp_path))
    assert not is_launcher(str(tmp_path / "nothing"))
