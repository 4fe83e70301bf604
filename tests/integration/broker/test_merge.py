"""The merge path: a dispatched merge job pushes through the relay that its agent uses."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from git_credential_relay.demo.agent import Agent, RelaySettings
from git_credential_relay.demo.backend import find_git
from git_credential_relay.demo.forge import ForgeRequest, PlaygroundForge
from git_credential_relay.demo.github import PlaygroundGitHub
from git_credential_relay.demo.github_jwt import generate_app_key
from git_credential_relay.demo.gitlab import PlaygroundGitLab
from git_credential_relay.demo.leaks import find_in_files, find_in_texts, needles_for
from tests.fakes.broker import BrokerProcess
from tests.fakes.merge_job import MergeControl, post
from tests.fakes.program import run_program

TOKEN_SECONDS = 3
SECRET = "an-administrators-secret"
CONFIG = """
min_lifetime = 1
[admin]
secret_file = "admin.secret"
[[forge]]
kind = "github"
host = "{hub}"
api_url = "http://{hub}"
app_id = "12345"
private_key_file = "app.pem"
[[forge]]
kind = "gitlab"
url = "{lab}"
token_file = "gitlab.token"
lease_seconds = {seconds}
"""


@dataclass
class Hosts:
    """Two forges and a broker for both; `on_request` sees each of git's requests at them."""

    root: Path
    hub: PlaygroundForge
    github: PlaygroundGitHub
    lab: PlaygroundForge
    gitlab: PlaygroundGitLab
    broker: BrokerProcess
    on_request: Callable[[ForgeRequest], None] = field(default=lambda request: None)
    count: int = 0

    def make(self, kind: str) -> "Rig":
        """A repository at one of the forges, its workspace, and an agent who knows no more."""
        self.count += 1
        name = f"rig{self.count}"
        if kind == "github":
            forge, repository = self.hub, f"acme/{name}"
            self.github.add_repository(repository)
        else:
            forge, repository = self.lab, f"acme/team/{name}"
            self.gitlab.create_project(repository)
        values = self._create_workspace(name, forge.url_of(repository))
        settings = RelaySettings(
            values.pop("CLOUD_API_URL"),
            values.pop("WORKSPACE_ID"),
            values.pop("WORKSPACE_TOKEN"),
            _forge_of(values),
            1,
            values,
        )
        agent = Agent(self.root / name, find_git(), sys.executable, settings)
        return Rig(self, name, forge, repository, agent)

    def admin(self, *arguments: str) -> None:
        """One command of the administrator's."""
        done = run_program(
            *("broker", "workspace", *arguments, "--url", self.broker.url),
            BROKER_ADMIN_SECRET=SECRET,
        )
        assert done.returncode == 0, done.stderr

    def _create_workspace(self, name: str, url: str) -> dict[str, str]:
        env = self.root / f"{name}.env"
        self.admin("create", url, "--id", name, "--write-env", str(env))
        lines = env.read_text().splitlines()
        env.unlink()
        return dict(line.split("=", 1) for line in lines)


@dataclass
class Rig:
    """One repository and the agent who works on it."""

    hosts: Hosts
    name: str
    forge: PlaygroundForge
    repository: str
    agent: Agent

    def write(self, branch: str, text: str, *, directory: str = "own") -> None:
        """Commit a line on a branch, as the agent does, and push it."""
        clone = self.agent.work / directory
        if not clone.exists():
            self.git("clone", "--quiet", self.forge.url_of(self.repository), directory)
        self.git("switch", "--quiet", "--force-create", branch, "origin/main", cwd=clone)
        (clone / "notes.txt").write_text(text)
        self.git("add", "notes.txt", cwd=clone)
        self.git("commit", "--quiet", "--message", text, cwd=clone)
        self.git("push", "--quiet", "origin", branch, cwd=clone)

    def git(self, *arguments: str, cwd: Path | None = None) -> str:
        """Run git, which has to succeed."""
        result = self.agent.git(*arguments, cwd=cwd)
        assert result.is_ok, result.stderr
        return result.stdout

    def merge(self, httpserver, branch: str = "work") -> dict[str, str | None]:
        """Dispatch a merge into main, and wait for what its callback says."""
        httpserver.expect_request("/merged", method="POST").respond_with_data("")
        with MergeControl(self.agent) as control:
            order = {
                "rigId": "merges",
                "branch": branch,
                "targetBranch": "main",
                "gitUrl": self.forge.url_of(self.repository),
                "entryId": "e1",
                "callbackUrl": httpserver.url_for("/merged"),
            }
            with post(control.url, order) as accepted:
                assert accepted.status == 202
        result: dict[str, str | None] = httpserver.log[-1][0].json
        assert result["entry_id"] == "e1"
        return result

    def find_tokens(self, since: int) -> list[str | None]:
        """The tokens by which the forge let somebody push, by their hashes."""
        return [
            request.token_sha256
            for request in self.forge.requests[since:]
            if request.service == "git-receive-pack" and request.status == 200
        ]


