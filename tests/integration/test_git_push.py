"""Real git clones and pushes at the playground forge, with the demo's cloud behind the helper."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from git_credential_relay.demo.forge import ForgeRequest, PlaygroundForge
from tests.fakes.agent import AgentHome, Result
from tests.fakes.cloud import SmallCloud, Vend

NEWER_GIT = os.environ.get("NEWER_GIT", "")
GITS = [
    pytest.param("git", id="system-git"),
    pytest.param(NEWER_GIT, id="newer-git", marks=pytest.mark.newer_git),
]
REPOSITORIES = ("acme/app", "acme/lib", "acme/docs", "acme/readonly")


class Town:
    """A forge, a cloud that mints for it, and an agent whose git knows nothing but the helper."""

    def __init__(self, root: Path, launcher: Path, forge: PlaygroundForge, cloud: SmallCloud):
        self.forge = forge
        self.cloud = cloud
        self.agent = AgentHome(root, launcher, cloud.url)
        self.agent.environ |= {
            "WORKSPACE_ID": cloud.workspace_id,
            "WORKSPACE_TOKEN": cloud.workspace_secret,
            "GIT_CREDENTIAL_RELAY_HOSTS": forge.url,
            "GIT_CREDENTIAL_RELAY_FALLBACK": "off",
            "GIT_CREDENTIAL_RELAY_DEADLINE": "3",
        }
        self.helper_log = root / "helper-calls"
        self.use_helper(launcher)

    def use_helper(self, launcher: Path) -> None:
        """Name the helper in git's global configuration, with a note of each call."""
        spy = self.agent.root / "spy-helper"
        spy.write_text(f'#!/bin/sh\necho "$1" >>{self.helper_log}\nexec {launcher} "$@"\n')
        spy.chmod(0o755)
        with self.agent.gitconfig.open("a") as config:
            config.write(f"[credential]\n\thelper = {spy}\n\tuseHttpPath = true\n")

    @property
    def helper_calls(self) -> list[str]:
        """The operations that git has called so far."""
        return self.helper_log.read_text().split() if self.helper_log.exists() else []

    def git(self, *arguments: str, cwd: Path | None = None, git: str = "git") -> Result:
        """Git as the agent runs it."""
        return self.agent.git(*arguments, cwd=cwd, git=git)

    def clone(self, repository: str = "acme/app", git: str = "git", to: str = "app") -> Path:
        """Clone, which has to work; the work tree."""
        directory = self.agent.work / to
        url = self.forge.url_of(repository)
        result = self.git("clone", "--quiet", url, str(directory), git=git)
        assert (result.exit_code, result.stderr) == (0, "")
        return directory

    def commit(self, directory: Path, content: str = "x\n") -> str:
        """Commit one more change; the commit."""
        with (directory / "diary").open("a") as diary:
            diary.write(content)
        for arguments in (["add", "diary"], ["commit", "--quiet", "-m", "Write"]):
            assert self.git(*arguments, cwd=directory).exit_code == 0
        return self.git("rev-parse", "HEAD", cwd=directory).stdout.decode().strip()

    def push(self, directory: Path, git: str = "git") -> Result:
        """Push, as far as it works."""
        return self.git("push", "--quiet", "origin", "HEAD", cwd=directory, git=git)

    def vended(self) -> list[str | None]:
        """The hashes of all tokens the cloud has given, oldest first."""
        return [vend.token_sha256 for vend in self.cloud.vends]


@contextmanager
def make_town(
    root: Path,
    launcher: Path,
    *,
    at_forge: Callable[[ForgeRequest], None] | None = None,
    at_vend: Callable[[PlaygroundForge, Vend], None] | None = None,
    lifetime: float = 3600,
) -> Iterator[Town]:
    """A Town whose servers run until the context ends.

    `at_forge` and `at_vend` are called before an answer of the forge or the cloud leaves.
    """
    with PlaygroundForge(observe=at_forge) as forge:
        for repository in REPOSITORIES:
            forge.create_repository(repository)
        with SmallCloud(
            forge.tokens,
            forge.host,
            {name: name != "acme/readonly" for name in REPOSITORIES},
            lifetime_seconds=lifetime,
            observe=None if at_vend is None else partial(at_vend, forge),
        ) as cloud:
            yield Town(root, launcher, forge, cloud)


