"""A canary token and a canary secret through every command and every failure.

The token may be read on stdout of `get` and `token` and in the cache's record, the workspace's
secret nowhere at all.
"""

from __future__ import annotations

import base64
import json
import os
import stat
import sys
import time
from pathlib import Path

import pytest

from tests.fakes.agent import AgentHome, Result, ask, files_below, files_with, write_launcher
from tests.fakes.api import Answer, closed_port, issues, refuses, serve_api

TOKEN = "ghs_CANARYtokenCANARY0123456789abcdef"
# Like nothing a pattern would know: it must be masked because it is the secret.
SECRET = "c4n4ry/workspace+secret=="
# What people write into URLs, where it does not belong.
PASSWORD = "c4n4ry.password"
QUICK = {"GIT_CREDENTIAL_RELAY_DEADLINE": "1"}
LOUD = {"GIT_CREDENTIAL_DEBUG": "1"}
DETAILS = {"token": TOKEN, "secret": SECRET}


@pytest.fixture
def api():
    """A relay API that issues the canary."""
    with serve_api() as api:
        api.script(issues(TOKEN, userToken=None, installationToken=TOKEN))
        yield api


@pytest.fixture
def agent(tmp_path, api):
    """An agent that holds the canary secret in a file."""
    (tmp_path / "bin").mkdir()
    agent = AgentHome(tmp_path / "agent", write_launcher(tmp_path / "bin"), api.url)
    secret = tmp_path / "workspace-token"
    secret.write_text(SECRET + "\n")
    secret.chmod(0o600)
    del agent.environ["WORKSPACE_TOKEN"]
    agent.environ["WORKSPACE_TOKEN_FILE"] = str(secret)
    return agent


def spellings(canary: str) -> list[str]:
    """The canary as it is, in base64, percent-encoded, and its telling middle."""
    return [
        canary,
        base64.b64encode(canary.encode()).decode().rstrip("=")[:-1],
        base64.b64encode(f"x-access-token:{canary}".encode()).decode().rstrip("=")[:-1],
        "".join(f"%{byte:02X}" for byte in canary.encode()),
        canary[4:-4],
    ]


def assert_clean(agent: AgentHome, *results: Result, is_token_asked_for: bool = False) -> None:
    """No canary in what was said, and none in any file but the cache's records."""
    for result in results:
        for text in [result.stderr, "" if is_token_asked_for else result.stdout.decode()]:
            for canary in (*spellings(TOKEN), *spellings(SECRET), *spellings(PASSWORD)):
                assert canary not in text
        assert SECRET not in result.stdout.decode()
        assert "Traceback" not in result.stderr
    assert files_with(SECRET, agent.root) == []
    for path in files_with(TOKEN, agent.root):
        assert path.parent == agent.cache
        assert "." not in path.name
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


COMMANDS = {
    "get": (["get"], True),
    "store": (["store"], False),
    "erase": (["erase"], False),
    "capability": (["capability"], False),
    "unknown": (["list"], False),
    "token-raw": (["token"], True),
    "token-json": (["token", "--format", "json"], True),
    "token-env": (["token", "--format", "env", "--repo", "o/r", "--use", "git"], True),
    "token-elsewhere": (["token", "--host", "evil.example"], False),
    "exec": (["exec", "--", "sh", "-c", 'test -n "$GH_TOKEN"'], False),
    "exec-what-is-not-there": (["exec", "--", "/nonexistent"], False),
    "doctor": (["doctor"], False),
    "doctor-json": (["doctor", "--json", "--repo", "https://github.com/o/r"], False),
    "doctor-offline": (["doctor", "--offline"], False),
    "install": (["install", "--global", "--dry-run"], False),
    "completion": (["completion", "bash"], False),
    "config": (["config"], False),
    "help": (["--help"], False),
    "help-of-token": (["token", "--help"], False),
    "version": (["--version"], False),
    "usage-error": (["token", "--nonsense"], False),
    "nothing": ([], False),
}


