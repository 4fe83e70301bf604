"""docs/sidecar.md says what the sidecar does: its limits, its JSON, its examples."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from git_credential_relay.credential.request import MAX_REQUEST
from git_credential_relay.doctor.run import examine
from git_credential_relay.relay.cache.memory import MAX_ENTRIES
from git_credential_relay.relay.cache_socket.message import MAX_LINES
from git_credential_relay.relay.sidecar import (
    connection,
    listener,
    log,
    record,
    refresh,
    renewal,
    room,
    status,
    tenancy,
    why,
    workspace,
)
from git_credential_relay.relay.sidecar.api_proxy.bounds import Bounds
from git_credential_relay.relay.sidecar.workspaces import read_tenants
from tests.fakes.api import refuses, serve_api
from tests.fakes.program import EXECUTABLE
from tests.fakes.sidecar import SidecarProcess, socket_directory, workspace_environ
from tests.test_docs import table_rows

DOCUMENT = (Path(__file__).parent.parent / "docs" / "sidecar.md").read_text()


def blocks(language: str, section: str) -> list[str]:
    """The blocks in `language` below the heading `section`."""
    text = DOCUMENT.split(f"\n## {section}")[1].split("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_the_limits_are_those_of_the_code():
    """Each number of the table is what the program keeps to."""
    bounds = Bounds()
    assert record.MAX_TARGETS == MAX_ENTRIES
    expected = [
        f"{room.MAX_PER_UID}, {room.MAX_IN_ALL}",
        f"{bounds.per_uid}, {bounds.in_all}",
        f"{connection.REQUEST_SECONDS:g} s",
        f"{connection.READ_SECONDS:g} s",
        f"{MAX_REQUEST // 1024} KiB, {MAX_LINES} lines",
        str(workspace.THREADS),
        str(record.MAX_TARGETS),
        f"{log.MAX_LINES} a minute",
        f"{listener.LONGEST_PATH} bytes",
    ]

    assert [limit for _, limit in table_rows(DOCUMENT, "| what | limit |")] == expected
    assert log.SECONDS == 60
    assert (
        f"in the last {refresh.USED_WITHIN / 60:g} min are renewed about {renewal.AHEAD:g} s"
        in (DOCUMENT)
    )
    assert f"({tenancy.DRAIN_SECONDS:g} s at most)" in DOCUMENT
    assert f"the {status.MAX_KEYS} used last" in DOCUMENT
    assert f"in the last {why.JUST_NOW:g} s" in DOCUMENT


@pytest.fixture(scope="module")
def sidecar():
    """A sidecar that was asked for acme/app in vain."""
    with serve_api() as api, socket_directory() as directory:
        api.script(refuses(403, error="not yours", code="NOT_GRANTED"))
        with SidecarProcess(directory, workspace_environ(api.url)) as sidecar:
            assert sidecar.get("acme/app") == {}
            yield sidecar


def names_in(value: object) -> list[str]:
    """Every name in a JSON value, in order."""
    if isinstance(value, list):
        return [name for each in value for name in names_in(each)]
    if not isinstance(value, dict):
        return []
    return [name for key, each in value.items() for name in (key, *names_in(each))]


def test_every_field_of_the_json_is_described(sidecar):
    """Each name in the answer has its line, and no other."""
    import json

    answered = set(names_in(json.loads(sidecar.question("status", format="json"))))
    described = {name.strip("`") for name, _ in table_rows(DOCUMENT, "| field | meaning |")}

    assert described == answered - {"code", "at", "lines"}
    assert "`code`, `at` and `lines`" in DOCUMENT


def test_a_shell_asks_as_shown(sidecar):
    """The example of `why` without Python prints what went wrong."""
    [example] = blocks("sh", "What went wrong")
    script = example.replace("/run/git-credential-relay/git.sock", str(sidecar.socket))
    done = subprocess.run(
        ["sh", "-eu"], input=script, capture_output=True, text=True, check=False, env={"HOME": "/",
        "PATH": os.environ["PATH"]},
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    assert "not yours [NOT_GRANTED]" in done.stdout


def test_two_lines_wire_git_as_shown(sidecar, tmp_path, monkeypatch):
    """After the recipe for a Dockerfile git asks the sidecar, and doctor has nothing to mend."""
    [recipe] = blocks("dockerfile", "Wiring git and gh")
    script = recipe.removeprefix("RUN ").replace(
        "/run/git-credential-relay", str(sidecar.directory)
    )
    assert script.count(str(sidecar.directory)) == 1
    system = tmp_path / "etc-gitconfig"
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GIT_CONFIG_SYSTEM": str(system)}
    subprocess.run(["sh", "-eu"], input=script, text=True, check=True, env=environ)
    environ["GIT_CREDENTIAL_RELAY_SOCKET"] = str(sidecar.socket)
    checks = examine(
        environ, {}, str(tmp_path), repo="https://github.com/acme/app", is_offline=True
    )
    found = {check.name: check.status for check in checks}

    assert found["helper-order"] == found["use-http-path"] == found["sidecar"] == "ok"
    assert found["last-trouble"] == "warn"


def test_the_workspace_files_are_as_shown(tmp_path):
    """Both examples together are a configuration: one by uid, one by a socket."""
    directory = tmp_path / "workspaces"
    directory.mkdir()
    for text in blocks("sh", "Several workspaces"):
        name = text.split(":")[0].removeprefix("# ")
        (directory / name).write_text(text)
    environ = {"CLOUD_API_URL": "https://x", "GIT_CREDENTIAL_RELAY_WORKSPACES": str(directory)}
    blue, green = read_tenants(environ, {}, "/common/git.sock", "/common/gh.sock")

    assert (blue.name, blue.socket, blue.gh_socket) == (
        "blue",
        "/common/git.sock",
        "/common/gh.sock",
    )
    assert blue.callers.uids == {1001}
    assert (green.name, green.config.workspace_id) == ("green", "green")
    assert green.socket == "/run/git-credential-relay/green/git.sock"
    assert green.callers.everybody


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_the_unit_is_one(tmp_path):
    """systemd finds nothing wrong with the unit."""
    [unit] = blocks("ini", "systemd")
    assert "/usr/local/bin/git-credential-relay sidecar" in unit
    path = tmp_path / "git-credential-relay-sidecar.service"
    path.write_text(unit.replace("/usr/local/bin/git-credential-relay", str(EXECUTABLE)))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(path)],
        capture_output=True, text=True, check=False,
        env={"PATH": os.environ["PATH"], "SYSTEMD_LOG_LEVEL": "warning"},
    )  # fmt: skip

    assert (done.returncode, [line for line in done.stderr.splitlines() if path.name in line]) == (
        0,
        [],
    )


def test_the_modes_of_the_socket_are_as_said(sidecar):
    """0600 while nobody else may ask; in a directory of mode 0755."""
    assert "mode is 0666 when anybody else may ask, else 0600" in DOCUMENT
    assert stat.S_IMODE(sidecar.socket.stat().st_mode) == listener.CLOSED == 0o600
    assert (listener.OPEN, listener.DIRECTORY) == (0o666, 0o755)


def test_the_readme_starts_one_as_shown(tmp_path):
    """The README's lines start a sidecar, and its two lines for git are those of the recipe."""
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    section = readme.split("### With a sidecar")[1].split("\n### ")[0]
    start, wire = re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    [recipe] = blocks("dockerfile", "Wiring git and gh")
    assert re.findall(r"git config .*\S", wire) == [
        line.rstrip(" \\") for line in re.findall(r"git config .*\S", recipe)
    ]
    secret = tmp_path / "secret"
    secret.write_text("s3cr3t-0123456789")
    with socket_directory() as directory:
        script = start.replace("/run/secrets/workspace-token", str(secret))
        script = script.replace("/run/git-credential-relay/git.sock", f"{directory}/git.sock")
        script = script.replace("git-credential-relay sidecar", f"exec {EXECUTABLE} sidecar")
        with subprocess.Popen(
            ["sh", "-euc", script],
            stderr=subprocess.PIPE, text=True, env={"PATH": os.environ["PATH"]},
        ) as process:  # fmt: skip
            assert process.stderr is not None
            line = process.stderr.readline()
            process.terminate()
            process.communicate(timeout=20)

    assert line == f"git-credential-relay: sidecar: ready on {directory}/git.sock\n"
    assert process.returncode == 0