@pytest.fixture
def town(tmp_path, launcher):
    """A forge, a cloud and an agent."""
    with make_town(tmp_path / "town", launcher) as town:
        yield town


@pytest.mark.parametrize("git", GITS)
def test_clone_and_push(town, git):
    """With nothing configured but the helper, a clone and a push cost one token."""
    directory = town.clone(git=git)
    commit = town.commit(directory)
    pushed = town.push(directory, git)

    assert (pushed.exit_code, pushed.stderr) == (0, "")
    assert town.forge.commit_of("acme/app") == commit
    assert len(town.cloud.answers) == 1
    assert [vend.path for vend in town.cloud.vends] == ["acme/app"]


@pytest.mark.parametrize("git", GITS)
def test_token_expires_between_two_pushes(tmp_path, launcher, git):
    """A push uses the clone's token while it lives; the push after its end gets another one."""
    with make_town(tmp_path / "town", launcher, lifetime=5) as town:
        town.agent.environ["GIT_CREDENTIAL_RELAY_MIN_LIFETIME"] = "1"
        directory = town.clone(git=git)
        town.commit(directory)
        early = town.push(directory, git)
        vended_early = len(town.cloud.vends)
        while time.time() < town.forge.tokens.issued[0].expires_at:
            time.sleep(0.05)
        commit = town.commit(directory)
        late = town.push(directory, git)

        assert (early.exit_code, early.stderr, vended_early) == (0, "", 1)
        assert (late.exit_code, late.stderr) == (0, "")
        assert town.forge.commit_of("acme/app") == commit
        assert len(set(town.vended())) == 2


def test_revoked_token_fails_one_push_of_an_old_git(town):
    """Git 2.39 gives up on the 401, says erase, and its next push works with another token."""
    if version("git") >= (2, 46):
        pytest.skip("the system's git is not an old one")
    directory = town.clone()
    commit = town.commit(directory)
    town.forge.tokens.revoke(town.forge.tokens.issued[-1].token)
    first, second = town.push(directory), town.push(directory)

    assert first.exit_code == 128
    assert "Authentication failed" in first.stderr
    assert "git-credential-relay:" not in first.stderr
    assert (second.exit_code, second.stderr) == (0, "")
    assert town.forge.commit_of("acme/app") == commit
    assert len(set(town.vended())) == 2
    assert town.cloud.vends[1].rejected_sha256 == town.vended()[0]


@pytest.mark.newer_git
def test_revoked_token_is_replaced_within_the_push(town):
    """Git >= 2.46 asks again in the same command: the push does not fail."""
    directory = town.clone(git=NEWER_GIT)
    commit = town.commit(directory)
    town.forge.tokens.revoke(town.forge.tokens.issued[-1].token)
    pushed = town.push(directory, NEWER_GIT)

    assert (pushed.exit_code, pushed.stderr) == (0, "")
    assert town.forge.commit_of("acme/app") == commit
    assert town.cloud.vends[1].rejected_sha256 == town.vended()[0]


class RevokeAfterAdvertisement:
    """Revokes the token that has just been let in to push, before the push itself comes."""

    def __init__(self) -> None:
        self.forge: PlaygroundForge | None = None
        self.left = 1

    def __call__(self, request: ForgeRequest) -> None:
        is_let_in = request.status == 200 and request.method == "GET"
        if is_let_in and request.service == "git-receive-pack" and self.left and self.forge:
            self.left -= 1
            assert request.token_sha256 is not None
            self.forge.tokens.revoke_sha256(request.token_sha256)


@pytest.mark.parametrize("git", GITS)
def test_token_dies_between_advertisement_and_push(tmp_path, launcher, git):
    """Newer git recovers in the same push; an old one fails it and succeeds with the next."""
    revoke = RevokeAfterAdvertisement()
    with make_town(tmp_path / "town", launcher, at_forge=revoke) as town:
        directory = town.clone(git=git)
        commit = town.commit(directory)
        revoke.forge = town.forge
        first = town.push(directory, git)
        recovered = first if first.exit_code == 0 else town.push(directory, git)

        assert first.exit_code == (0 if version(git) >= (2, 46) else 1), first.stderr
        assert (recovered.exit_code, recovered.stderr) == (0, "")
        assert town.forge.commit_of("acme/app") == commit
        assert len(set(town.vended())) == 2
        assert [r.status for r in town.forge.requests].count(200) >= 3