@pytest.fixture(scope="module")
def hosts(tmp_path_factory) -> Iterator[Hosts]:
    """A GitHub, a GitLab at a port and a path, and the real broker, all running."""
    root = tmp_path_factory.mktemp("merge")
    with contextlib.ExitStack() as stack:

        def observe(request: ForgeRequest) -> None:
            world.on_request(request)

        hub = stack.enter_context(PlaygroundForge(observe=observe))
        lab = stack.enter_context(PlaygroundForge(observe=observe, root="code/gitlab"))
        pem, public_key = generate_app_key()
        github = PlaygroundGitHub(hub, public_key, lifetime_seconds=TOKEN_SECONDS)
        github.install("acme", {"contents": "write"})
        gitlab = PlaygroundGitLab(lab, lifetime_seconds=TOKEN_SECONDS)
        hub.api, lab.api = github, gitlab
        config = CONFIG.format(hub=hub.host, lab=lab.url, seconds=TOKEN_SECONDS)
        (root / "broker.toml").write_text(config)
        (root / "app.pem").write_text(pem)
        (root / "admin.secret").write_text(SECRET)
        (root / "gitlab.token").write_text(gitlab.create_user_token())
        broker = stack.enter_context(BrokerProcess(root))
        world = Hosts(root, hub, github, lab, gitlab, broker)
        yield world


@pytest.fixture(params=["github", "gitlab"])
def rig(hosts, request) -> Iterator[Rig]:
    """A repository at each kind of forge."""
    yield hosts.make(request.param)
    hosts.on_request = lambda request: None


def before_the_push(rig: Rig, act: Callable[[str], None]) -> list[str]:
    """Have something happen to the token of the fetch when the next push begins, and only then.

    The token's hash is in the list from then on.
    """
    fetched: list[str] = []

    def look(request: ForgeRequest) -> None:
        # Git begins without a credential; what the relay is asked for comes after this.
        if request.service == "git-receive-pack" and request.status == 401 and not fetched:
            used = (r.token_sha256 for r in reversed(rig.forge.requests))
            fetched.append(next(sha256 for sha256 in used if sha256 is not None))
            act(fetched[0])

    rig.hosts.on_request = look
    return fetched


def wait_until_over(rig: Rig, sha256: str) -> None:
    """Let a token expire, at the forge as everywhere else."""
    ends = {token.sha256: token.expires_at for token in rig.forge.tokens.issued}
    time.sleep(max(0.0, ends[sha256] - time.time()) + 0.05)


def test_merges_when_the_token_expires_in_between(rig, httpserver):
    """The token that fetched is over when the job pushes; the merge arrives with a new one."""
    rig.write("work", "from the agent")
    fetched = before_the_push(rig, lambda sha256: wait_until_over(rig, sha256))
    since = len(rig.forge.requests)
    result = rig.merge(httpserver)
    pushed = rig.find_tokens(since)

    assert result["status"] == "merged", result
    assert rig.forge.commit_of(rig.repository) == result["commit_sha"]
    clone = rig.agent.work / "merges"
    rig.git("fetch", "--quiet", cwd=clone)
    parents = rig.git("rev-list", "--parents", "--max-count=1", "origin/main", cwd=clone).split()
    assert len(parents) == 3
    assert fetched
    assert pushed
    assert fetched[0] not in pushed


