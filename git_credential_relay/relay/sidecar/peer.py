"""Who is at the other end of a unix socket, by the kernel's word, and who may be. unix(7)."""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass

from git_credential_relay.config import Config
from git_credential_relay.config_layers import Value
from git_credential_relay.errors import ConfigError
from git_credential_relay.settings import PREFIX

ALLOW_UIDS = PREFIX + "ALLOW_UIDS"
ALLOW_GIDS = PREFIX + "ALLOW_GIDS"
# Not in the socket module: asm-generic/socket.h, Linux 4.13.
SO_PEERGROUPS = 59
# As many as Python's getsockopt has room for (1024 bytes).
MAX_GROUPS = 256
# What the kernel says of a user that has no number here (another user namespace): anybody.
OVERFLOW_ID = 65534
_CREDENTIALS = struct.Struct("iII")
_GROUP = struct.Struct("I")


@dataclass(frozen=True, slots=True)
class Peer:
    """The process that connected, as it was then: its uid and every group of it.

    `pid` is 0 where it is in a pid namespace that we do not see.
    """

    pid: int
    uid: int
    gids: frozenset[int]


@dataclass(frozen=True, slots=True)
class Callers:
    """Who may ask: `uids`, members of `gids`, or everybody."""

    uids: frozenset[int]
    gids: frozenset[int]
    everybody: bool = False

    @property
    def are_others(self) -> bool:
        """Whether anybody but the sidecar's own user is among them."""
        return self.everybody or bool(self.uids or self.gids)

    def rank(self, peer: Peer) -> int:
        """How plainly `peer` is meant: 3 by uid, 2 by group, 1 as everybody, 0 not at all."""
        if peer.uid in self.uids:
            return 3
        if peer.gids & self.gids:
            return 2
        return 1 if self.everybody else 0


def is_own(peer: Peer) -> bool:
    """Whether `peer` is of the sidecar's own user, which has its secrets anyway."""
    if peer.uid != os.geteuid():
        return False
    return peer.uid != OVERFLOW_ID or _has_everybody()


def _has_everybody() -> bool:
    """Whether every user has a number here: then 65534 is one of them. user_namespaces(7)."""
    try:
        with open("/proc/self/uid_map", encoding="utf-8") as file:
            return file.read().split() == ["0", "0", str(2**32 - 1)]
    except OSError:
        return False


def peer_of(connection: socket.socket) -> Peer:
    """The process at the other end of `connection`, which is one of a unix socket's.

    Raises OSError where the kernel does not say.
    """
    size = _CREDENTIALS.size
    # Kept from when it connected, so it is known even of one that has gone.
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    pid, uid, gid = _CREDENTIALS.unpack(data)
    return Peer(pid, uid, frozenset((gid, *_groups(connection))))


def callers(config: Config) -> Callers:
    """Whom `config` allows. Raises ConfigError for what is no list of numbers."""
    uids = config.value(ALLOW_UIDS)
    if uids is not None and uids.text.strip().lower() == "all":
        return Callers(frozenset(), _numbers(config.value(ALLOW_GIDS)), everybody=True)
    return Callers(_numbers(uids), _numbers(config.value(ALLOW_GIDS)))


def _groups(connection: socket.socket) -> tuple[int, ...]:
    try:
        data = connection.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, MAX_GROUPS * _GROUP.size)
    except OSError:
        return ()  # an older kernel, or more of them than we read: then only its first one counts
    return tuple(number for (number,) in _GROUP.iter_unpack(data))


def _numbers(value: Value | None) -> frozenset[int]:
    if value is None:
        return frozenset()
    words = [word.strip() for word in value.text.split(",") if word.strip()]
    if not all(word.isdecimal() and word.isascii() and int(word) < 2**32 - 1 for word in words):
        raise ConfigError(
            f"{value.origin}: must be numbers with commas between them",
            hint="`id -u` and `id -g` tell a user's",
        )
    return frozenset(int(word) for word in words)
