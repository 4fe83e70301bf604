"""What a sidecar costs with 1, 100 and 10,000 keys, beside git's own daemon with as many.

Asked over the socket without git's client, whose start takes longer than any answer.
"""

from __future__ import annotations

import json
import random
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from benchmarks.bench import git_cache
from benchmarks.contender import OURS, PEER, resident, settings, sidecar
from git_credential_relay.demo.loopback import LoopbackHandler, LoopbackServer

SIZES = (1, 100, 10_000)
ASKS = 500
ERASES = 20
FILLERS = 8
TARGET = "protocol=https\nhost=github.com\npath=acme/r{number}.git\n"


class _Api(LoopbackHandler):
    """A cloud API that has a token of its own for each repository."""

    def do_GET(self) -> None:
        """Give out the token."""
        [path] = parse_qs(urlsplit(self.path).query)["path"]
        answer = {"token": f"bench-{path}", "username": "x", "expiresAt": "2099-01-01T00:00:00Z"}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def cloud_api() -> Iterator[str]:
    """The address of a running API."""
    server = LoopbackServer(_Api)
    server.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.stop()


def ask(path: str, action: str, number: int, more: str = "") -> bytes:
    """What the server at `path` answers about one repository."""
    message = f"action={action}\ntimeout=900\n" + TARGET.format(number=number) + more
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.sendall(message.encode())
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := client.recv(65536):
            answer += chunk
    return answer


def store(path: str, number: int) -> None:
    """Give git's daemon a credential to keep."""
    ask(path, "store", number, f"username=x\npassword=bench-acme/r{number}\n")


def get(path: str, number: int) -> None:
    """Ask for the token of a repository, which must be its own."""
    if f"password=bench-acme/r{number}\n".encode() not in ask(path, "get", number):
        raise SystemExit(f"bench: no token for acme/r{number}")


def erase(path: str, number: int) -> None:
    """Have a token dropped that is kept."""
    ask(path, "erase", number, f"username=x\npassword=bench-acme/r{number}\n")


def microseconds(act: object, path: str, numbers: list[int]) -> float:
    """How long it takes, half of the times below."""
    assert callable(act)
    taken = []
    for number in numbers:
        started = time.perf_counter()
        act(path, number)
        taken.append((time.perf_counter() - started) * 1e6)
    return statistics.median(taken)


def measure_keys() -> None:
    """Print a line for each number of keys."""
    print(
        f"\n{'keys':>7} {'get':>9} {'x git':>7} {'erase':>9} {'x git':>7} {'memory':>9} {'git':>9}"
    )
    with tempfile.TemporaryDirectory() as directory, cloud_api() as api_url:
        work = Path(directory)
        env = settings(work, api_url)
        with git_cache(work, env) as cache, sidecar(work, env) as (ours, pid):
            theirs = cache[-1].partition("=")[2]
            known = 0
            for size in SIZES:
                fill(str(ours), theirs, range(known, size))
                known = size
                report(str(ours), theirs, size, (pid, daemon_of(theirs)))


def fill(ours: str, theirs: str, numbers: range) -> None:
    """Have both know the tokens of these repositories."""
    with ThreadPoolExecutor(FILLERS) as pool:
        list(pool.map(lambda number: get(ours, number), numbers))
    for number in numbers:
        store(theirs, number)


def report(ours: str, theirs: str, size: int, pids: tuple[int, int]) -> None:
    """Measure both by turns, and print."""
    numbers = random.choices(range(size), k=ASKS)  # noqa: S311 - nobody must not guess them
    gets: dict[str, list[float]] = {OURS: [], PEER: []}
    for start in range(0, ASKS, 50):
        for name, path in ((OURS, ours), (PEER, theirs)):
            gets[name].append(microseconds(get, path, numbers[start : start + 50]))
    get_ours, get_theirs = (statistics.median(gets[name]) for name in (OURS, PEER))
    doomed = random.sample(range(size), min(size, ERASES))
    erase_ours = microseconds(erase, ours, doomed)
    erase_theirs = microseconds(erase, theirs, doomed)
    memory = [f"{resident(pid):6.1f} MB" for pid in pids]
    print(
        f"{size:7} {get_ours:6.0f} us {get_ours / get_theirs:7.2f}"
        f" {erase_ours:6.0f} us {erase_ours / erase_theirs:7.2f} {memory[0]} {memory[1]}"
    )
    for number in doomed:
        get(ours, number)
        store(theirs, number)


def daemon_of(path: str) -> int:
    """The process that listens at a socket."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[:4], "little")
