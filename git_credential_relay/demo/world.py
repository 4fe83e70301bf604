"""Everything the demo's story needs, on loopback and in one temporary directory."""

import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from git_credential_relay.demo.agent import Agent, RelaySettings
from git_credential_relay.demo.backend import find_git
from git_credential_relay.demo.broker import DemoBroker, Vend
from git_credential_relay.demo.forge import ForgeRequest, PlaygroundForge
from git_credential_relay.demo.github import PlaygroundGitHub
from git_credential_relay.demo.github_jwt import generate_app_key
from git_credential_relay.demo.gitlab import PlaygroundGitLab
from git_credential_relay.demo.pace import Pace, measure_start
from git_credential_relay.demo.resident import (
    STRANGER_UID,
    DemoSidecar,
    Machine,
    Residence,
    ResidentAgent,
    find_other_uid,
)
from git_credential_relay.demo.shell import Shell
from git_credential_relay.demo.timeline import Timeline, short_hash

REPOSITORY = "acme/app"
FORBIDDEN_REPOSITORY = "acme/payroll"
PROJECT = "acme/web/site"
# The path below which the GitLab of the story lives, beside a port of its own.
LAB_ROOT = "gitlab"
_CONFIGURATION = """\
min_lifetime = {min_lifetime}
[[forge]]
kind = "github"
host = "{hub}"
api_url = "http://{hub}"
app_id = "12345"
private_key_file = "app.pem"
[[forge]]
kind = "gitlab"
url = "{lab_url}"
token_file = "gitlab.token"
lease_seconds = {seconds}
"""


@dataclass
class World:
    """The people of the story. Of the broker only its address, commands and records are used.

    `agents` are made by the steps, one for each workspace.
    """

    root: Path
    git: str
    forge: PlaygroundForge
    lab: PlaygroundForge
    foreign: PlaygroundForge
    hub: PlaygroundGitHub
    broker: DemoBroker
    pace: Pace
    integration_token: str = field(repr=False)
    timeline: Timeline
    now: Callable[[], float]
    sleep: Callable[[float], None]
    agents: dict[str, Agent] = field(default_factory=dict)
    residence: Residence | None = None

    @property
    def agent(self) -> Shell:
        """Who acts: the agent of most of the story, and later the one beside the sidecar."""
        if self.residence is not None:
            return self.residence.agent
        return self.direct_agent

    @property
    def direct_agent(self) -> Agent:
        """The agent of most of the story, made with its workspace at first sight."""
        return self.agents.get("agent") or self.hire("agent", self.forge, REPOSITORY)

    @property
    def workspace(self) -> str:
        """Whose tokens the acting agent has."""
        return "agent" if self.residence is None else "resident"

    @property
    def secrets(self) -> list[str]:
        """Every token ever minted, and every secret that is to stay where it is."""
        issued = [*self.forge.tokens.issued, *self.lab.tokens.issued]
        secrets = [agent.secret_file.read_text().strip() for agent in self.agents.values()]
        if self.residence is not None:
            secrets.append(self.residence.sidecar.secret)
        return [*(token.token for token in issued), *secrets, self.broker.admin_secret]

    def hire(self, name: str, forge: PlaygroundForge, repository: str) -> Agent:
        """Make a workspace for the repository's address, and an agent with what came back."""
        settings = self._make_workspace(name, forge, repository)
        self.agents[name] = Agent(self.root / name, self.git, sys.executable, settings)
        return self.agents[name]

    def take_residence(self) -> Residence:
        """Start a sidecar with a workspace of its own, and have an agent beside it from now on.

        Raises:
            ServerStartError: The sidecar did not start.
        """
        settings = self._make_workspace("resident", self.forge, REPOSITORY)
        # Whoever the agent is may look at everything here that is not private.
        self.root.chmod(0o755)
        uid = find_other_uid(self.git, self.root)
        sidecar = DemoSidecar(self.root / "sidecar", self.root / "served", settings, uid)
        machine = Machine(self.root / "machine", self.git, sidecar, settings.forge_url)
        agent = ResidentAgent(self.root / "resident", machine, uid)
        self.residence = Residence(sidecar, agent, None if uid is None else STRANGER_UID)
        sidecar.start()
        return self.residence

    def close(self) -> None:
        """End what the steps have started."""
        if self.residence is not None:
            self.residence.sidecar.stop()

    def _make_workspace(self, name: str, forge: PlaygroundForge, repository: str) -> RelaySettings:
        url = forge.url_of(repository)
        env_file = self.root / f"{name}.env"
        self.timeline.event("admin", f"broker workspace create {url}")
        self.broker.run(
            *("broker", "workspace", "create", url, "--id", name),
            *("--config", str(self.broker.config), "--url", self.broker.url),
            *("--write-env", str(env_file)),
        )
        values = dict(line.split("=", 1) for line in env_file.read_text().splitlines())
        env_file.unlink()
        kind = "gitlab=" if forge is self.lab else ""
        return RelaySettings(
            values.pop("CLOUD_API_URL"),
            values.pop("WORKSPACE_ID"),
            values.pop("WORKSPACE_TOKEN"),
            f"{kind}{forge.url}",
            self.pace.min_lifetime_seconds,
            values,
        )


