"""Whom root may change a file as, when it lies where others can move things about."""

from __future__ import annotations

import errno
import os
import pwd
import stat
from dataclasses import dataclass

_MAX_LINKS = 40  # as the kernel's


@dataclass(frozen=True, slots=True)
class Owner:
    """Whom to run a command as, so that nothing is done to a file its owner could not do."""

    uid: int
    gid: int


def owner_of(path: str) -> Owner | None:
    """Whom to change `path` as; None for as oneself.

    Root must not follow what others can exchange between a look at it and its use. So that is
    the owner of the first step on the way from `/`, links included, that is not root's: up to
    there nobody else can change the way, and from there on they get no more than they have.
    Raises OSError when the way does not exist, or leads through a directory of root's in which
    others may exchange what is not theirs.
    """
    if os.geteuid() != 0:
        return None
    place, steps, links = "/", path.split("/")[::-1], 0
    while steps:
        step = steps.pop()
        if step in ("", "."):
            continue
        if step == "..":
            place = os.path.dirname(place)
            continue
        here = os.path.join(place, step)
        info = os.lstat(here)
        if info.st_uid != 0:
            return Owner(info.st_uid, _group(info))
        if stat.S_ISLNK(info.st_mode):
            links += 1
            if links > _MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            target = os.readlink(here)
            place = "/" if target.startswith("/") else place
            steps += target.split("/")[::-1]
            continue
        is_sticky = info.st_mode & stat.S_ISVTX and stat.S_ISDIR(info.st_mode)
        if info.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not is_sticky:
            raise PermissionError(errno.EPERM, f"{here} can be written by others")
        place = here
    return None


def _group(info: os.stat_result) -> int:
    """The owner's own group: the owner need not be in that of the file, which may be root's."""
    try:
        return pwd.getpwuid(info.st_uid).pw_gid
    except KeyError:
        return info.st_gid