def test_a_revoked_token_is_not_used_for_the_next_merge(rig, httpserver):
    """A token that dies unannounced costs one push at most: the job run again gets another."""
    rig.write("work", "from the agent")
    revoked = before_the_push(rig, rig.forge.tokens.revoke_sha256)
    since = len(rig.forge.requests)
    first = rig.merge(httpserver)
    again = first if first["status"] == "merged" else rig.merge(httpserver)
    statuses = [r.status for r in rig.forge.requests[since:] if r.token_sha256 == revoked[0]]

    assert first["status"] in ("merged", "failed")
    assert first["status"] == "merged" or "Authentication failed" in str(first["message"])
    assert again["status"] == "merged", again
    assert revoked[0] not in rig.find_tokens(since)
    assert statuses.count(401) <= 1
    assert rig.forge.commit_of(rig.repository) == again["commit_sha"]


def test_a_conflict_is_a_conflict(rig, httpserver):
    """What git cannot merge is reported as a conflict, and main stays what it was."""
    rig.write("work", "one thing")
    rig.write("main", "another thing")
    before = rig.forge.commit_of(rig.repository)
    result = rig.merge(httpserver)
    clone = rig.agent.work / "merges"

    assert result["status"] == "conflict"
    assert "notes.txt" in str(result["message"])
    assert result["commit_sha"] is None
    assert rig.forge.commit_of(rig.repository) == before
    assert len(rig.git("worktree", "list", cwd=clone).splitlines()) == 1


@pytest.mark.parametrize("rig", ["gitlab"], indirect=True)
def test_a_refused_push_fails_with_the_code(rig, httpserver):
    """A workspace that is deleted between fetch and push: failed, with the relay's own words."""
    rig.write("work", "from the agent")
    before = rig.forge.commit_of(rig.repository)

    def act(sha256: str) -> None:
        rig.hosts.admin("delete", rig.name)
        wait_until_over(rig, sha256)

    before_the_push(rig, act)
    result = rig.merge(httpserver)

    assert result["status"] == "failed"
    assert "git-credential-relay: error:" in str(result["message"])
    assert "[INVALID_WORKSPACE_TOKEN]" in str(result["message"])
    assert rig.forge.commit_of(rig.repository) == before


def test_no_token_is_where_others_could_read_it(rig, httpserver):
    """While and after a merge is pushed no token is in an argv, an environment, a remote or any
    file but the relay's cache; and nobody has told the job where the GitLab is."""
    seen: list[bytes] = []

    def look(request: ForgeRequest) -> None:
        if request.service == "git-receive-pack" and request.method == "POST":
            seen.extend(_processes(rig.agent.home))

    rig.write("work", "from the agent")
    rig.hosts.on_request = look
    result = rig.merge(httpserver)
    tokens = [token.token for token in rig.forge.tokens.issued]
    secret = rig.agent.secret_file.read_text().strip()
    needles = needles_for([*tokens, secret])
    texts = [text for done in rig.agent.results for text in (*done.arguments, done.stderr)]
    kept = (rig.agent.cache_directory, rig.agent.secret_file)

    assert result["status"] == "merged", result
    assert any(b"git\0push" in text for text in seen)
    assert not any(needle in text for needle in needles for text in seen)
    assert not find_in_texts([*texts, *rig.agent.environment.values()], needles)
    assert not find_in_files(rig.agent.home.parent, needles, kept)
    assert find_in_files(rig.agent.cache_directory, needles)
    assert not any("GITLAB" in name for name in rig.agent.environment)
    url = rig.git("remote", "get-url", "origin", cwd=rig.agent.work / "merges").strip()
    assert url == rig.forge.url_of(rig.repository)


def _processes(home: Path) -> Iterator[bytes]:
    """Command line and environment of every process that has this home."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            environ = (process / "environ").read_bytes()
            if f"HOME={home}\0".encode() in environ:
                yield (process / "cmdline").read_bytes() + b"\0" + environ


def _forge_of(values: dict[str, str]) -> str:
    """What `install` is told: what the broker has said about the forge, and nothing besides."""
    gitlab = values.get("GITLAB_INSTANCE_URL")
    return f"gitlab={gitlab}" if gitlab else values["GIT_CREDENTIAL_RELAY_HOSTS"]
