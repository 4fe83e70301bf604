"""The sidecar: whether it is there, whose it is, and whether anybody could stand in for it."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from git_credential_relay.credential.forge import Target
from git_credential_relay.doctor.git import Git, run
from git_credential_relay.doctor.meeting import Met
from git_credential_relay.doctor.report import Check, fail, ok, skip, warn

SIDECAR = "sidecar"
PLACE = "sidecar-socket"
CLIENT = "git-cache-client"
TROUBLE = "last-trouble"

# What git itself says when it wants to `store` where no sidecar answers.
_GITS_WORDS = (
    'git says "socket directory too loose" and "cache daemon did not start" (no chmod will help),'
    " or nothing at all"
)
# The client says so where it may not connect; `sidecar` and `sidecar-socket` tell why.
_REFUSED = "unable to connect to cache daemon"


@dataclass(frozen=True, slots=True)
class User:
    """Whose eyes to look with: the one that git and the agent run as."""

    uid: int
    gids: frozenset[int]

    @classmethod
    def current(cls) -> User:
        """Who runs this."""
        return cls(os.geteuid(), frozenset((os.getegid(), *os.getgroups())))

    def may(self, info: os.stat_result, owner: int, group: int, other: int) -> bool:
        """Whether the mode in `info` grants this user the bit that is its share of the three."""
        if info.st_uid == self.uid:
            return bool(info.st_mode & owner)
        return bool(info.st_mode & (group if info.st_gid in self.gids else other))

    def may_write(self, info: os.stat_result) -> bool:
        """Whether this user may make and remove names there: an owner can always see to it."""
        may = self.may(info, stat.S_IWUSR, stat.S_IWGRP, stat.S_IWOTH)
        return self.uid == 0 or info.st_uid == self.uid or may

    def may_enter(self, info: os.stat_result) -> bool:
        """Whether this user may reach what is in the directory."""
        return self.uid == 0 or self.may(info, stat.S_IXUSR, stat.S_IXGRP, stat.S_IXOTH)


def check_sidecar(met: Met, git_sockets: Sequence[str], user: User) -> Iterator[Check]:
    """Whether a sidecar answers this user, and under whose uid it keeps the secret."""
    others = [path for path in git_sockets if path != met.path]
    if others:
        yield warn(
            SIDECAR,
            "other-socket",
            f"git asks at {', '.join(others)}, and our programs at {met.path}",
        )
    if met.error is not None:
        yield _absent(met, user)
    elif met.uid == user.uid and user.uid != 0:
        yield warn(
            SIDECAR,
            "sidecar-own-uid",
            f"the sidecar at {met.path} runs as this very user, uid {user.uid}, who can end it, put"
            " another in its place and read any file that it can; another uid is the wall",
        )
    elif not others:
        yield ok(SIDECAR, f"answers at {met.path}, as uid {met.uid}")


def _absent(met: Met, user: User) -> Check:
    assert met.error is not None  # noqa: S101 - for the type checker
    start = f"start it: git-credential-relay sidecar --socket {met.path}"
    if _closed_directory(met.path, user) is not None:
        return skip(SIDECAR, "see-sidecar-socket", "this user cannot reach its socket")
    if not met.is_there:
        return fail(SIDECAR, "sidecar-missing", f"no socket at {met.path}: {_GITS_WORDS}; {start}")
    if met.error.code == "sidecar-refused":
        return fail(
            SIDECAR,
            "sidecar-refused",
            f"the sidecar at {met.path} does not serve uid {user.uid}, so git gets nothing; have"
            f" its GIT_CREDENTIAL_RELAY_ALLOW_UIDS name {user.uid}",
        )
    if met.error.code == "not-a-sidecar":
        return fail(
            SIDECAR,
            "not-a-sidecar",
            f"what answers at {met.path} (uid {met.uid}) is not a sidecar; git may have put its own"
            f" credential-cache--daemon there: end it, and {start}",
            f"git credential-cache --socket={shlex.quote(met.path)} exit",
        )
    if met.uid is not None:
        return fail(
            SIDECAR, "sidecar-silent", f"{met.error.message}: git waits for it, and gets nothing"
        )
    return fail(
        SIDECAR,
        "sidecar-stale",
        f"nobody answers at {met.path}: its sidecar has ended, and {_GITS_WORDS}; {start}",
    )


def check_place(path: str, listener: int | None, user: User) -> Check:
    """Whether this user could put another socket in the sidecar's place, or cannot reach it.

    `listener` is the uid of the sidecar, where one is there.
    """
    directory = os.path.dirname(path)
    closed = _closed_directory(path, user)
    if closed is not None:
        return fail(
            PLACE,
            "socket-directory-closed",
            f"{closed} is closed to this user, so git asks nobody; the sidecar makes its own"
            " directory with mode 0755",
            f"chmod 0755 {shlex.quote(directory)}" if closed == directory else None,
        )
    info = _stat(directory)
    if info is None:
        return skip(PLACE, "no-directory", f"{directory} is not there")
    if listener == user.uid or (listener is None and info.st_uid == user.uid):
        # A sidecar of another user's would refuse a directory of this one's.
        return _own_place(directory, info)
    if user.uid == 0:
        return skip(PLACE, "as-root", "root may replace anything; run doctor as the agent")
    if user.may_write(info):
        # What all share, as /tmp is, stays as it is: a socket belongs elsewhere.
        is_mendable = info.st_uid != user.uid and not info.st_mode & stat.S_ISVTX
        return fail(
            PLACE,
            "socket-directory-writable",
            f"this user can put a socket of its own in {directory}, and would be asked in the"
            " sidecar's place: it has to be root's or the sidecar's, with mode 0755",
            f"chmod go-w {shlex.quote(directory)}" if is_mendable else None,
        )
    open_parent = _replaceable(directory, user)
    if open_parent is not None:
        return fail(
            PLACE,
            "socket-replaceable",
            f"this user can rename things in {open_parent}, on the way to {directory}, and put"
            " another directory in its place",
        )
    return ok(PLACE, f"{directory}: this user can replace nothing there")


def _own_place(directory: str, info: os.stat_result) -> Check:
    """A directory of the user's own: git takes one with mode 0700 for its own daemon's."""
    if stat.S_IMODE(info.st_mode) != 0o700:
        return ok(PLACE, f"{directory}: git starts no daemon of its own there")
    return warn(
        PLACE,
        "socket-directory-private",
        f"{directory} has mode 0700: when the sidecar is away git starts its own"
        " credential-cache--daemon in its place, which then is in its way",
        f"chmod 0755 {shlex.quote(directory)}",
    )


def _closed_directory(path: str, user: User) -> str | None:
    """The first directory on the way to `path` that `user` may not enter."""
    for directory in _way(os.path.dirname(path)):
        info = _stat(directory)
        if info is not None and not user.may_enter(info):
            return directory
    return None


def _replaceable(directory: str, user: User) -> str | None:
    """The directory on the way there, links included, in which `user` may exchange the next."""
    for way in (_way(directory), _way(os.path.realpath(directory))):
        for parent, child in pairwise(way):
            inside, below = _stat(parent), _stat(child, follows=False)
            if inside is None or below is None or not user.may_write(inside):
                continue
            is_protected = inside.st_mode & stat.S_ISVTX and inside.st_uid != user.uid
            if not (is_protected and below.st_uid != user.uid):
                return parent
    return None


def _way(directory: str) -> list[str]:
    """`/`, and each directory from there down to `directory`."""
    steps = [step for step in directory.split("/") if step]
    return ["/", *("/" + "/".join(steps[: n + 1]) for n in range(len(steps)))]


def _stat(path: str, *, follows: bool = True) -> os.stat_result | None:
    try:
        return os.stat(path, follow_symlinks=follows)
    except OSError:
        return None


def check_client(git: Git, met: Met) -> Check:
    """Whether this git has the client that asks the sidecar: some are built without."""
    if met.error is not None and met.uid is not None:
        return skip(CLIENT, "see-sidecar", "git's own client would wait for it in vain")
    command = [git.program, "credential-cache", f"--socket={met.path}", "get"]
    done = run(command, git.environ, stdin=b"relay=status\n\n")
    if done.code == 0 or _REFUSED in done.err:
        return ok(CLIENT, f"{git.program} has git's own cache client")
    words = done.err.strip() or f"it exits with {done.code}"
    return fail(
        CLIENT, "cache-client-missing", f"{git.program} cannot ask a sidecar by itself: {words}"
    )


def check_trouble(met: Met, target: Target | None, now: float) -> Check:
    """What the sidecar remembers to have gone wrong for this repository, if it is not over."""
    if target is None or met.error is not None:
        return skip(TROUBLE, "not-asked", "there is no sidecar to ask, or nothing to ask about")
    troubled = [key for key in met.keys(target) if key["is_troubled"] and key["trouble"]]
    if not troubled:
        return ok(TROUBLE, f"none on record for {target} that is not over")
    last = max((key["trouble"] for key in troubled), key=lambda trouble: trouble["at"])
    line = next(iter(last["lines"]), last["code"])
    seconds = max(0, round(now - last["at"]))
    return warn(TROUBLE, "not-over", f"{seconds} s ago: {line}")
