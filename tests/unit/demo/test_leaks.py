"""The search for secrets."""

import base64
from pathlib import Path

import pytest

from git_credential_relay.demo.leaks import (
    find_in_files,
    find_in_texts,
    find_loose_modes,
    needles_for,
)

SECRET = "playground_0123456789"
NEEDLES = needles_for([SECRET])
BASIC = base64.b64encode(f"x-access-token:{SECRET}".encode()).decode()


@pytest.mark.parametrize("text", [f"url = https://x:{SECRET}@h", f"AUTHORIZATION: basic {BASIC}"])
def test_secret_is_found_plain_and_as_basic_header(tmp_path, text):
    """A secret is found in texts and files, as it is and as in a Basic header."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "config").write_text(text)

    assert find_in_texts(["nothing", text], NEEDLES)
    assert find_in_files(tmp_path, NEEDLES) == (tmp_path / "deep" / "config",)


def test_names_and_links_count(tmp_path):
    """A secret in a file's name or in a link's target is found; links are not followed."""
    (tmp_path / SECRET).mkdir()
    (tmp_path / "link").symlink_to(f"/nonexistent/{SECRET}")
    (tmp_path / "loop").symlink_to(tmp_path)

    assert find_in_files(tmp_path, NEEDLES) == (tmp_path / "link", tmp_path / SECRET)


def test_excluded_places_are_not_searched(tmp_path):
    """An excluded directory or file is left out with everything in it."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "record").write_text(SECRET)
    (tmp_path / "secret").write_text(SECRET)
    excluded = [tmp_path / "cache", tmp_path / "secret"]

    assert find_in_files(tmp_path, NEEDLES, excluded) == ()
    assert find_in_files(tmp_path / "cache", NEEDLES) == (tmp_path / "cache" / "record",)


def test_clean_texts_have_no_secret():
    """Without a secret nothing is found."""
    assert not find_in_texts(["", "playground_", SECRET[:-1]], NEEDLES)


def test_loose_modes_are_named(tmp_path: Path):
    """Everything but 0700 directories and 0600 files is named with its mode."""
    private, loose = tmp_path / "private", tmp_path / "loose"
    for directory in (private, loose):
        directory.mkdir(mode=0o700)
        (directory / "record").touch(mode=0o600)
    (loose / "record").chmod(0o640)
    loose.chmod(0o755)

    assert find_loose_modes(private) == ()
    assert find_loose_modes(loose) == (f"{loose} 0755", f"{loose / 'record'} 0640")
