"""Real `git credential fill` through the helper, against a relay API on loopback."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import threading

import pytest

from tests.fakes.agent import ask, next_helper
from tests.fakes.api import issues, refuses, silent_port, unroutable_port

SERVED = {
    "protocol": "https",
    "host": "github.com",
    "username": "x-access-token",
    "password": "tok-1",
}
OFF = {"GIT_CREDENTIAL_RELAY_FALLBACK": "off"}
TRACE = {"GIT_CREDENTIAL_DEBUG": "1"}


def test_fill_gives_username_and_password(api, agent):
    """Git gets our user name and the token, for the price of one request to the API."""
    api.script(issues("tok-1"))
    result = agent.fill(ask())

    expiry = result.attributes.get("password_expiry_utc")  # git < 2.40 keeps it to itself
    expected = SERVED if expiry is None else SERVED | {"password_expiry_utc": expiry}

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.attributes == expected
    assert len(api.requests) == 1


def test_request_to_the_api_says_what_is_wanted(api, agent):
    """The API learns workspace, host, repository, use and wanted life, and who asks."""
    agent.fill(ask(path="o/r.git"), "credential.useHttpPath=true")
    [request] = api.requests

    assert request.fields == {
        "workspaceId": "ws-1",
        "host": "github.com",
        "path": "o/r",
        "use": "git",
        "minLifetime": "600",
    }
    assert request.headers["Authorization"] == f"Bearer {agent.environ['WORKSPACE_TOKEN']}"


def test_second_fill_is_served_from_the_cache(api, agent):
    """The API is not asked again for the same repository."""
    api.script(issues("tok-1"), issues("tok-2"))
    first, second = agent.fill(ask(path="o/r")), agent.fill(ask(path="o/r"))

    assert (first.password, second.password) == ("tok-1", "tok-1")
    assert len(api.requests) == 1


@pytest.mark.parametrize(
    ("answer", "code", "hint"),
    [
        pytest.param(
            refuses(401, error="unknown workspace", code="WORKSPACE_UNKNOWN", hint="provision it"),
            "WORKSPACE_UNKNOWN",
            "provision it",
            id="401-in-its-own-words",
        ),
        pytest.param(
            refuses(403, error="no", code="REPO_DENIED", hint="ask Ada"),
            "REPO_DENIED",
            "ask Ada",
            id="403-in-its-own-words",
        ),
        pytest.param(
            refuses(404, error="no connection", code="NO_CONNECTION", hint="connect GitHub"),
            "NO_CONNECTION",
            "connect GitHub",
            id="404-in-its-own-words",
        ),
        pytest.param(refuses(401), "unauthenticated", "check WORKSPACE_ID", id="401-without-words"),
        pytest.param(refuses(403), "denied", "ask whoever runs", id="403-without-words"),
        pytest.param(
            refuses(404), "not-found", "check the repository's name", id="404-without-words"
        ),
        pytest.param(
            refuses(500, error="gone", code="NANGO_CONNECTION_EXPIRED", hint="connect again"),
            "NANGO_CONNECTION_EXPIRED",
            "connect again",
            id="permanent-code-inside-a-500",
        ),
    ],
)
def test_refusal_is_one_request_one_clear_line_and_the_next_helper(api, agent, answer, code, hint):
    """A final "no" is asked for once, told in one line with code and hint, and git goes on."""
    api.script(answer)
    result = agent.fill(ask(), next_helper(agent.root), environ=TRACE)
    told = [line for line in result.stderr.splitlines() if "error:" in line]

    assert result.password == "next-password"
    assert len(api.requests) == 1
    assert len(told) == 1
    assert told[0].startswith("git-credential-relay: error: no credential for https://github.com")
    assert f"[{code}]" in told[0]
    assert f"hint: {hint}" in told[0]
    assert "api wait" not in result.stderr
    assert result.seconds < 5  # nothing waits, see above; this is for machines under load


def test_refusal_without_a_trace_fits_four_lines(api, agent):
    """Where the API is the only source, its refusal takes no more room than promised."""
    api.script(refuses(403, code="REPO_DENIED", hint="ask Ada", details={"repo": "o/r"}))
    result = agent.get(environ=OFF)

    assert result.stdout == b""
    assert result.exit_code == 4
    assert len(result.stderr.splitlines()) <= 4
    assert '{"repo": "o/r"}' in result.stderr


def test_remembered_refusal_asks_nobody_and_says_the_same(api, agent):
    """Half a minute long a refusal answers by itself, in the same words, and says for how long."""
    api.script(refuses(403, code="REPO_DENIED", hint="ask Ada"))
    first, second = agent.get(), agent.get()

    assert len(api.requests) == 1
    memory = re.compile(r" \(remembered; the API is asked again in (29|30) s\)")
    assert len(memory.findall(second.stderr)) == 2
    assert memory.sub("", second.stderr) == first.stderr
    assert second.exit_code == first.exit_code


def test_passing_trouble_is_waited_out(api, agent):
    """After 503, 503 the third attempt serves, with waits near 2 and 4 seconds."""
    api.script(refuses(503), refuses(503), issues("tok-1"))
    result = agent.fill(ask())
    first, second = api.waits()

    assert (result.password, result.stderr) == ("tok-1", "")
    assert 1.7 < first < 3.0
    assert 3.5 < second < 5.0


def test_trouble_without_end_is_given_up_when_no_wait_fits(api, agent):
    """With 503 for ever the helper stops before its deadline instead of sleeping into it."""
    api.script(refuses(503, error="database is away"))
    result = agent.fill(
        ask(), next_helper(agent.root), environ={"GIT_CREDENTIAL_RELAY_DEADLINE": "5"}
    )

    assert result.password == "next-password"
    assert len(api.requests) == 2
    assert "database is away (tried 2 times) [api-unavailable]" in result.stderr
    assert "trying again may help" in result.stderr
    assert result.seconds < 5


def test_trouble_without_end_takes_four_attempts_by_default(api, agent):
    """With the default deadline 503 for ever ends after 4 attempts, within 20 seconds."""
    api.script(refuses(503))
    result = agent.get()

    assert result.stdout == b""
    assert result.exit_code == 75
    assert len(api.requests) == 4
    assert [round(wait / 2) for wait in api.waits()] == [1, 2, 4]
    assert result.seconds < 20


@pytest.mark.parametrize("hole", [silent_port, unroutable_port], ids=["no-answer", "no-connection"])
def test_black_hole_is_given_up_within_the_deadline(agent, hole):
    """An API that swallows packets costs the deadline and not more, and git goes on."""
    with hole() as port:
        result = agent.fill(
            ask(),
            next_helper(agent.root),
            environ={
                "CLOUD_API_URL": f"http://127.0.0.1:{port}",
                "GIT_CREDENTIAL_RELAY_DEADLINE": "3",
            },
        )

    assert result.password == "next-password"
    assert "[api-timeout]" in result.stderr
    assert 2 < result.seconds < 5


def test_black_hole_is_given_up_within_the_default_deadline(agent):
    """Attempts, their limits and the waits between them stay within 20 seconds in all."""
    with silent_port() as port:
        result = agent.get(environ={"CLOUD_API_URL": f"http://127.0.0.1:{port}"})

    assert result.stdout == b""
    assert "[api-timeout]" in result.stderr
    assert "times)" in result.stderr
    assert 10 < result.seconds < 22


def test_api_that_sends_a_byte_now_and_then_is_given_up(agent, api):
    """A dripping answer cannot hold git for longer than the deadline."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)

        def drip():
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
                while not stop.wait(0.2):
                    try:
                        connection.sendall(b" ")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            result = agent.get(
                environ={
                    "CLOUD_API_URL": f"http://127.0.0.1:{listener.getsockname()[1]}",
                    "GIT_CREDENTIAL_RELAY_DEADLINE": "2",
                }
            )
        finally:
            stop.set()
            thread.join()

    assert result.stdout == b""
    assert "[api-timeout]" in result.stderr
    assert result.seconds < 4