@pytest.mark.newer_git
def test_a_token_refused_twice_is_not_asked_for_again(tmp_path, launcher):
    """When the forge refuses whatever it is shown, newer git gives up after one more try."""

    def revoke(forge: PlaygroundForge, vend: Vend) -> None:
        assert vend.token_sha256 is not None
        forge.tokens.revoke_sha256(vend.token_sha256)

    with make_town(tmp_path / "town", launcher, at_vend=revoke) as town:
        result = town.git("clone", "--quiet", town.forge.url_of("acme/app"), git=NEWER_GIT)

        assert result.exit_code == 128
        assert "Authentication failed" in result.stderr
        assert len(town.cloud.vends) == 2
        assert town.helper_calls.count("get") == 2


def test_read_only_token_is_refused_once(town):
    """A 403 is no matter of credentials: git does not ask the helper again, nor erase."""
    directory = town.clone("acme/readonly")
    town.commit(directory)
    before = len(town.helper_calls)
    pushed = town.push(directory)

    assert pushed.exit_code == 128
    assert "403" in pushed.stderr
    assert town.helper_calls[before:].count("get") == 1
    assert "erase" not in town.helper_calls
    assert len(town.cloud.answers) == 1


def test_repository_that_is_not_granted(town):
    """The refusal reaches the person with its code and hint, and no token is minted."""
    town.forge.create_repository("acme/payroll")
    url = town.forge.url_of("acme/payroll")
    result = town.git("clone", "--quiet", url, "payroll")

    assert result.exit_code == 128
    assert "[REPOSITORY_NOT_GRANTED]" in result.stderr
    assert "Ask the owner of the workspace" in result.stderr
    assert town.cloud.vends == ()


def test_foreign_host_gets_nothing(town):
    """A host that is not ours asks for a password and is shown no header."""
    town.clone()
    with PlaygroundForge() as foreign:
        url = foreign.create_repository("acme/app")
        result = town.git("clone", "--quiet", url, "foreign")

        assert result.exit_code == 128
        assert "git-credential-relay:" not in result.stderr
        assert foreign.requests
        assert not any(request.has_authorization for request in foreign.requests)
    assert len(town.cloud.answers) == 1


def test_api_down_is_served_from_the_cache(town):
    """With a token that lives, pushes go on while the cloud cannot be reached."""
    directory = town.clone()
    commit = town.commit(directory)
    town.cloud.stop()
    pushed = town.push(directory)

    assert (pushed.exit_code, pushed.stderr) == (0, "")
    assert town.forge.commit_of("acme/app") == commit


@pytest.mark.parametrize("trouble", ["refuses-connections", "swallows-packets"])
def test_api_down_serves_a_token_shorter_than_promised(town, trouble):
    """A token with less life than promised is better than none, and not waited for long."""
    directory = town.clone()
    commit = town.commit(directory)
    town.agent.environ |= {
        "GIT_CREDENTIAL_RELAY_MIN_LIFETIME": "4000",
        "GIT_CREDENTIAL_RELAY_DEADLINE": "20",
    }
    port = int(town.cloud.url.rpartition(":")[2])
    town.cloud.stop()
    with socket.socket() as hole:
        if trouble == "swallows-packets":
            hole.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            hole.bind(("127.0.0.1", port))
            hole.listen(8)
        pushed = town.push(directory)

    assert (pushed.exit_code, pushed.stderr) == (0, "")
    assert town.forge.commit_of("acme/app") == commit
    assert pushed.seconds < 8


def test_without_paths_one_token_serves_all_repositories(town):
    """With useHttpPath off, git names the host alone, and one token is enough for all."""
    with town.agent.gitconfig.open("a") as config:
        config.write("[credential]\n\tuseHttpPath = false\n")
    town.clone("acme/app", to="app")
    town.clone("acme/lib", to="lib")

    assert [vend.path for vend in town.cloud.vends] == [None]
    assert len(town.cloud.answers) == 1