@pytest.mark.parametrize(("arguments", "is_token_asked_for"), COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("how", ["plain", "verbose", "traced-with-the-secret-in-environment"])
def test_no_command_tells(agent, arguments, is_token_asked_for, how):
    """No command, traced or not, warm or cold, says more than it was asked for."""
    environ = {}
    if how.startswith("traced"):
        del agent.environ["WORKSPACE_TOKEN_FILE"]
        environ = LOUD | {"WORKSPACE_TOKEN": SECRET}
    flags = ["-v"] if how == "verbose" else []
    request = ask(path="o/r", username="x-access-token", password=TOKEN)
    cold = agent.helper(*flags, *arguments, stdin=request, environ=environ)
    agent.get("o/r", environ=environ)
    warm = agent.helper(*flags, *arguments, stdin=request, environ=environ)

    assert_clean(agent, cold, warm, is_token_asked_for=is_token_asked_for)
    if is_token_asked_for:
        assert TOKEN in cold.stdout.decode()
        assert TOKEN in warm.stdout.decode()


def test_the_search_finds_the_record(agent):
    """The token does lie in the cache, once and for its owner only: the search is not blind."""
    agent.get("o/r")
    [record] = files_with(TOKEN, agent.root)

    assert record.parent == agent.cache
    assert stat.S_IMODE(agent.cache.stat().st_mode) == 0o700
    assert {stat.S_IMODE(p.stat().st_mode) for p in files_below(agent.cache)} == {0o600}


ECHO: dict[str, object] = {
    "error": f"bad {TOKEN} and {SECRET}",
    "hint": f"not {SECRET} {TOKEN}",
    "details": DETAILS,
}
HEADERS = {"X-Echo": f"{TOKEN} {SECRET}", "WWW-Authenticate": f'Bearer error="{SECRET}"'}
ANSWERS = {
    **{
        f"{status}-echo": refuses(status, ECHO | {"code": "SOME_CODE"}, headers=HEADERS)
        for status in (400, 401, 403, 404, 409, 422, 429, 500, 503)
    },
    "secret-as-code": refuses(403, code=SECRET, error="x"),
    "token-as-code": refuses(403, code=TOKEN, error="x"),
    "secret-spelled-by-php": Answer(
        403, json.dumps({"error": SECRET, "code": SECRET}).replace("/", "\\/").encode()
    ),
    "secret-spelled-in-unicode": Answer(
        403, ('{"details": "' + "".join(f"\\u{ord(c):04x}" for c in SECRET) + '"}').encode()
    ),
    "token-as-host": issues(TOKEN, host=TOKEN),
    "secret-as-error-alone": refuses(403, error=SECRET),
    "bearer-echo": refuses(401, error=f"bad header Authorization: Bearer {SECRET}"),
    "url-echo": refuses(403, error=f"cannot read https://x:{TOKEN}@github.com/o/r"),
    "permanent-echo": refuses(500, ECHO | {"code": "NANGO_CONNECTION_EXPIRED"}),
    "envelope-echo": refuses(200, success=False, error=f"no {TOKEN} {SECRET}"),
    "no-token-echo": refuses(200, error=f"no {TOKEN} {SECRET}"),
    "html-echo": Answer(200, f"<html>{TOKEN} {SECRET}</html>".encode()),
    "html-error-echo": Answer(502, f"<html>{TOKEN} {SECRET}</html>".encode()),
    "text-echo": Answer(200, f"{TOKEN} {SECRET}".encode()),
    "cut-json": Answer(200, json.dumps({"token": TOKEN, "x": SECRET}).encode()[:-3]),
    "too-long": Answer(200, json.dumps({"token": TOKEN, "x": SECRET * 20000}).encode()),
    "wrong-host": issues(TOKEN, host="evil.example"),
    "secret-as-host": issues(TOKEN, host=SECRET),
    "token-of-two-words": issues(f"{TOKEN} {TOKEN}"),
    "token-of-two-lines": issues(f"{TOKEN}\npassword={SECRET}"),
    "token-in-a-list": issues("", userToken=[TOKEN]),
    "expired": issues(TOKEN, lifetime=-60),
    "bad-expiry": issues(TOKEN, lifetime=None, expiresAt=TOKEN),
    "redirect": Answer(302, b"", {"Location": f"https://evil.example/?t={TOKEN}&s={SECRET}"}),
    "echo-in-retry-after": refuses(429, headers={"Retry-After": SECRET}),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_no_failure_of_the_api_tells(api, agent, answer):
    """Whatever the API echoes, in body or headers, it does not reach stderr or the cache."""
    api.script(answer)
    settings = QUICK | LOUD | {"GIT_CREDENTIAL_RELAY_FALLBACK": "off"}
    first = agent.get("o/r", environ=settings)
    remembered = agent.get("o/r", environ=settings)
    token = agent.helper("token", "--repo", "o/r", environ=settings)

    assert first.stdout == remembered.stdout == token.stdout == b""
    assert "error:" in first.stderr
    assert_clean(agent, first, remembered, token)
    assert files_with(TOKEN, agent.root) == []


@pytest.mark.parametrize(
    "environ",
    [
        pytest.param(
            {"CLOUD_API_URL": f"https://x:{PASSWORD}@api.example"}, id="secret-in-the-url"
        ),
        pytest.param(
            {"CLOUD_API_URL": f"https://api.example/?t={PASSWORD}"}, id="secret-in-a-query"
        ),
        pytest.param({"WORKSPACE_TOKEN": SECRET}, id="value-and-file"),
        pytest.param(
            {"WORKSPACE_TOKEN_FILE": "", "WORKSPACE_TOKEN": f"{SECRET} x"}, id="two-words"
        ),
        pytest.param(
            {"HTTPS_PROXY": f"socks9://u:{PASSWORD}@h:1", "CLOUD_API_URL": "https://a.example"},
            id="bad-proxy",
        ),
        pytest.param(
            {
                "HTTPS_PROXY": f"http://u:{PASSWORD}@127.0.0.1:{closed_port()}",
                "CLOUD_API_URL": "https://a.example",
            },
            id="proxy-that-is-away",
        ),
        pytest.param({"GIT_CREDENTIAL_RELAY_HOSTS": f"https://x:{PASSWORD}@h.example"}, id="host"),
        pytest.param({"GITLAB_INSTANCE_URL": f"https://x:{PASSWORD}@h.example"}, id="gitlab"),
        pytest.param({"GIT_CREDENTIAL_RELAY_API_PATH": f"/x?token={PASSWORD}"}, id="api-path"),
        pytest.param({"CLOUD_API_URL": f"http://127.0.0.1:{closed_port()}"}, id="api-away"),
    ],
)
@pytest.mark.parametrize("arguments", [["get"], ["config"], ["token"]], ids=lambda a: a[0])
def test_no_wrong_configuration_tells(agent, environ, arguments):
    """A setting that is wrong is named, not shown."""
    result = agent.helper(*arguments, stdin=ask(), environ=QUICK | LOUD | environ)

    assert_clean(agent, result)


def test_no_broken_file_tells(agent, tmp_path):
    """A line that is no setting is told by its number."""
    settings = tmp_path / "relay.env"
    settings.write_text(f"# ours\n{SECRET}\n")
    result = agent.get(None, "--config", str(settings))

    assert result.exit_code == 2
    assert f"{settings}:2" in result.stderr
    assert_clean(agent, result)


@pytest.mark.parametrize("arguments", [["get"], ["token"]], ids=lambda a: a[0])
def test_no_internal_error_tells(agent, tmp_path, arguments):
    """An error nobody foresaw is one line with its place, without its text or a traceback."""
    broken = tmp_path / "broken"
    broken.mkdir()
    # Instead of the HTTP library: something that fails with all it knows.
    (broken / "httpx2.py").write_text(
        f"def __getattr__(name):\n    raise RuntimeError('{TOKEN} {SECRET}')\n"
    )
    launcher = tmp_path / "broken-helper"
    launcher.write_text(
        f"#!{sys.executable} -I\nimport sys\nsys.path.insert(0, {str(broken)!r})\n"
        "from git_credential_relay.main import main\nsys.exit(main())\n"
    )
    launcher.chmod(0o755)
    agent.launcher = launcher
    result = agent.helper(*arguments, stdin=ask(), environ=LOUD)

    assert result.exit_code == 1
    assert "unexpected RuntimeError [internal]" in result.stderr
    assert_clean(agent, result)


@pytest.mark.parametrize("where", ["file", "environment"])
def test_no_child_process_is_told(api, agent, tmp_path, where):
    """gh, run as the last source, gets no token and no secret by arguments or environment."""
    spy = tmp_path / "spy"
    spy.mkdir()
    report = spy / "report"
    (spy / "gh").write_text(
        f"#!/bin/sh\n{{ cat /proc/$$/environ /proc/$$/cmdline /proc/$PPID/cmdline; }} >{report}\n"
        f"echo '{TOKEN}' >&2\nexit 1\n"
    )
    (spy / "gh").chmod(0o755)
    if where == "environment":
        del agent.environ["WORKSPACE_TOKEN_FILE"]
        agent.environ["WORKSPACE_TOKEN"] = SECRET
    agent.environ["PATH"] = f"{spy}:{agent.environ['PATH']}"
    for name in ("GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN"):
        agent.environ[name] = TOKEN
    api.script(issues(TOKEN), refuses(403))
    agent.get("o/r")
    result = agent.get("o/other", environ=LOUD)
    given = report.read_bytes()

    assert b"auth\0token\0--hostname\0github.com\0" in given
    assert TOKEN.encode() not in given
    assert SECRET.encode() not in given
    assert_clean(agent, result)


def test_no_process_list_tells(api, agent):
    """While the helper is with the API, its arguments and environment are as git made them."""
    api.gate.clear()
    process = agent.start("-v", "get")
    try:
        assert process.stdin is not None
        process.stdin.write(ask())
        process.stdin.flush()
        while not api.requests:
            time.sleep(0.005)
        seen = b"".join(
            Path(f"/proc/{process.pid}/{name}").read_bytes()
            for name in ("cmdline", "environ", "comm")
        )
        opened = [
            os.readlink(f"/proc/{process.pid}/fd/{fd}")
            for fd in os.listdir(f"/proc/{process.pid}/fd")
        ]
    finally:
        api.gate.set()
        process.communicate(timeout=10)

    assert b"WORKSPACE_TOKEN_FILE" in seen
    assert SECRET.encode() not in seen
    assert TOKEN.encode() not in seen
    assert not [path for path in opened if path == agent.environ["WORKSPACE_TOKEN_FILE"]]
