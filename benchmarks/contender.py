"""A running sidecar, and commands that are measured by turns: what each benchmark of it needs."""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from git_credential_relay.wiring.launcher import launcher_script

PEER = "git's daemon"
OURS = "our sidecar"
START_SECONDS = 30


@dataclass
class Contender:
    """One command that is measured, and the one that it is compared with."""

    name: str
    command: list[str]
    env: dict[str, str]
    peer: str = ""
    expected: bytes = b"password=bench-token\n"
    milliseconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Milliseconds, half of the runs below."""
        return statistics.median(self.milliseconds)

    def run(self, work: Path) -> None:
        """Run once, and check that it answered: a fast failure is no result.

        Not by subprocess.run: its own work is about as long as the program's, and the same for
        all, so it would flatter whatever is slow.
        """
        output = work / "output"
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, str(work / "request"), os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(output), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        ]
        started = time.perf_counter()
        pid = os.posix_spawnp(self.command[0], self.command, self.env, file_actions=actions)
        _, status = os.waitpid(pid, 0)
        self.milliseconds.append((time.perf_counter() - started) * 1000)
        if status != 0 or self.expected not in output.read_bytes():
            raise SystemExit(f"bench: {self.name} did not answer")


@contextmanager
def sidecar(directory: Path, env: dict[str, str], *options: str) -> Iterator[tuple[Path, int]]:
    """Socket and process id of a running sidecar."""
    socket = directory / "served" / "git.sock"
    command = [str(launcher(directory)), "sidecar", "--socket", str(socket), *options]
    with (directory / "sidecar.log").open("w+") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        try:
            for _ in range(START_SECONDS * 50):
                log.seek(0)
                if "ready on" in log.read():
                    break
                if process.poll() is not None:
                    log.seek(0)
                    raise SystemExit(f"bench: no sidecar: {log.read()}")
                time.sleep(0.02)
            yield socket, process.pid
        finally:
            process.terminate()
            process.wait(START_SECONDS)


def launcher(directory: Path) -> Path:
    """The helper as `install` writes it."""
    path = directory / "git-credential-relay"
    path.write_text(launcher_script(sys.executable))
    path.chmod(0o755)
    return path


def settings(work: Path, api_url: str) -> dict[str, str]:
    """The environment of a workspace whose tokens `api_url` gives out."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(work),
        "GIT_CONFIG_NOSYSTEM": "1",
        "CLOUD_API_URL": api_url,
        "WORKSPACE_ID": "bench",
        "WORKSPACE_TOKEN": "bench-secret",
        "GIT_CREDENTIAL_RELAY_CACHE_DIR": str(work / "cache"),
        "GIT_CREDENTIAL_RELAY_FALLBACK": "off",
    }


def measure(work: Path, measured: list[Contender], rounds: int) -> dict[str, float]:
    """Run all of them by turns and print medians, spreads and ratios; the medians.

    The first one is the floor.
    """
    for contender in measured:
        contender.run(work)  # fills the caches
        contender.milliseconds.clear()
    for _ in range(rounds):
        for contender in random.sample(measured, len(measured)):
            contender.run(work)
    medians = {contender.name: contender.median for contender in measured}
    floor = measured[0]
    print(f"{'':34} {'median':>9} {'p90':>9} {'x ' + Path(floor.command[0]).name:>7} {'x peer':>7}")
    for each in measured:
        p90 = sorted(each.milliseconds)[int(len(each.milliseconds) * 0.9)]
        of_peer = f"{each.median / medians[each.peer]:7.2f}" if each.peer else "      -"
        of_floor = each.median / floor.median
        print(f"{each.name:34} {each.median:6.2f} ms {p90:6.2f} ms {of_floor:7.2f} {of_peer}")
    return medians


def resident(pid: int) -> float:
    """Resident megabytes of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024
