"""Refresh-ahead and outages, with the real sidecar, whose clock a test winds."""

import json
import sys
import time
from pathlib import Path

import pytest

from tests.fakes.api import issues, refuses
from tests.fakes.sidecar import SidecarProcess, git_cache, workspace_environ

ROOT = Path(__file__).parents[3]
# The `sidecar` command, but for the clock.
WOUND = """\
#!{python}
import asyncio, os, sys, time
sys.path.insert(0, {root!r})
from git_credential_relay.relay.deadline import Clock
from git_credential_relay.relay.sidecar.run import write
from git_credential_relay.relay.sidecar.log import Log
from git_credential_relay.relay.sidecar.serve import Sidecar
from git_credential_relay.relay.sidecar.watch import Watch
from git_credential_relay.relay.sidecar.workspaces import read_tenants

def ahead():
    with open({wound!r}) as file:
        return float(file.read() or 0)

clock = Clock(lambda: time.time() + ahead(), lambda: time.monotonic() + ahead())
read = lambda: read_tenants(os.environ, {{}}, sys.argv[3], None)
asyncio.run(Sidecar(read, Watch(lambda: []), Log(write).say, clock).run())
"""


@pytest.fixture
def wound(tmp_path):
    """How many seconds the sidecar's clock is ahead of ours."""
    path = tmp_path / "wound"
    path.write_text("0")
    return path


@pytest.fixture
def sidecar(directory, api, tmp_path, wound):
    script = tmp_path / "sidecar"
    script.write_text(WOUND.format(python=sys.executable, root=str(ROOT), wound=str(wound)))
    script.chmod(0o755)
    environ = workspace_environ(api.url)
    with SidecarProcess(directory, environ, executable=script) as sidecar:
        yield sidecar


def wind(wound: Path, seconds: float) -> None:
    beside = wound.with_suffix(".new")
    beside.write_text(str(seconds))
    beside.rename(wound)


def wait_for(condition) -> None:
    give_up_at = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.02)


def test_what_is_in_use_is_renewed_in_the_background(sidecar, api, wound):
    """Nobody has asked for it when it is; git has the new one from memory, and the failure of
    a later renewal is nobody's trouble: `status` alone knows of it."""
    api.script(issues("first"), issues("second"), refuses(503, {"code": "DOWN"}))
    request = b"protocol=https\nhost=github.com\npath=o/r.git\n\n"
    assert sidecar.get("o/r")["password"] == "first"
    wind(wound, 2700)
    assert b"password=first\n" in git_cache(sidecar.socket, "get", request).stdout
    wind(wound, 2990)
    wait_for(lambda: len(api.requests) == 2)
    wait_for(lambda: sidecar.get("o/r")["password"] == "second")
    wind(wound, 2990 + 2700)
    assert sidecar.get("o/r")["password"] == "second"
    wind(wound, 2990 + 2990)
    wait_for(lambda: len(api.requests) == 3)
    assert b"password=second\n" in git_cache(sidecar.socket, "get", request).stdout

    [workspace] = json.loads(sidecar.question("status", format="json"))["workspaces"]
    [key] = workspace["keys"]
    assert [seen.fields["minLifetime"] for seen in api.requests] == ["600", "960", "960"]
    assert (workspace["api"]["state"], workspace["api"]["trouble"]["code"]) == ("failing", "DOWN")
    assert (key["is_troubled"], key["asks"] - key["hits"]) == (False, 1)
    assert "no trouble" in sidecar.question("why", url="https://github.com/o/r")
