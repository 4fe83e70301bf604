"""Everything the demo's story needs, on loopback and in one temporary directory."""

import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from git_credential_relay.demo.agent import Agent, RelaySettings
from git_credential_relay.demo.backend import find_git
from git_credential_relay.demo.cloud import DemoCloud, Vend
from git_credential_relay.demo.forge import ForgeRequest, PlaygroundForge
from git_credential_relay.demo.timeline import Timeline, short_hash

REPOSITORY = "acme/app"
FORBIDDEN_REPOSITORY = "acme/payroll"
# Long enough for a slow machine to use a token twice, short enough to wait for its end.
TOKEN_SECONDS = 8
MIN_LIFETIME_SECONDS = 1


@dataclass(frozen=True, slots=True)
class World:
    """The people of the story. Of the cloud only its address and its records are used."""

    root: Path
    forge: PlaygroundForge
    foreign: PlaygroundForge
    cloud: DemoCloud
    agent: Agent
    timeline: Timeline
    now: Callable[[], float]
    sleep: Callable[[float], None]


@contextlib.contextmanager
def build_world(timeline: Timeline) -> Iterator[World]:
    """Start the servers and equip the agent; all is gone when the context ends.

    Raises:
        GitMissingError: No git on PATH.
    """
    git = find_git()
    narrator = _Narrator(timeline)
    with contextlib.ExitStack() as stack:
        root = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="git-credential-relay-demo-"))
        )
        forge = stack.enter_context(PlaygroundForge(observe=narrator.tell_forge))
        foreign = stack.enter_context(PlaygroundForge(observe=narrator.tell_foreign))
        forge.create_repository(REPOSITORY)
        forge.create_repository(FORBIDDEN_REPOSITORY)
        foreign.create_repository(REPOSITORY)
        cloud = stack.enter_context(
            DemoCloud(
                forge.tokens,
                forge.host,
                {REPOSITORY: True},
                lifetime_seconds=TOKEN_SECONDS,
                observe=narrator.tell_cloud,
            )
        )
        settings = RelaySettings(
            cloud.url, cloud.workspace_id, cloud.workspace_secret, forge.url, MIN_LIFETIME_SECONDS
        )
        agent = Agent(root, git, sys.executable, settings)
        yield World(root, forge, foreign, cloud, agent, timeline, time.time, time.sleep)


class _Narrator:
    """Turns what the servers see into lines of the timeline, as it happens."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._fresh: set[str] = set()

    def tell_cloud(self, answer: Vend) -> None:
        if answer.token_sha256 is None or answer.expires_at is None:
            self._timeline.event("cloud", f"refuses {answer.path}: {answer.code}")
            return
        self._fresh.add(answer.token_sha256)
        instead = (
            ""
            if answer.rejected_sha256 is None
            else (f", in place of the rejected {short_hash(answer.rejected_sha256)}")
        )
        seconds = answer.expires_at - answer.at
        self._timeline.event(
            "cloud",
            f"vends {short_hash(answer.token_sha256)} for {answer.path}, "
            f"good for {seconds:.0f} s{instead}",
        )

    def tell_forge(self, request: ForgeRequest) -> None:
        token = request.token_sha256
        if token is not None and request.method == "GET":
            # The cloud has told about a fresh token already; any other came out of the cache.
            if token not in self._fresh:
                self._timeline.event("relay", f"answers from its cache: {short_hash(token)}")
            self._fresh.discard(token)
        line = _describe(request)
        if line is not None:
            self._timeline.event("forge", line)

    def tell_foreign(self, request: ForgeRequest) -> None:
        shown = "an Authorization header!" if request.has_authorization else "nothing"
        self._timeline.event("foreign", f"{request.status}: asks for a password, is shown {shown}")


def _describe(request: ForgeRequest) -> str | None:
    """Return what a request means to a person; None for the second half of a fetch."""
    is_push = request.service == "git-receive-pack"
    token = short_hash(request.token_sha256)
    match request.status:
        case 200 if request.method == "POST":
            return f"200: takes the push to {request.repository}" if is_push else None
        case 200:
            return f"200: lets {token} {'push to' if is_push else 'read'} {request.repository}"
        case 401 if request.token_sha256 is None:
            return "401: who is asking?"
        case 401:
            return f"401: {token} is not good any more"
        case status:
            return f"{status} for {request.repository}"
