"""The sidecar beside git's own credential-cache daemon, asked by the same client, in one run.

Rounds alternate between the two, so that load on the machine meets both alike; what counts are
the ratios, not the milliseconds. Usage: python -m benchmarks.sidecar [--rounds N]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks.bench import REQUEST, cloud_api, git_cache
from benchmarks.contender import (
    OURS,
    PEER,
    Contender,
    launcher,
    measure,
    resident,
    settings,
    sidecar,
)
from benchmarks.sidecar_gh import measure_gh
from benchmarks.sidecar_keys import measure_keys

FLOOR = "git --version"
TARGET = 1.3
REQUESTS = 10_000
GITS = 32
# One after another without an end between them, as 32 submodules or worktrees of an agent would.
LOAD = """\
i=0
while [ "$i" -lt "$COUNT" ]; do
    git credential-cache --socket="$SOCKET" get <"$REQUEST" || echo failed
    i=$((i + 1))
done
"""


def clients(env: dict[str, str], paths: dict[str, str]) -> Iterator[Contender]:
    """Git's own client alone, at each of the sockets."""
    yield Contender(FLOOR, ["git", "--version"], env, expected=b"git version")
    for name, path in paths.items():
        ask = ["git", "credential-cache", f"--socket={path}", "get"]
        yield Contender(f"credential-cache get, {name}", ask, env, f"credential-cache get, {PEER}")


def helpers(
    work: Path, env: dict[str, str], direct: dict[str, str], paths: dict[str, str]
) -> Iterator[Contender]:
    """All that git does for a credential; the `direct` helper needs an environment for it."""
    yield Contender(FLOOR, ["git", "--version"], env, expected=b"git version")
    for name, path in paths.items():
        yield Contender(f"fill, {name}", fill(f"cache --socket={path}"), env, f"fill, {PEER}")
    yield Contender("fill, direct helper", fill(str(launcher(work))), direct, f"fill, {PEER}")


def fill(helper: str) -> list[str]:
    """git's question for a credential with this one helper."""
    configured = ["-c", f"credential.helper={helper}", "-c", "credential.useHttpPath=true"]
    return ["git", *configured, "credential", "fill"]


def measure_hits(
    work: Path, env: dict[str, str], cache: list[str], socket: Path, rounds: int
) -> None:
    """How long a hit takes."""
    # The agent's side: no secret, and nothing of ours in the environment.
    bare = {name: env[name] for name in ("PATH", "HOME", "GIT_CONFIG_NOSYSTEM")}
    paths = {PEER: cache[-1].partition("=")[2], OURS: str(socket)}
    medians = measure(work, list(clients(bare, paths)), rounds)
    ours, peer = (medians[f"credential-cache get, {name}"] for name in (OURS, PEER))
    print(f"\ntarget: a hit <= {TARGET} x git's daemon: {ours / peer:.2f}\n")
    measure(work, list(helpers(work, bare, env, paths)), rounds // 2)


def measure_load(work: Path, cache: list[str], socket: Path, pid: int) -> None:
    """Ten thousand requests from parallel gits, and what is left of them in the sidecar."""
    theirs = Path(cache[-1].partition("=")[2])
    before = footprint(pid)
    title = f"{REQUESTS} gets, {GITS} gits at a time"
    print(f"\n{title:36}{'answered':>10}{'failed':>8}{'per second':>12}")
    rates = {}
    for name, path in ((PEER, theirs), (OURS, socket)):
        started = time.perf_counter()
        answered, failed = run_gits(work, path)
        rates[name] = REQUESTS / (time.perf_counter() - started)
        print(f"{name:36}{answered:10}{failed:8}{rates[name]:12.0f}")
        if failed or answered != REQUESTS:
            raise SystemExit(f"bench: {name} left gits without an answer")
    print(f"our sidecar, before: {before}; after: {footprint(pid)}")


def run_gits(work: Path, socket: Path) -> tuple[int, int]:
    """How many of the requests were answered, and how many failed or had something to say."""
    env = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(work),
        "SOCKET": str(socket),
        "REQUEST": str(work / "request"),
    }
    said = work / "said"
    said.mkdir(exist_ok=True)
    with ExitStack() as stack:
        shells = []
        for number in range(GITS):
            count = REQUESTS * (number + 1) // GITS - REQUESTS * number // GITS
            out = stack.enter_context((said / f"{number}.out").open("wb"))
            err = stack.enter_context((said / f"{number}.err").open("wb"))
            command = ["sh", "-c", LOAD]
            counted = {**env, "COUNT": str(count)}
            shells.append(subprocess.Popen(command, env=counted, stdout=out, stderr=err))
        for shell in shells:
            shell.wait()
    outputs = [path.read_bytes() for path in said.glob("*.out")]
    answered = sum(output.count(b"password=bench-token\n") for output in outputs)
    failed = sum(output.count(b"failed\n") for output in outputs)
    return answered, failed + sum(bool(path.stat().st_size) for path in said.glob("*.err"))


def footprint(pid: int) -> str:
    """Memory, open files and threads of a process, as far as we may look."""
    status = Path(f"/proc/{pid}/status").read_text()
    threads = status.split("Threads:")[1].split()[0]
    try:
        files = str(len(os.listdir(f"/proc/{pid}/fd")))
    except PermissionError:
        files = "?"  # it closes itself to other processes of its user
    return f"{resident(pid):.1f} MB, {files} files, {threads} threads"


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="runs of each contender")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as directory, cloud_api() as api_url:
        work = Path(directory)
        (work / "request").write_bytes(REQUEST)
        env = settings(work, api_url)
        with git_cache(work, env) as cache, sidecar(work, env) as (socket, pid):
            print(f"the sidecar, {rounds} interleaved rounds, {os.cpu_count()} processors\n")
            measure_hits(work, env, cache, socket, rounds)
            measure_load(work, cache, socket, pid)
    measure_keys()
    measure_gh(max(20, rounds // 5))


if __name__ == "__main__":
    main()
