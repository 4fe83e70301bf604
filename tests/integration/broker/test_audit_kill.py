"""The audit log under kill -9, and under several processes that rotate it at once."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from git_credential_relay.broker.audit.file import AuditLog
from git_credential_relay.broker.audit.line import serialize
from git_credential_relay.broker.audit.search import tail
from tests.unit.broker.audit.events import event

ROOT = Path(__file__).parents[3]
# Says each number once its event is on record: what the broker's answer is to a caller.
WRITER = """
import sys
from pathlib import Path
from git_credential_relay.broker.audit.event import AuditEvent
from git_credential_relay.broker.audit.file import AuditLog

path, name, count, max_bytes = sys.argv[1:]
log = AuditLog(Path(path), max_bytes=int(max_bytes), keep=1000)
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(count)):
    padding = "x" * (number % 7 * 997)
    log.write(AuditEvent(at=number, request_id=f"{name}-{number}", reason=padding))
    sys.stdout.write(f"{name}-{number}\\n")
    sys.stdout.flush()
"""


def start_writer(path: Path, name: str, count: int, max_bytes: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(count), str(max_bytes)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def begin(*writers: subprocess.Popen[str]) -> None:
    """Let them all write, from the same moment on."""
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()


def written_ids(path: Path) -> list[str]:
    return [str(found["request_id"]) for found in tail(path, 1_000_000, follow=False)]


@pytest.mark.parametrize("max_bytes", [100_000_000, 20_000])
def test_every_answer_of_a_killed_process_is_on_record(tmp_path, max_bytes):
    """Whenever it dies, each event it answered for is there once, and no line spoils another."""
    path = tmp_path / "audit.ndjson"
    answered: list[str] = []
    for run, answers in enumerate((1, 7, 60, 133, 250, 399)):
        with start_writer(path, f"run{run}", 1_000_000, max_bytes) as writer:
            begin(writer)
            assert writer.stdout is not None
            answered += [writer.stdout.readline().strip() for _ in range(answers)]
            os.kill(writer.pid, signal.SIGKILL)
            rest = writer.stdout.read().splitlines(keepends=True)
        answered += [line.strip() for line in rest if line.endswith("\n")]
    log = AuditLog(path, max_bytes=max_bytes, keep=1000)
    log.write(event("after"))
    log.close()

    found = written_ids(path)
    assert len(set(found)) == len(found)
    assert [name for name in answered if name not in set(found)] == []
    # Of each run at most the one event that was never answered for is there besides.
    assert len(found) - 1 - len(answered) <= 6
    assert path.read_bytes().endswith(serialize(event("after")))


def test_processes_that_rotate_at_once_lose_nothing(tmp_path):
    """Every event of each is there once, in its own order, and no file is too long."""
    path = tmp_path / "audit.ndjson"
    writers = [start_writer(path, f"p{number}", 300, 15_000) for number in range(3)]
    begin(*writers)
    for writer in writers:
        writer.communicate(timeout=30)
        assert writer.returncode == 0

    found = written_ids(path)
    for number in range(3):
        own = [name for name in found if name.startswith(f"p{number}-")]
        assert own == [f"p{number}-{count}" for count in range(300)]
    files = list(tmp_path.glob("audit.ndjson*"))
    assert len(files) > 100
    assert all(file.stat().st_size <= 15_000 for file in files)
