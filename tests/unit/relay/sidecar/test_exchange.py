"""From a message to its answer: whose it is, and what nobody is told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from git_credential_relay.config import Config, load
from git_credential_relay.credential.attributes import parse
from git_credential_relay.credential.credential import Credential
from git_credential_relay.credential.forge import Target
from git_credential_relay.relay.deadline import Clock
from git_credential_relay.relay.sidecar.exchange import MAX_PATH, Exchange
from git_credential_relay.relay.sidecar.peer import Peer
from git_credential_relay.relay.sidecar.room import Turns
from git_credential_relay.relay.sidecar.workspace import ServedWorkspace
from git_credential_relay.trace import Trace
from tests.fakes.agent import ask

ALLOWED, REFUSED = Peer(1, 1000, frozenset()), Peer(1, 1001, frozenset())
TOKEN = "tok-of-the-environment"
GET = b"action=get\ntimeout=900\n"
OURS = {"relay": "credential"}


class Hanging(ServedWorkspace):
    """A workspace whose API's name nobody finds, and nobody says so."""

    async def acquire(
        self, target: Target, refused_sha256: str | None = None, username: str | None = None
    ) -> Credential:
        """Wait for ever."""
        self.record.asked(target, 0)
        await asyncio.Event().wait()
        raise AssertionError


def config(**more: str) -> Config:
    """A workspace without an API, and with a token of its own."""
    return load(
        {"GIT_TOKEN": TOKEN, "GIT_CREDENTIAL_RELAY_FALLBACK": "GIT_TOKEN", **more}, files=[]
    )


@pytest.fixture
def workspace() -> Iterator[ServedWorkspace]:
    """A workspace that can be served at once."""
    workspace = ServedWorkspace("one", config(), Clock(), Trace())
    yield workspace
    asyncio.run(workspace.close())


def answer(workspace: ServedWorkspace, data: bytes, peer: Peer = ALLOWED) -> bytes:
    """What is answered to `peer`, where one user alone is allowed."""

    def find(who: Peer) -> ServedWorkspace | None:
        return workspace if who.uid == ALLOWED.uid else None

    def see(who: Peer) -> list[ServedWorkspace]:
        found = find(who)
        return [found] if found else []

    async def exchange() -> bytes:
        clock = Clock()
        found = Exchange(find, see, clock.now, Turns(), Trace(), 0.05).answer(peer, data)
        return found if isinstance(found, bytes) else await found

    return asyncio.run(asyncio.wait_for(exchange(), 10))


def test_a_token_for_who_is_allowed(workspace):
    """Git's own question and ours get the same token."""
    for more in ({}, OURS):
        assert f"password={TOKEN}\n".encode() in answer(workspace, GET + ask(path="o/r", **more))


@pytest.mark.parametrize("action", ["get", "erase", "store", "exit", "unknown"])
def test_nothing_for_who_is_not(workspace, action):
    """Git's client, asking for somebody whom nobody allowed, hears nothing at all."""
    assert answer(workspace, f"action={action}\n".encode() + ask(), REFUSED) == b""


@pytest.mark.parametrize("question", ["why", "status"])
def test_a_refusal_is_explained_to_who_asks(workspace, question):
    """A person who asks why is told which uid is not served, and nothing of the workspace."""
    told = answer(workspace, GET + f"relay={question}\n\n".encode(), REFUSED).decode()

    assert "[sidecar-refused]" in told
    assert "1001" in told
    assert "one" not in told.split()


def test_a_refusal_is_a_failure_for_programs(workspace):
    """Our own programs raise it again."""
    told = dict(parse(answer(workspace, GET + ask(relay="credential"), REFUSED)))

    assert told["failure_code"] == "sidecar-refused"
    assert "failure_retryable" not in told


@pytest.mark.parametrize("action", ["store", "exit", "erase", "unknown"])
@pytest.mark.parametrize("question", ["", "relay=status\n", "relay=credential\n", "relay=why\n"])
def test_only_a_get_is_answered(workspace, action, question):
    """Whatever it is dressed up as."""
    data = f"action={action}\n{question}".encode() + ask(path="o/r")

    assert answer(workspace, data) == b""


