"""Requests made to lure a token out of the helper, which holds one and knows others."""

from __future__ import annotations

import random
import select
import time

import pytest

from tests.fakes.agent import AgentHome, ask, next_helper
from tests.fakes.api import issues, serve_api

TOKEN = "tok-to-be-lured"
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def api():
    """A relay API that would give the token to anybody who asks."""
    with serve_api() as api:
        api.script(issues(TOKEN))
        yield api


@pytest.fixture(scope="module")
def agent(api, launcher, tmp_path_factory):
    """An agent with a warm cache for github.com and with tokens in its environment."""
    agent = AgentHome(tmp_path_factory.mktemp("lured"), launcher, api.url)
    for path in (None, "o/r", "victim/r"):
        assert agent.get(path).password == TOKEN
    for name in ("GH_TOKEN", "GITHUB_TOKEN", "GITLAB_TOKEN", "GH_ENTERPRISE_TOKEN"):
        agent.environ[name] = f"{TOKEN}-{name}"
    return agent


@pytest.fixture(autouse=True)
def no_requests_yet(api, agent):
    """What other tests asked does not count."""
    api.requests.clear()


def held_by(agent: AgentHome) -> dict[str, bytes]:
    """The records of the agent's cache: those of the bait at least."""
    records = {p.name: p.read_bytes() for p in agent.cache.iterdir() if p.suffix != ".lock"}
    assert sum(TOKEN.encode() in record for record in records.values()) >= 3
    return records


def noise(seed: int) -> bytes:
    """Bytes of every kind, the same ones each time."""
    return random.Random(seed).randbytes(20_000)  # noqa: S311 - the same in each run


REQUESTS = {
    "another-host": ask("evil.example"),
    "our-name-as-a-prefix": ask("github.com.evil.example"),
    "our-name-as-a-suffix": ask("evilgithub.com"),
    "our-name-as-a-subdomain": ask("gist.github.com"),
    "another-port": ask("github.com:8443"),
    "port-of-http": ask("github.com:80"),
    "two-ports": ask("github.com:443:443"),
    "two-dots": ask("github.com.."),
    "user-in-the-host": ask("github.com@evil.example"),
    "slash-in-the-host": ask("github.com/evil.example"),
    "space-in-the-host": ask("github.com "),
    "full-width-letters": ask("\uff47ithub.com"),
    "protocol-http": ask(protocol="http"),
    "protocol-http-with-the-port-of-https": ask("github.com:443", protocol="http"),
    "protocol-ssh": ask(protocol="ssh"),
    "protocol-unknown": ask(protocol="httpsx"),
    "protocol-empty": ask(protocol=""),
    "protocol-missing": b"host=github.com\n\n",
    "host-missing": b"protocol=https\n\n",
    "host-missing-with-a-path": b"protocol=https\npath=o/r\n\n",
    "host-empty": ask(""),
    "last-host-wins": b"protocol=https\nhost=github.com\nhost=evil.example\n\n",
    "nothing": b"",
    "empty-line-first": b"\n" + ask(),
    "url-only": b"url=https://github.com/o/r\n\n",
    "cr-at-the-line-end": b"protocol=https\r\nhost=github.com\r\n\r\n",
    "cr-as-the-line-end": b"protocol=https\rhost=github.com\r\r",
    "cr-in-the-host": b"protocol=https\nhost=evil.example\rhost=github.com\n\n",
    "cr-in-an-unknown-attribute": b"protocol=https\nhost=github.com\nx=a\rhost=b\n\n",
    "nul-in-the-host": b"protocol=https\nhost=github.com\x00.evil.example\n\n",
    "nul-after-all": ask()[:-1] + b"\x00\n\n",
    "escape-sequence": b"protocol=https\nhost=github.com\npath=\x1b[2J\n\n",
    "unicode-line-end": "protocol=https\u2028host=github.com\n\n".encode(),
    "form-feed": b"protocol=https\x0chost=github.com\n\n",
    "percent-smuggling": ask("evil.example%0ahost=github.com"),
    "percent-encoded-dot": ask("github%2ecom"),
    "path-upwards": ask(path="o/../victim/r.git"),
    "path-upwards-at-the-end": ask(path="victim/r/.."),
    "path-that-is-upwards": ask(path="victim/.."),
    "path-from-upwards": ask(path="../r"),
    "path-upwards-where-groups-nest": ask("gitlab.com", path="o/../victim/r.git"),
    "path-here-where-groups-nest": ask("gitlab.com", path="o/./r.git"),
    "path-with-a-gap-where-groups-nest": ask("gitlab.com", path="o//r.git"),
    "path-here": ask(path="victim/./r"),
    "path-with-an-empty-segment": ask(path="victim//r"),
    "path-too-long": ask(path="a/victim/r"),
    "path-too-short": ask(path="r.git"),
    "path-with-a-query": ask(path="victim/r?x=1"),
    "path-with-a-fragment": ask(path="victim/r#x"),
    "path-with-percent": ask(path="victim%2fr"),
    "path-with-a-backslash": ask(path="victim\\r"),
    "path-without-a-name": ask(path="victim/.git"),
    "line-without-equals": b"protocol=https\nhost=github.com\nnonsense\n\n",
    "line-without-a-key": b"protocol=https\nhost=github.com\n=x\n\n",
    "1-MiB-of-junk-lines": b"junk=xxxxxxxxxxxxxxx\n" * (MIB // 20),
    "1-MiB-of-junk-before-a-request": b"junk=xxxxxxxxxxxxxxx\n" * (MIB // 20) + ask(),
    "1-MiB-without-a-line-end": b"x" * MIB,
    "1-MiB-path": ask(path="victim/" + "r" * MIB),
    "line-beyond-64-KiB": ask() [:-1] + b"x=" + b"y" * 65536 + b"\n\n",
    "noise": noise(1),
    "noise-behind-a-request": ask()[:-1] + noise(2),
    "noise-without-line-ends": noise(3).replace(b"\n", b""),
    "zeros": bytes(MIB),
}  # fmt: skip


@pytest.mark.parametrize("request_bytes", REQUESTS.values(), ids=REQUESTS)
@pytest.mark.parametrize("operation", ["get", "erase"])
def test_no_token_no_word_no_request(api, agent, request_bytes, operation):
    """Nothing is answered, said or asked, and nothing of what is held is dropped or changed."""
    held = held_by(agent)
    result = agent.helper(operation, stdin=request_bytes)

    assert result.is_silent_success
    assert api.requests == []
    assert held_by(agent) == held


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/o/r",
        "https://github.com@evil.example/o/r",
        "https://github.com%2eevil.example/",
        "https://evil.example%0ahost=github.com/o/r",
        "https://evil.example/%0ahost=github.com",
        "https://evil.example%0d%0ahost=github.com%0d/o/r",
        "https://evil.example%00github.com/o/r",
        "https:///o/r",
        "https://github.com:8443/o/r",
        "https://github.com/o/../victim/r.git",
        "https://github.com/o/%2e%2e/victim/r.git",
        "https://github.com/o/r.git?x=1",
        "http://github.com/o/r",
        "ssh://github.com/o/r",
        "cert:///github.com",
    ],
)
def test_no_url_lures_a_token_through_git(api, agent, url):
    """Whatever git makes of such a URL, no token of ours comes out and we keep silent."""
    result = agent.fill(f"url={url}\n\n".encode(), "credential.useHttpPath=true")

    assert TOKEN.encode() not in result.stdout
    assert TOKEN not in result.stderr
    assert "git-credential-relay:" not in result.stderr
    assert "Traceback" not in result.stderr
    assert api.requests == []


