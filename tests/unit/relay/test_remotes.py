"""What the remotes of a work tree name, with real git."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_credential_relay.relay.remotes import addresses, parse_address, read_addresses


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A work tree, as the current directory."""
    directory = tmp_path / "work"
    subprocess.run(["git", "init", "--quiet", directory], check=True)
    monkeypatch.chdir(directory)
    return directory


def git(*arguments: str) -> None:
    """Run git in the current directory."""
    subprocess.run(["git", *arguments], check=True)


def read() -> list[tuple[str, str]]:
    """What is read in the current directory."""
    return [(address.host, address.path) for address in read_addresses(dict(os.environ))]


def test_order_is_the_one_of_gh(work):
    """upstream, github, origin, and then the others by name, as `git remote` lists them."""
    for name in ("zeta", "origin", "alpha", "GitHub", "upstream", "with.dots", "Zeta"):
        git("remote", "add", name, f"https://github.com/o/{name}.git")

    names = ["upstream", "GitHub", "origin", "Zeta", "alpha", "with.dots", "zeta"]
    assert read() == [("github.com", f"o/{name}") for name in names]


def test_a_chosen_default_comes_first(work):
    """What `gh repo set-default` wrote wins over the names, as `base` and as a name."""
    git("remote", "add", "upstream", "https://github.com/up/r")
    git("remote", "add", "origin", "https://github.com/mine/r")
    git("config", "remote.origin.gh-resolved", "base")
    assert read()[0] == ("github.com", "mine/r")

    git("config", "remote.origin.gh-resolved", "other/r")
    assert read()[0] == ("github.com", "other/r")


def test_instead_of_is_applied(work):
    """A URL is what git makes of it: url.<base>.insteadOf, the longest match."""
    git("remote", "add", "origin", "gh:o/r")
    git("config", "url.https://short.example/.insteadOf", "g")
    git("config", "url.https://github.com/.insteadOf", "gh:")

    assert read() == [("github.com", "o/r")]


def test_first_url_of_several(work):
    """A remote with several URLs is fetched from the first."""
    git("remote", "add", "origin", "https://github.com/o/first")
    git("remote", "set-url", "--add", "origin", "https://github.com/o/second")

    assert read() == [("github.com", "o/first")]


def test_worktree_and_submodule_see_their_own(work):
    """In a linked worktree the remotes are those of its repository."""
    git("remote", "add", "origin", "https://github.com/o/r")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x")
    git("worktree", "add", "--quiet", "../linked")
    os.chdir("../linked")

    assert read() == [("github.com", "o/r")]


def test_nothing_outside_of_a_work_tree(tmp_path, monkeypatch):
    """No repository, or no git: no remotes, and no error."""
    monkeypatch.chdir(tmp_path)
    assert read() == []

    monkeypatch.setenv("PATH", "/nonexistent")
    assert read() == []


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://github.com/o/r.git", ("github.com", "o/r")),
        ("https://GitHub.com:443/o/r/", ("github.com", "o/r")),
        ("https://x-access-token:secret@github.com/o/r", ("github.com", "o/r")),
        ("https://git.example:8443/gitlab/a/b.git", ("git.example:8443", "gitlab/a/b")),
        ("http://127.0.0.1:3000/o/r", ("127.0.0.1:3000", "o/r")),
        ("ssh://git@github.com:22/o/r.git", ("github.com", "o/r")),
        ("ssh://git@ssh.github.com:443/o/r.git", ("github.com", "o/r")),
        ("git@github.com:o/r.git", ("github.com", "o/r")),
        ("github.com:o/r", ("github.com", "o/r")),
        ("https://evil.example#@github.com/o/r", None),
        ("https://evil.example?x@github.com/o/r", None),
        ("https://evil.example\\@github.com/o/r", ("evil.example", "\\@github.com/o/r")),
        ("https://evil.example/@github.com/o/r", ("evil.example", "@github.com/o/r")),
        ("/srv/git/r.git", None),
        ("../r", None),
        ("./a:b", None),
        ("file:///srv/r.git", None),
        ("https://github.com", None),
        ("", None),
    ],
)
def test_addresses_of_urls(url, expected):
    """Host and path of every form that git knows; nothing for a path of this machine."""
    found = parse_address(url)

    assert (found and (found.host, found.path)) == expected


@given(st.binary(max_size=200))
def test_no_output_is_too_odd(output):
    """Whatever git prints, or something else in its place, is read without an error."""
    for address in addresses(output):
        assert address.host
        assert address.path


@given(st.text(max_size=60))
def test_no_url_is_too_odd(url):
    """Whatever stands in a remote is read without an error; a host has no user name in it."""
    address = parse_address(url)

    assert address is None or "@" not in address.host