def test_retry_after_that_fits_is_honoured(api, agent):
    """A 429 is followed by one more request after as long as the API asked for."""
    api.script(refuses(429, headers={"Retry-After": "1"}), issues("tok-1"))
    result = agent.fill(ask())
    [wait] = api.waits()

    assert (result.password, result.stderr) == ("tok-1", "")
    assert 1.0 <= wait < 1.75  # our own wait would be at least 1.8


def test_retry_after_that_does_not_fit_is_told_and_not_waited_for(api, agent):
    """A 429 for an hour is one request, and the person learns when to try again."""
    api.script(refuses(429, headers={"Retry-After": "3600"}))
    result = agent.fill(ask(), next_helper(agent.root), environ=TRACE)

    assert result.password == "next-password"
    assert len(api.requests) == 1
    assert "[rate-limited]" in result.stderr
    assert "try again in 3600 s" in result.stderr
    assert "api wait" not in result.stderr


def test_fail_closed_makes_git_stop(api, agent):
    """Configured so, a failure of ours ends git's chain instead of asking the next helper."""
    api.script(refuses(403))
    closed = OFF | {"GIT_CREDENTIAL_RELAY_FAIL_CLOSED": "1"}
    answered = agent.get(environ=closed)
    filled = agent.fill(ask(), next_helper(agent.root), environ=closed)

    assert answered.stdout == b"quit=1\n\n"
    assert filled.exit_code == 128
    assert "told us to quit" in filled.stderr
    assert filled.stdout == b""


