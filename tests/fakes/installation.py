"""`install` run for root file systems, and what such a root looks like before and after."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.fakes.program import run_program

HELPER = "/usr/local/bin/git-credential-relay"
MANIFEST = "var/lib/git-credential-relay/install.json"
CANARY = "ghp_c4n4ry0123456789abcdefghijklmnop"
FOREIGN = f"""\
# the company's
[credential]
\thelper = store
[credential]
    helper = cache --timeout=300
[credential "https://github.com"]
\thelper = !/usr/bin/gh auth git-credential
[http "https://other.example/"]
\textraheader = "Authorization: Basic {CANARY}"
[url "https://x:{CANARY}@other.example/"]
\tinsteadOf = other:
[alias]
\tx = "!echo \\"quoted\\""
"""
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change mounts and users")
ALL_OPTIONS = [
    "--host", "gitlab=https://git.example:8443/gitlab", "--host", "forgejo=code.example",
    "--gh", "--ssh-to-https", "--identity", "Ada Lovelace <ada@example.com>",
]  # fmt: skip
BEFORE: dict[str, dict[str, str | bytes]] = {
    "nothing": {},
    "empty-file": {"etc/gitconfig": ""},
    "foreign-helpers": {"etc/gitconfig": FOREIGN},
    "no-last-newline": {"etc/gitconfig": "[user]\n\tname = x"},
    "dos-lines": {"etc/gitconfig": "[user]\r\n\tname = x\r\n"},
    "latin-1": {"etc/gitconfig": b"[user]\n\tname = Andr\xe9\n"},
    "relay-env": {"etc/git-credential-relay/relay.env": "CLOUD_API_URL=https://a.example"},
    "programs-in-our-place": {
        "usr/local/bin/gh": "#!/bin/sh\necho real\n",
        "usr/local/bin/git-credential-relay": "#!/bin/sh\necho pip\n",
        "usr/local/share/man/man1/git-credential-relay.1": "old",
    },
}


def tree(root: Path) -> dict[str, tuple[object, ...]]:
    """Everything below a directory: type, mode, owner, content."""
    seen: dict[str, tuple[object, ...]] = {}
    for path in sorted(root.rglob("*")):
        info = path.lstat()
        content: object = None
        if path.is_symlink():
            content = os.readlink(path)
        elif path.is_file():
            content = path.read_bytes()
        seen[str(path.relative_to(root))] = (
            stat.S_IFMT(info.st_mode), stat.S_IMODE(info.st_mode), info.st_uid, content,
        )  # fmt: skip
    return seen


def install(root: Path, *arguments: str, **environ: str):
    """Run `install` for a root file system; it must succeed."""
    done = run_program("install", "--root", str(root), *arguments, **environ)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def uninstall(root: Path, *arguments: str):
    """Run `uninstall` for a root file system; it must succeed."""
    done = run_program("uninstall", "--root", str(root), *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def values(file: Path, key: str) -> list[str]:
    """All values that git reads for a key in a file."""
    command = ["git", "config", "--file", str(file), "--null", "--get-all", key]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.split("\0")[:-1]
