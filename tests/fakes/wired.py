"""A machine wired by `install`, in a mount namespace of its own: /etc and the rest are copies."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from git_credential_relay.demo.forge import PlaygroundForge
from tests.fakes.cloud import SmallCloud

REPOSITORIES = {"acme/app": True, "acme/lib": True}
MOUNTS = """\
set -eu
mount --make-rprivate /
mount -t tmpfs none "$SCRATCH"
for directory in etc usr/local var/lib; do
    mkdir -p "$SCRATCH/$directory/upper" "$SCRATCH/$directory/work"
    mount -t overlay none "/$directory" -o \\
        "lowerdir=/$directory,upperdir=$SCRATCH/$directory/upper,workdir=$SCRATCH/$directory/work"
done
# What an `install` on this very machine has left behind would make another wiring of ours.
for directory in /etc/git-credential-relay /var/lib/git-credential-relay; do
    if [ -d "$directory" ]; then mount -t tmpfs none "$directory"; fi
done
mount -t tmpfs none /run
mount -t tmpfs -o mode=1777 none /dev/shm
"""
INSTALL = """\
"$PROGRAM" install --host "$FORGE" --identity 'Agent <agent@example.com>' >/run/installed
mkdir -p /run/git-credential-relay
printf '%s\\n' "CLOUD_API_URL=$API" "WORKSPACE_ID=$WORKSPACE" "WORKSPACE_TOKEN=$SECRET" \\
    "GIT_CREDENTIAL_RELAY_FALLBACK=off" >/run/git-credential-relay/relay.env
echo ready
exec sleep 3600
"""


@dataclass(frozen=True)
class WiredMachine:
    """Where agents of any user find git wired. `pid` holds the namespace."""

    pid: int
    forge: PlaygroundForge
    cloud: SmallCloud
    homes: Path

    def run(
        self, script: str, *arguments: str, uid: int = 65534, shell: tuple[str, ...] = ("sh", "-eu")
    ) -> subprocess.CompletedProcess[str]:
        """Run a script as a user with an empty environment, in a new directory of that user."""
        directory = self.homes / f"agent-{len(list(self.homes.iterdir()))}"
        directory.mkdir()
        as_user = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
        enter = ["nsenter", f"--target={self.pid}", "--mount", f"--wd={directory}"]
        prepare = f'chown {uid} "{directory}" && exec env -i "$@"'
        return subprocess.run(
            [*enter, "sh", "-c", prepare, "sh", *as_user, *shell, "-c", script, "sh", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )


@contextmanager
def wired_machine(program: Path, directory: Path) -> Iterator[WiredMachine]:
    """Wire a copy of this machine with an installed `program`; skips where that is impossible.

    Its files are below `directory`, which every user can enter.
    """
    if os.geteuid() != 0:
        pytest.skip("only root can make a mount namespace")
    scratch = Path(tempfile.mkdtemp(dir=directory))
    scratch.chmod(0o755)
    homes = scratch / "homes"
    homes.mkdir()
    homes.chmod(0o755)
    mounts = scratch / "mounts"
    mounts.mkdir()
    probe = ["unshare", "--mount", "sh", "-c", MOUNTS]
    environ = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "SCRATCH": str(mounts)}
    tried = subprocess.run(probe, env=environ, capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"no right to make a mount namespace with overlays: {tried.stderr.strip()}")
    with PlaygroundForge() as forge:
        for repository in REPOSITORIES:
            forge.create_repository(repository)
        with SmallCloud(forge.tokens, forge.host, REPOSITORIES, lifetime_seconds=3600) as cloud:
            environ |= {
                "PROGRAM": str(program),
                "FORGE": forge.url,
                "API": cloud.url,
                "WORKSPACE": cloud.workspace_id,
                "SECRET": cloud.workspace_secret,
            }
            with subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", MOUNTS + INSTALL],
                env=environ,
                stdout=subprocess.PIPE,
                text=True,
            ) as holder:
                try:
                    assert holder.stdout is not None
                    assert holder.stdout.readline() == "ready\n"
                    yield WiredMachine(holder.pid, forge, cloud, homes)
                finally:
                    holder.kill()
