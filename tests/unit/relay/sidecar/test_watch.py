"""Noticing changed files, in every way in which they are changed."""

from __future__ import annotations

import os

import pytest

from git_credential_relay.relay.sidecar.watch import Watch


def write(path, text):
    path.write_text(text)


def replace(path, text):
    other = path.with_name("other")
    other.write_text(text)
    other.rename(path)


def touch_back(path, text):
    before = path.stat()
    path.write_text(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("change", [write, replace, touch_back])
def test_another_content_is_noticed_once(tmp_path, change):
    """A write and a rename are changes, with an older time too; known ones are none."""
    path = tmp_path / "relay.env"
    path.write_text("A=1\n")
    watch = Watch(lambda: [str(path)])
    watch.renew()
    before = watch.has_changed()
    change(path, "A=2\n")
    noticed = watch.has_changed()
    watch.renew()

    assert (before, noticed, watch.has_changed()) == (False, True, False)


def test_a_symlink_that_is_swapped_is_a_change(tmp_path):
    """Kubernetes swaps a directory's symlink; the file's own path stays the same."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "relay.env").write_text("A=1\n")
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "relay.env").symlink_to("..data/relay.env")
    watch = Watch(lambda: [str(tmp_path / "relay.env")])
    watch.renew()
    (tmp_path / "..data_tmp").symlink_to("two")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")

    assert watch.has_changed()


def test_a_file_that_comes_or_goes_is_a_change(tmp_path):
    """What is not there yet is watched, and what is there may go."""
    path = tmp_path / "relay.env"
    watch = Watch(lambda: [str(path)])
    watch.renew()
    path.write_text("")
    came = watch.has_changed()
    watch.renew()
    path.unlink()

    assert (came, watch.has_changed()) == (True, True)


def test_trouble_with_the_list_is_told_once(tmp_path):
    """The files that are known stay watched, and are not for ever new."""
    path = tmp_path / "relay.env"
    path.write_text("")
    files = [[str(path)]]
    watch = Watch(lambda: files.pop())
    watch.renew()
    path.write_text("x")
    with pytest.raises(IndexError):
        watch.renew()
    is_new = watch.has_changed()
    path.write_text("xy")

    assert (is_new, watch.has_changed()) == (False, True)


def test_looking_reads_nothing(tmp_path):
    """Once a second is often: only what `renew` found is looked at, and nothing is read."""
    found: list[int] = []
    path = tmp_path / "relay.env"
    path.write_text("x")
    path.chmod(0)
    before = path.stat().st_atime_ns

    def find() -> list[str]:
        found.append(1)
        return [str(path)]

    watch = Watch(find)
    watch.renew()
    changes = [watch.has_changed() for _ in range(100)]

    assert not any(changes)
    assert len(found) == 1
    assert path.stat().st_atime_ns == before
