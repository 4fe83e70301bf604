"""gh's socket of a sidecar with several workspaces: whose token a request gets, or none."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tests.fakes.api import issues
from tests.fakes.sidecar import (
    OTHER_UID,
    THIRD_UID,
    SidecarProcess,
    socket_directory,
    workspace_environ,
)
from tests.fakes.upstream import running_upstream, says

STRANGER_UID = 54323
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")


def ask_as(uid: int, path: Path, host: str) -> str:
    """The answer to a request for `host`; who asks is told by who connects."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        os.seteuid(uid)
        try:
            connection.connect(str(path))
        finally:
            os.seteuid(0)
        connection.sendall(f"GET /api/v3/user HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        return connection.recv(65536).decode()


def test_each_user_has_the_token_of_its_own_workspace(api, tmp_path):
    """By the uid that the kernel tells; who is in none gets nothing."""
    for name, uid in (("a", OTHER_UID), ("b", THIRD_UID)):
        own = f"WORKSPACE_ID={name}\nWORKSPACE_TOKEN=x\nGIT_CREDENTIAL_RELAY_ALLOW_UIDS={uid}\n"
        (tmp_path / f"{name}.env").write_text(own)
    with running_upstream(lambda seen: says({})) as upstream, socket_directory() as directory:
        api.script(lambda seen: issues(f"tok-{seen.fields['workspaceId']}", host=upstream.host))
        environ = workspace_environ(api.url) | {
            "GIT_CREDENTIAL_RELAY_WORKSPACES": str(tmp_path),
            "GIT_CREDENTIAL_RELAY_HOSTS": f"github=http://{upstream.host}",
        }
        with SidecarProcess(directory, environ, gh=True) as sidecar:
            users = (OTHER_UID, THIRD_UID, STRANGER_UID)
            answers = [ask_as(uid, sidecar.gh_socket, upstream.host) for uid in users]

    assert [answer[9:12] for answer in answers] == ["200", "200", "403"]
    assert "[sidecar-refused]" in answers[2]
    assert upstream.tokens == ["token tok-a", "token tok-b"]
