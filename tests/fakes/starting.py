"""Brokers that open one database at the same moment."""

import subprocess
import sys

_PROGRAM = """
import sys
import psycopg, sqlalchemy.dialects.postgresql.psycopg  # loaded later, they would not meet
from git_credential_relay.broker.store.cipher import Cipher
from git_credential_relay.broker.store.store import Store
url, key = sys.stdin.readline().split()
print(flush=True)
sys.stdin.readline()
Store.open(url, Cipher([key])).close()
"""


def open_at_once(url: str, key: str, count: int = 3) -> list[tuple[str, int]]:
    """What each of so many processes says on stderr, and its exit status."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    for process in processes:
        _say(process, f"{url} {key}")
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    for process in processes:
        _say(process, "go")
    return [(process.communicate(timeout=50)[1], process.returncode) for process in processes]


def _say(process: "subprocess.Popen[str]", line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()
