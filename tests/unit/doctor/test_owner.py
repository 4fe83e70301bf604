"""Whom root may change a file as."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from git_credential_relay.doctor.owner import Owner, owner_of

AGENT = 65534
OTHER = 4242  # nobody that the system knows
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files away")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory of root's: `open` as /tmp is, `agents` of the agent's, `roots` of root's."""
    for name, mode, uid in (("open", 0o1777, 0), ("agents", 0o755, AGENT), ("roots", 0o755, 0)):
        directory = tmp_path / name
        directory.mkdir()
        directory.chmod(mode)
        (directory / "config").touch()
        os.chown(directory, uid, 0)
    return tmp_path


def link(path: Path, target: Path | str, uid: int) -> None:
    path.symlink_to(target)
    os.lchown(path, uid, 0)


def test_what_is_roots_all_the_way_is_changed_as_root(place):
    """Directories, links and files of root's are safe to follow, /tmp's own files included."""
    link(place / "link", "roots/../roots", 0)

    for path in ("roots/config", "open/config", "link/config", "./agents/../roots/config"):
        found = owner_of(f"{place}/{path}")
        assert found == (owner_of(f"{place}/agents/x") if "agents" in path else None)


@pytest.mark.parametrize("uid", [AGENT, OTHER])
def test_the_first_that_is_not_roots_decides(place, uid):
    """Whoever can exchange a step on the way is who the file is changed as."""
    os.chown(place / "agents", uid, 0)
    os.chown(place / "open/config", uid, 0)
    link(place / "open/link", place / "roots", uid)
    link(place / "roots/way", "../agents", 0)
    (place / "agents/below").mkdir()

    for path in ("agents/config", "agents/below/x", "open/config", "open/link/config", "roots/way"):
        found = owner_of(f"{place}/{path}")
        assert found is not None
        assert found.uid == uid


def test_the_group_is_the_owners_own(place):
    """Not the one of the file, which may be root's."""
    assert owner_of(f"{place}/agents/config") == Owner(AGENT, 65534)


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o2775])
def test_roots_directory_that_others_can_write(place, mode):
    """In it anybody may exchange anything: nobody is the right one to change a file there."""
    (place / "roots").chmod(mode)

    with pytest.raises(PermissionError, match="roots can be written by others"):
        owner_of(f"{place}/roots/config")


def test_links_without_end(place):
    """A loop, and a way that does not exist, are errors."""
    link(place / "a", "b", 0)
    link(place / "b", "a", 0)

    for name in ("a", "nothing/config"):
        with pytest.raises(OSError, match=r"Too many levels|No such file"):
            owner_of(f"{place}/{name}")