@contextlib.contextmanager
def build_world(timeline: Timeline) -> Iterator[World]:
    """Start the servers; all is gone when the context ends.

    Raises:
        GitMissingError: No git on PATH.
        ServerStartError: The broker did not start.
    """
    git = find_git()
    narrator = _Narrator(timeline)
    pace = Pace.of(measure_start())
    with contextlib.ExitStack() as stack:
        root = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="git-credential-relay-demo-"))
        )
        forge = stack.enter_context(PlaygroundForge(observe=narrator.tell_forge))
        lab = stack.enter_context(PlaygroundForge(observe=narrator.tell_forge, root=LAB_ROOT))
        foreign = stack.enter_context(PlaygroundForge(observe=narrator.tell_foreign))
        foreign.create_repository(REPOSITORY)
        pem, public_key = generate_app_key()
        hub = PlaygroundGitHub(forge, public_key, lifetime_seconds=pace.token_seconds)
        hub.add_repository(REPOSITORY)
        hub.add_repository(FORBIDDEN_REPOSITORY)
        hub.install(REPOSITORY.split("/")[0], {"contents": "write"})
        gitlab = PlaygroundGitLab(lab, lifetime_seconds=pace.token_seconds)
        gitlab.create_project(PROJECT)
        integration_token = gitlab.create_user_token()
        forge.api, lab.api = hub, gitlab
        broker = stack.enter_context(
            DemoBroker(
                root / "broker",
                _CONFIGURATION.format(
                    min_lifetime=pace.min_lifetime_seconds,
                    hub=forge.host,
                    lab_url=lab.url,
                    seconds=pace.token_seconds,
                ),
                {"app.pem": pem, "gitlab.token": integration_token},
                observe=narrator.tell_broker,
            )
        )
        narrator.poll = broker.poll
        world = World(
            root,
            git,
            forge,
            lab,
            foreign,
            hub,
            broker,
            pace,
            integration_token,
            timeline,
            time.time,
            time.sleep,
        )
        narrator.has_sidecar = lambda: world.residence is not None
        stack.callback(world.close)
        yield world


class _Narrator:
    """Turns what the servers see into lines of the timeline, as it happens."""

    def __init__(self, timeline: Timeline) -> None:
        self.poll: Callable[[], None] = lambda: None
        self.has_sidecar: Callable[[], bool] = lambda: False
        self._timeline = timeline
        self._fresh: set[str] = set()

    def tell_broker(self, answer: Vend) -> None:
        if answer.token_sha256 is None or answer.expires_at is None:
            self._timeline.event("broker", f"refuses {answer.path}: {answer.code}")
            return
        self._fresh.add(answer.token_sha256)
        instead = (
            ""
            if answer.rejected_sha256 is None
            else (f", in place of the rejected {short_hash(answer.rejected_sha256)}")
        )
        verb = "mints" if answer.cache == "miss" else "vends"
        seconds = answer.expires_at - answer.at
        self._timeline.event(
            "broker",
            f"{verb} {short_hash(answer.token_sha256)} for {answer.path}, "
            f"good for {seconds:.0f} s{instead}",
        )

    def tell_forge(self, request: ForgeRequest) -> None:
        self.poll()  # what the broker did comes first, and has led to this
        token = request.token_sha256
        if token is not None and request.method == "GET":
            # The broker has told about a fresh token already; any other came out of the cache.
            if token not in self._fresh:
                whose = "sidecar", "memory"
                actor, place = whose if self.has_sidecar() else ("relay", "cache")
                self._timeline.event(actor, f"answers from its {place}: {short_hash(token)}")
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