def test_the_bait_is_real(agent):
    """The same agent does get the token for an honest URL: the tests above could fail."""
    url = b"url=https://github.com/o/r.git\n\n"

    assert agent.fill(url, "credential.useHttpPath=true").password == TOKEN


@pytest.mark.parametrize("kind", ["https://GitHub.com:443/o/r", "HTTPS://github.com./o/r.git/"])
def test_other_spellings_of_our_host_are_served(agent, kind):
    """Letter case, the default port and the root's dot make no other host."""
    result = agent.fill(f"url={kind}\n\n".encode(), "credential.useHttpPath=true")

    assert result.password == TOKEN


def test_next_helper_is_asked_about_what_is_not_ours(agent):
    """Our silence leaves the foreign host to whoever serves it."""
    result = agent.fill(ask("evil.example"), next_helper(agent.root))

    assert (result.password, result.stderr) == ("next-password", "")


def test_answers_while_the_pipe_stays_open(agent):
    """The empty line ends the request, whether or not the asker closes the pipe."""
    process = agent.start("get")
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(ask(path="o/r"))
        process.stdin.flush()
        is_answered, _, _ = select.select([process.stdout], [], [], 10)
        answer = process.stdout.read() if is_answered else b""
    finally:
        process.kill()
        process.communicate()

    assert f"password={TOKEN}\n".encode() in answer


def test_waits_for_the_rest_of_a_slow_request(agent):
    """A request that arrives byte by byte is read to its end before it is judged."""
    process = agent.start("get")
    assert process.stdin is not None
    for byte in ask(path="o/r"):
        process.stdin.write(bytes([byte]))
        process.stdin.flush()
        time.sleep(0.002)
    stdout, stderr = process.communicate(timeout=10)

    assert f"password={TOKEN}\n".encode() in stdout
    assert stderr == b""


@pytest.mark.parametrize("operation", ["get", "erase", "store", "capability", "unknown"])
def test_closed_stdin_is_an_empty_request(agent, operation):
    """Without any stdin there is nothing to answer, and nothing to complain about."""
    result = agent.run(["sh", "-c", 'exec "$0" "$1" <&-', str(agent.launcher), operation])

    assert (result.exit_code, result.stderr) == (0, "")
    assert TOKEN.encode() not in result.stdout


def test_asker_that_has_gone_gets_no_traceback(agent):
    """Git killed before it could read the answer is no reason for noise."""
    process = agent.start("get")
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    process.stdin.write(ask(path="o/r"))
    process.stdin.close()
    stderr = process.stderr.read()
    process.stderr.close()
    process.wait(10)

    assert stderr == b""


@pytest.mark.parametrize("debug", ["0", "1"], ids=["quiet", "with-a-trace"])
def test_closed_stderr_changes_nothing_about_the_answer(agent, debug):
    """Whoever does not want our words is served all the same."""
    command = ["sh", "-c", 'exec "$0" get 2>&-', str(agent.launcher)]
    result = agent.run(command, ask(path="o/r"), {"GIT_CREDENTIAL_DEBUG": debug})

    assert (result.exit_code, result.password) == (0, TOKEN)


def test_closed_stdout_sends_the_token_nowhere_else(api, agent):
    """Without a stdout the answer is lost, and no file or socket of ours receives it instead."""
    command = ["sh", "-c", 'exec "$0" get >&-', str(agent.launcher)]
    result = agent.run(command, ask(path="o/new"))
    records = [p.read_bytes() for p in agent.cache.iterdir() if "." not in p.name]

    assert result.is_silent_success
    assert len(api.requests) == 1
    assert all(record.startswith(b"api=") for record in records)
    assert all(record.count(TOKEN.encode()) == 1 for record in records)
