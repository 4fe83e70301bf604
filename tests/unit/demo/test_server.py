"""The demo's servers: started, waited for, killed, and started again."""

import os
import sys
from pathlib import Path

import pytest

from git_credential_relay.demo.server import ServerProcess, ServerStartError

SERVE = "import sys, time; print('ready on', sys.argv[1], flush=True); time.sleep(60)"


def command(script: str, *arguments: str) -> list[str]:
    """Run a script."""
    return [sys.executable, "-I", "-c", script, *arguments]


@pytest.fixture
def process(tmp_path):
    """A process that is not started."""
    process = ServerProcess(tmp_path / "log", "ready on ")
    yield process
    process.stop()


def test_start_waits_until_it_serves(process, tmp_path):
    """The word after the sign is the answer, anew at each start, and its environment is ours."""
    for word in ("here", "there"):
        assert process.start(command(SERVE, word), {"ONLY": "1"}, tmp_path) == word
        assert process.pid is not None
        assert Path(f"/proc/{process.pid}/environ").read_text() == "ONLY=1\0"
        process.kill()
        assert process.pid is None


def test_what_does_not_start_says_why(process, tmp_path):
    """One that ends without serving is an error with its last words, and not the earlier ones."""
    process.start(command(SERVE, "here"), {}, tmp_path)
    process.stop()
    with pytest.raises(ServerStartError, match=r"^no such thing$"):
        process.start(command("import sys; sys.exit('no such thing')"), {}, tmp_path)

    assert process.pid is None


def test_stop_lets_it_end_well(process, tmp_path):
    """A server that is stopped is told so first, and gone afterwards."""
    polite = "import signal, sys; signal.signal(15, lambda *_: sys.exit(print('bye', flush=True)));"
    process.start(command(polite + SERVE, "here"), {}, tmp_path)
    pid = process.pid
    process.stop()

    assert process.log.read_text().endswith("bye\n")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
