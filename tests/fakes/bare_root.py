"""The root file system of an image with git and a shell in it, and nothing else."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

AGENT_UID = 1000
_GIT_CORE = "/usr/lib/git-core"
_SH = "/bin/sh"
_PROGRAMS = ("/usr/bin/git", f"{_GIT_CORE}/git-remote-http")


def build_root(root: Path) -> bool:
    """Copy the programs and their libraries below `root`; whether that can be done here."""
    if not all(os.path.exists(program) for program in (*_PROGRAMS, _SH)):
        return False
    for program in (*_PROGRAMS, _SH):
        _copy(os.path.realpath(program), root, program)
        for library in _libraries(program):
            _copy(library, root, library)
    (root / f"{_GIT_CORE}/git".lstrip("/")).symlink_to("/usr/bin/git")
    for directory in ("dev", "etc", "run", "usr/local/bin", "usr/share/git-core/templates"):
        (root / directory).mkdir(parents=True, exist_ok=True)
    (root / "home").mkdir(mode=0o700)
    os.chown(root / "home", AGENT_UID, AGENT_UID)
    return _make_devices(root / "dev")


def _make_devices(directory: Path) -> bool:
    for name, minor in (("null", 3), ("urandom", 9)):
        try:
            os.mknod(directory / name, 0o666 | stat.S_IFCHR, os.makedev(1, minor))
        except PermissionError:
            return False  # a container's root may not
        (directory / name).chmod(0o666)
    return True


def run_inside(
    root: Path, script: str, *arguments: str, uid: int = AGENT_UID
) -> subprocess.CompletedProcess[str]:
    """A script as a user, in an empty environment, with `root` as the root."""
    enter = ["/usr/sbin/chroot", f"--userspec={uid}:{uid}", "--groups=", str(root)]
    return subprocess.run(
        [*enter, _SH, "-eu", "-c", script, "sh", *arguments],
        env={},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def _libraries(program: str) -> list[str]:
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return [word for word in listed.split() if word.startswith("/")]


def _copy(source: str, root: Path, name: str) -> None:
    target = root / name.lstrip("/")
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