def test_another_users_name_is_not_ours(workspace):
    """Whoever wants to be somebody else goes to the next helper."""
    assert answer(workspace, GET + ask(path="o/r", username="bob")) == b""


@pytest.mark.parametrize(("length", "is_served"), [(MAX_PATH, True), (MAX_PATH + 1, False)])
def test_a_path_has_a_length(workspace, length, is_served):
    """No forge has longer ones, and thousands of them may be kept."""
    found = answer(workspace, GET + ask(path="o/".ljust(length, "r")))

    assert bool(found) == is_served


@pytest.mark.parametrize(("length", "is_served"), [(44, True), (65, False)])
def test_a_state_has_a_length(workspace, length, is_served):
    """What is no hash of ours is not kept as one."""
    state = {"capability[]": "state", "state[]": "git-credential-relay:" + "A" * length}

    assert bool(answer(workspace, GET + ask(path="o/r", **state))) == is_served


def test_who_hangs_is_not_waited_for_beyond_the_deadline():
    """A name server that never answers keeps no asker, and `why` tells."""
    settings = config(GIT_CREDENTIAL_RELAY_DEADLINE="1", CLOUD_API_URL="https://cloud.example")
    workspace = Hanging("one", settings, Clock(), Trace())
    nothing = answer(workspace, GET + ask(path="o/r"))
    told = dict(parse(answer(workspace, GET + ask(path="o/r", relay="credential"))))
    [use] = workspace.record.uses()
    asyncio.run(workspace.close())

    assert nothing == b""
    assert told["failure_code"] == "deadline-exceeded"
    assert told["failure_exit_code"] == "75"
    assert use.trouble is not None
    assert use.trouble.code == "deadline-exceeded"


def test_fail_closed_tells_git_to_stop():
    """Configured so, a failure ends git's list of helpers instead of going on with it."""
    settings = config(
        GIT_CREDENTIAL_RELAY_FAIL_CLOSED="1", GIT_CREDENTIAL_RELAY_HOSTS="ghe.example"
    )
    workspace = ServedWorkspace("one", settings, Clock(), Trace())
    failed = answer(workspace, GET + ask("ghe.example", "o/r"))
    foreign = answer(workspace, GET + ask("evil.example", "o/r"))
    asyncio.run(workspace.close())

    assert failed == b"quit=1\n\n"
    assert foreign == b""


def test_a_host_that_nobody_named_is_no_failure_of_ours():
    """Neither git nor the second helper hears of it, fail closed or not; who asks does."""
    settings = config(GIT_CREDENTIAL_RELAY_FAIL_CLOSED="1")
    workspace = ServedWorkspace("one", settings, Clock(), Trace())
    gitlab = ask("gitlab.com", "o/r")
    words = ("", "relay=credential\n", "relay=why\nformat=stderr\n")
    answers = [answer(workspace, GET + word.encode() + gitlab) for word in words]
    why = answer(workspace, GET + b"relay=why\n" + gitlab)
    [use] = workspace.record.uses()
    asyncio.run(workspace.close())

    assert answers == [b"", b"", b""]
    assert b"this went wrong 0 s ago\n" in why
    assert b"[not-configured]" in why
    assert not use.is_troubled


def test_erase_is_silent_and_counts(workspace):
    """The forge's refusal is noted for `why`, and the one who reports it hears nothing."""
    answer(workspace, GET + ask(path="o/r"))
    erased = answer(workspace, b"action=erase\n" + ask(path="o/r", password=TOKEN))
    why = answer(workspace, GET + b"relay=why\nurl=https://github.com/o/r\n\n").decode()

    assert erased == b""
    assert "[token-refused]" in why
    assert TOKEN not in why


def test_thousands_of_lines_are_refused(workspace):
    """Parsing what git never sends would keep everybody else waiting."""
    flood = GET + b"state[]=x\n" * 25_000 + ask(path="o/r")

    assert answer(workspace, flood) == b""
