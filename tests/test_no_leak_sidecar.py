"""A canary token and a canary secret through a sidecar: its answers, its log, and those who ask.

The token may be in an answer to git, the workspace's secret nowhere at all.
"""

from __future__ import annotations

import base64
import os
import subprocess

import pytest

from tests.fakes.agent import AgentHome, files_with, write_launcher
from tests.fakes.api import issues, refuses, serve_api
from tests.fakes.sidecar import SidecarProcess, git_cache, looks_inside, socket_directory
from tests.test_no_leak import ANSWERS, SECRET, TOKEN, spellings

FAILURES = (*ANSWERS.values(), refuses(403, error=f"{TOKEN}\x1b[2J {SECRET}", hint=SECRET))


@pytest.fixture
def api():
    """A relay API that issues the canary."""
    with serve_api() as api:
        api.script(issues(TOKEN, host="github.com"))
        yield api


@pytest.fixture
def sidecar(api, tmp_path):
    """A sidecar that traces what it does, with the canary secret in a file of its own."""
    secret = tmp_path / "workspace-token"
    secret.write_text(SECRET + "\n")
    secret.chmod(0o600)
    environ = {
        "CLOUD_API_URL": api.url,
        "WORKSPACE_ID": "ws-1",
        "WORKSPACE_TOKEN_FILE": str(secret),
        "GIT_CREDENTIAL_RELAY_FALLBACK": "off",
        "GIT_CREDENTIAL_RELAY_DEADLINE": "1",
        "GIT_CREDENTIAL_DEBUG": "1",
    }
    with socket_directory() as directory, SidecarProcess(directory, environ) as sidecar:
        yield sidecar


@pytest.fixture
def agent(tmp_path, sidecar):
    """An agent that knows where the sidecar is, and nothing else."""
    (tmp_path / "bin").mkdir()
    agent = AgentHome(tmp_path / "agent", write_launcher(tmp_path / "bin"))
    agent.environ["GIT_CREDENTIAL_RELAY_SOCKET"] = str(sidecar.socket)
    agent.environ["GIT_CREDENTIAL_RELAY_FALLBACK"] = "off"
    return agent


def assert_clean(*texts: str) -> None:
    """No canary, in any spelling, and no traceback."""
    for text in texts:
        for canary in (*spellings(TOKEN), *spellings(SECRET)):
            assert canary not in text
        assert "Traceback" not in text
        assert all(c.isprintable() or c == "\n" for c in text)


def reports(agent: AgentHome, sidecar: SidecarProcess) -> list[str]:
    """All that is told of what has happened, to people, programs and git's second helper."""
    request = b"protocol=https\nhost=github.com\npath=o/r\n\n"
    commands = [["why"], ["why", "https://github.com/o/r"], ["status"], ["status", "--json"]]
    commands += [[*command[:1], "--help"] for command in (["sidecar"], ["why"], ["status"])]
    commands += [["config"], ["doctor", "--offline"], ["doctor", "--json", "--offline"]]
    results = [agent.helper(*command) for command in commands]
    results.append(agent.helper("-v", "get", stdin=request))
    told = sidecar.question("why", format="stderr", protocol="https", host="github.com", path="o/r")
    said = [result.stderr for result in results]
    return [*said, *(result.stdout.decode() for result in results[:-1]), told, *sidecar.lines]


def test_a_token_is_told_to_git_and_to_nobody_else(agent, sidecar):
    """What answers git holds the token; reports, log and trace have its hash at most, and nothing
    of it is on any disk."""
    for path in ("o/r", "o/r", "o/other"):
        assert sidecar.get(path)["password"] == TOKEN
    token = agent.helper("-v", "token", "--repo", "o/r")
    assert TOKEN in token.stdout.decode()
    sidecar.erase(TOKEN, "o/r")
    texts = reports(agent, sidecar)

    assert any("token-refused" in text for text in texts)
    assert any("sha256" in line for line in sidecar.lines)
    assert_clean(token.stderr, *texts)
    assert files_with(TOKEN, agent.root, sidecar.directory) == []
    assert files_with(SECRET, agent.root, sidecar.directory) == []


def test_no_failure_of_the_api_tells(agent, sidecar, api):
    """Whatever the API echoes is masked in each of the ways a failure comes out of a sidecar."""
    for number, answer in enumerate(FAILURES):
        api.script(answer)
        answered = sidecar.ask(
            b"action=get\nrelay=credential\nprotocol=https\nhost=github.com\n"
            + f"path=o/r{number}\n\n".encode()
        )
        assert b"failure_code=" in answered
        assert_clean(answered.decode())
        assert sidecar.get(f"o/r{number}") == {}
        assert_clean(sidecar.question("why", url=f"https://github.com/o/r{number}"))
    api.script(FAILURES[-1])
    texts = reports(agent, sidecar)

    assert any("[denied]" in text for text in texts)
    assert_clean(*texts)


def test_what_a_client_says_is_not_repeated(agent, sidecar):
    """A password in a request, a URL or a name that is no host does not come back by any way."""
    for name in ("password", "username", "path", "host", "credential", "oauth_refresh_token"):
        sidecar.ask(f"action=get\nprotocol=https\nhost=github.com\n{name}={TOKEN}\n\n".encode())
        sidecar.ask(f"action=store\nprotocol=https\nhost=github.com\n{name}={TOKEN}\n\n".encode())
    by_url = sidecar.question("why", url=f"https://x:{TOKEN}@github.com/o/r")
    by_host = sidecar.question("why", protocol="https", host=TOKEN)
    command = agent.helper("why", f"https://x:{TOKEN}@github.com/o/r")
    client = git_cache(sidecar.socket, "get", f"relay=why\nurl=https://{TOKEN}/x\n\n".encode())
    texts = [by_url, by_host, command.stdout.decode(), command.stderr, client.stdout.decode()]

    assert all(text for text in texts[:3])
    assert_clean(*texts, client.stderr, *sidecar.lines)


def test_no_broken_configuration_tells(sidecar, tmp_path):
    """A setting that is wrong is named in the log, not shown."""
    sidecar.stop()
    sidecar.environ["CLOUD_API_URL"] = f"https://x:{TOKEN}@api.example"
    sidecar.start()

    assert sidecar.wait() == 2
    assert "[bad-config]" in "".join(sidecar.lines)
    assert_clean(*sidecar.lines)


@looks_inside
def test_no_process_list_tells(sidecar):
    """Arguments, environment and open files of the sidecar name the secret's file at most."""
    pid = sidecar.process.pid
    assert sidecar.get("o/r")["password"] == TOKEN
    shown = subprocess.run(
        ["ps", "-wwo", "args=", "-p", str(pid)], capture_output=True, check=False
    )
    arguments = b""
    for name in ("cmdline", "environ"):
        with open(f"/proc/{pid}/{name}", "rb") as stream:
            arguments += stream.read()
    opened = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]

    for canary in (SECRET, TOKEN, base64.b64encode(SECRET.encode()).decode()):
        assert canary.encode() not in shown.stdout + arguments
    assert not [path for path in opened if "workspace-token" in path]
