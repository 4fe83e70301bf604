"""Paths of a root file system stay below it, whatever its links say."""

import os

import pytest

from git_credential_relay.errors import WiringError
from git_credential_relay.wiring.place import resolve, root_place, user_place


@pytest.mark.parametrize(
    ("link", "target", "expected"),
    [
        ("etc", "/other", "other/gitconfig"),
        ("etc", "../../../../outside", "outside/gitconfig"),
        ("etc", "a/./b/../c", "a/c/gitconfig"),
        ("etc/gitconfig", "/run/../host/secret", "host/secret"),
        ("etc/gitconfig", "../../../up", "up"),
    ],
)
def test_links_do_not_lead_out(tmp_path, link, target, expected):
    """An absolute or climbing link means a place in the root, not one of this machine."""
    path = tmp_path / link
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(target)
    (tmp_path / "a").mkdir()

    assert resolve(str(tmp_path), "/etc/gitconfig") == str(tmp_path / expected)


def test_links_in_a_circle_are_refused(tmp_path):
    """They end with an error, not with an endless loop."""
    (tmp_path / "etc").symlink_to("/etc2")
    (tmp_path / "etc2").symlink_to("/etc")

    with pytest.raises(WiringError, match="circle"):
        resolve(str(tmp_path), "/etc/gitconfig")


@pytest.mark.parametrize(
    ("gits", "expected"),
    [
        ([], ("/etc/gitconfig",)),
        (["usr/bin/git"], ("/etc/gitconfig",)),
        (["usr/local/bin/git"], ("/usr/local/etc/gitconfig",)),
        (["usr/bin/git", "usr/local/bin/git"], ("/etc/gitconfig", "/usr/local/etc/gitconfig")),
    ],
)
def test_each_git_of_a_root_gets_its_own_file(tmp_path, gits, expected):
    """Which file git reads is a matter of the prefix it was built with."""
    for git in gits:
        path = tmp_path / git
        path.parent.mkdir(parents=True)
        path.write_text("")

    place = root_place(str(tmp_path), os.environ["PATH"])
    assert place.gitconfigs == expected
    # By its name inside, whatever git this machine writes with.
    assert place.git_inside == (f"/{gits[0]}" if gits else "/usr/bin/git")


@pytest.mark.parametrize(
    ("files", "variables", "expected"),
    [
        ([], {}, ".gitconfig"),
        ([".config/git/config"], {}, ".config/git/config"),
        ([".config/git/config", ".gitconfig"], {}, ".gitconfig"),
        ([".gitconfig"], {"GIT_CONFIG_GLOBAL": "mine"}, "mine"),
        (["xdg/git/config"], {"XDG_CONFIG_HOME": "xdg"}, "xdg/git/config"),
    ],
)
def test_the_users_file_is_the_one_git_would_write(tmp_path, files, variables, expected):
    """As `git config --global` chooses it."""
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    environ = {name: str(tmp_path / value) for name, value in variables.items()}
    environ |= {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}

    assert user_place(environ).gitconfigs == (str(tmp_path / expected),)