def test_with_paths_each_repository_has_its_token(town):
    """With useHttpPath on, each token is for the one repository git asks about."""
    town.clone("acme/app", to="app")
    town.clone("acme/lib", to="lib")

    assert [vend.path for vend in town.cloud.vends] == ["acme/app", "acme/lib"]
    assert [sorted(t.repositories) for t in town.forge.tokens.issued] == [
        ["acme/app"],
        ["acme/lib"],
    ]


@pytest.mark.parametrize("git", GITS)
def test_submodules_in_parallel(town, git):
    """A recursive clone with eight jobs fetches a token for each repository, once."""
    directory = town.clone()
    for name in ("lib", "docs"):
        url = town.forge.url_of(f"acme/{name}")
        result = town.git("submodule", "--quiet", "add", url, name, cwd=directory, git=git)
        assert result.exit_code == 0, result.stderr
    town.git("commit", "--quiet", "-m", "Add submodules", cwd=directory)
    assert town.push(directory).exit_code == 0
    for record in town.agent.cache.iterdir():
        record.unlink()
    before = len(town.cloud.vends)
    result = town.git(
        *("clone", "--quiet", "--recurse-submodules", "--jobs", "8"),
        *(town.forge.url_of("acme/app"), "whole"),
        git=git,
    )

    assert (result.exit_code, result.stderr) == (0, "")
    assert (town.agent.work / "whole" / "lib" / "README.md").exists()
    assert (town.agent.work / "whole" / "docs" / "README.md").exists()
    assert sorted(v.path for v in town.cloud.vends[before:]) == [
        "acme/app",
        "acme/docs",
        "acme/lib",
    ]


@pytest.mark.parametrize("git", GITS)
def test_linked_worktree(town, git):
    """A push from a linked worktree is served like any other, from the same cache."""
    directory = town.clone(git=git)
    linked = town.agent.work / "linked"
    added = town.git("worktree", "add", "--quiet", "-b", "side", str(linked), cwd=directory)
    assert added.exit_code == 0, added.stderr
    commit = town.commit(linked)
    pushed = town.push(linked, git)

    assert (pushed.exit_code, pushed.stderr) == (0, "")
    assert town.forge.commit_of("acme/app", "side") == commit
    assert len(town.cloud.answers) == 1


def test_sixteen_clones_at_once_cost_one_token(town: Town):
    """Parallel clones of one repository share one vend."""

    def clone(number: int) -> Result:
        return town.git("clone", "--quiet", town.forge.url_of("acme/app"), f"clone-{number}")

    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(clone, range(16)))

    assert [(r.exit_code, r.stderr) for r in results] == [(0, "")] * 16
    assert len(town.cloud.answers) == 1
    assert len({r.token_sha256 for r in town.forge.requests} - {None}) == 1


def test_a_hostile_work_tree_runs_nothing_of_its_own(town):
    """Modules that lie in the repository are not imported by the helper git starts there."""
    directory = town.clone()
    for name in ("json", "os", "re", "httpx2", "sitecustomize", "git_credential_relay"):
        (directory / f"{name}.py").write_text("open('/dev/stderr', 'w').write('PWNED')\n")
    (directory / "gh").write_text("#!/bin/sh\necho PWNED >&2\n")
    (directory / "gh").chmod(0o755)
    for record in town.agent.cache.iterdir():
        record.unlink()
    town.commit(directory)
    town.agent.environ |= {"PYTHONPATH": str(directory), "PYTHONSTARTUP": str(directory / "re.py")}
    pushed = town.push(directory)

    assert (pushed.exit_code, pushed.stderr) == (0, "")
    assert len(town.cloud.vends) == 2


def version(git: str) -> tuple[int, int]:
    """The version of a git, as numbers."""
    done = subprocess.run([git, "--version"], capture_output=True, text=True, check=True)
    major, minor = done.stdout.split()[2].split(".")[:2]
    return int(major), int(minor)