def test_fail_closed_says_nothing_about_what_is_not_ours(api, agent):
    """Failing closed is about our hosts only: others still reach the next helper."""
    result = agent.fill(
        ask("elsewhere.example"),
        next_helper(agent.root),
        environ={"GIT_CREDENTIAL_RELAY_FAIL_CLOSED": "1"},
    )

    assert (result.password, result.stderr) == ("next-password", "")


def test_another_user_name_is_declined_silently(api, agent):
    """Whoever asks for somebody else's credential gets it from somebody else."""
    result = agent.get(username="bob")
    filled = agent.fill(ask(username="bob"), next_helper(agent.root))

    assert result.is_silent_success
    assert (filled.password, filled.stderr) == ("next-password", "")


def test_our_own_user_name_is_served(api, agent):
    """Asking for the user name that we answer with is no other request than asking for none."""
    api.script(issues("tok-1"))

    assert agent.get(username="x-access-token").password == "tok-1"


@pytest.mark.parametrize("operation", ["fly", "get-all", "GET", "list"])
def test_unknown_operation_is_silent(agent, api, operation):
    """An operation of a git to come is ignored: exit 0, no word, no request."""
    assert agent.helper(operation, stdin=ask()).is_silent_success
    assert api.requests == []


def test_capability_lists_what_we_understand(agent):
    """The answer to `capability` is in git's format and needs no configuration."""
    result = agent.helper("capability", environ={"CLOUD_API_URL": "not a url"})

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == b"version 0\ncapability authtype\ncapability state\n"


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(ask(username="x", password="tok-1"), id="what-git-sends"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x00\xff\r\n" * 1000, id="noise"),
        pytest.param(b"x" * 1_000_000, id="one-long-line"),
    ],
)
def test_store_is_silent_and_keeps_nothing(agent, api, garbage):
    """What git offers to store is not even read; a broken configuration does not matter."""
    result = agent.helper("store", stdin=garbage, environ={"CLOUD_API_URL": "not a url"})

    assert result.is_silent_success
    assert api.requests == []
    assert not agent.cache.exists()


def test_erase_makes_the_next_get_mint_anew(api, agent):
    """After git's erase the API is told which token was refused, and gives another one."""
    api.script(issues("tok-1"), issues("tok-2"))
    first = agent.get("o/r")
    erased = agent.helper("erase", stdin=ask(path="o/r", username="x", password="tok-1"))
    second = agent.get("o/r")

    assert (first.password, second.password) == ("tok-1", "tok-2")
    assert erased.is_silent_success
    assert "X-Rejected-Token-Sha256" not in api.requests[0].headers
    assert api.requests[1].headers["Cache-Control"] == "no-cache"
    assert len(api.requests[1].headers["X-Rejected-Token-Sha256"]) == 44


def test_erase_of_another_token_keeps_ours(api, agent):
    """A refused password that is not the one we hold drops nothing."""
    api.script(issues("tok-1"), issues("tok-2"))
    agent.get()
    erased = agent.helper("erase", stdin=ask(username="x", password="somebody's"))

    assert erased.is_silent_success
    assert agent.get().password == "tok-1"
    assert len(api.requests) == 1


def test_an_answer_is_one_write(api, agent):
    """Git never sees half an answer: a pipe that keeps writes apart holds exactly one."""
    api.script(issues("tok-1"))
    reader, writer = os.pipe2(os.O_DIRECT)
    command = [agent.launcher, "get"]
    subprocess.run(command, input=ask(), stdout=writer, env=agent.environ, check=True)
    os.close(writer)
    packets = []
    while packet := os.read(reader, 65536):
        packets.append(packet)
    os.close(reader)

    assert len(packets) == 1
    assert packets[0].endswith(b"\n\n")


def test_no_core_dump_holds_the_secret(api, agent, tmp_path):
    """A crash must not leave the process's memory in the work tree: the limit is inherited by
    the gh that we start, which tells it."""
    gh = tmp_path / "gh"
    gh.write_text("#!/bin/sh\necho gho_limit_$(ulimit -c)\n")
    gh.chmod(0o755)
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin", "GIT_CREDENTIAL_RELAY_FALLBACK": "gh"}
    api.script(refuses(403))
    result = agent.get(environ=environ)

    assert result.password == "gho_limit_0"
