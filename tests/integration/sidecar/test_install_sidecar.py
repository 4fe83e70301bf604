"""`install --mode sidecar` put to use: an image without Python, a recipe without us, a home."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from git_credential_relay.demo.forge import PlaygroundForge
from git_credential_relay.executables import is_launcher
from tests.fakes.agent import ask
from tests.fakes.api import issues
from tests.fakes.bare_root import AGENT_UID, build_root, run_inside
from tests.fakes.cloud import SmallCloud
from tests.fakes.installation import install, root_only, values
from tests.fakes.program import run_program
from tests.fakes.sidecar import SidecarProcess, workspace_environ

REPOSITORIES = {"acme/app": True}
WORK = (
    "export HOME=/home; cd /home; git config --global user.name A; "
    "git config --global user.email a@example.com; "
)
PUSH = (
    'git clone --quiet "$1" "$2"; cd "$2"; echo x >"$2"; git add "$2"; git commit --quiet -m x; '
    'git push --quiet origin "HEAD:refs/heads/$2"; '
)


class BareImage:
    """A root file system, a forge, and a sidecar whose socket is in that root."""

    def __init__(self, root: Path, forge: PlaygroundForge, cloud: SmallCloud) -> None:
        self.root = root
        self.forge = forge
        self.cloud = cloud

    def run(self, script: str, *arguments: str, uid: int = AGENT_UID):
        """Run a script as the agent, or somebody else."""
        return run_inside(self.root, script, *arguments, uid=uid)


@pytest.fixture(scope="module")
def image():
    """An image with git and a shell, and a sidecar outside of it."""
    if os.geteuid() != 0:
        pytest.skip("only root can change the root")
    with tempfile.TemporaryDirectory(prefix="relay-") as directory, PlaygroundForge() as forge:
        root = Path(directory, "r")
        root.mkdir()
        Path(directory).chmod(0o755)
        if not build_root(root):
            pytest.skip("needs Debian's git, and the right to make devices")
        for repository in REPOSITORIES:
            forge.create_repository(repository)
        with SmallCloud(forge.tokens, forge.host, REPOSITORIES, lifetime_seconds=3600) as cloud:
            sockets = root / "run" / "git-credential-relay"
            sockets.mkdir()
            environ = workspace_environ(cloud.url, cloud.workspace_id) | {
                "WORKSPACE_TOKEN": cloud.workspace_secret,
                "GIT_CREDENTIAL_RELAY_HOSTS": forge.url,
                "GIT_CREDENTIAL_RELAY_ALLOW_UIDS": str(AGENT_UID),
            }
            with SidecarProcess(sockets, environ):
                yield BareImage(root, forge, cloud)


@pytest.fixture
def wired(image):
    """The image after `install` from outside; without it again when the test is over."""
    install(image.root, "--mode", "sidecar", "--host", image.forge.url)
    yield image
    done = run_program("uninstall", "--root", str(image.root))
    assert done.returncode == 0, done.stderr


def test_clone_and_push_without_python(wired):
    """With an empty environment, from a worktree too; and no secret anywhere in the image."""
    script = WORK + PUSH + "git worktree add --quiet -b other ../tree; cd ../tree; echo y >y; "
    script += 'git add y; git commit --quiet -m y; git push --quiet origin "HEAD:refs/heads/tree"'
    done = wired.run(script, wired.forge.url_of("acme/app"), "bare")

    assert (done.returncode, done.stderr) == (0, "")
    assert wired.forge.commit_of("acme/app", "bare")
    assert wired.forge.commit_of("acme/app", "tree") != wired.forge.commit_of("acme/app", "bare")
    secret = wired.cloud.workspace_secret.encode()
    files = [path for path in wired.root.rglob("*") if path.is_file() and not path.is_symlink()]
    assert [path for path in files if secret in path.read_bytes()] == []


def test_failures_are_told_without_python(wired):
    """Git says why on stderr, and so does `git-credential-relay why` later."""
    url = wired.forge.url_of("acme/secret")
    failed = wired.run(WORK + 'git ls-remote "$1"', url)
    why = wired.run('/usr/local/bin/git-credential-relay why "$1"', url)

    assert failed.returncode == 128
    assert "git-credential-relay: error: no credential for " in failed.stderr
    assert why.returncode == 0
    assert "git-credential-relay: error: no credential for " in why.stdout


def test_another_user_in_the_image_gets_nothing(wired):
    """Whoever the sidecar was not told to serve is told so."""
    done = wired.run("/usr/local/bin/git-credential-relay status", uid=AGENT_UID + 1)

    assert (done.returncode, done.stdout) == (1, "")
    assert "[sidecar-refused]" in done.stderr


RECIPE = (
    "git config --system credential.helper 'cache --socket=/run/git-credential-relay/git.sock'\n"
    "git config --system credential.useHttpPath true\n"
)


def test_two_lines_in_a_dockerfile_are_enough(image):
    """Without any file of ours git asks the sidecar, which is told the repository."""
    config = image.root / "etc" / "gitconfig"
    assert not config.exists()
    done = image.run(RECIPE, uid=0)
    assert (done.returncode, done.stderr) == (0, "")
    before = len(image.cloud.vends)
    try:
        done = image.run(WORK + PUSH, image.forge.url_of("acme/app"), "recipe")
    finally:
        config.unlink()

    assert (done.returncode, done.stderr) == (0, "")
    assert image.forge.commit_of("acme/app", "recipe")
    assert {vend.path for vend in image.cloud.vends[before:]} <= {"acme/app"}


@pytest.mark.newer_git
def test_the_recipe_with_a_newer_git(api, sidecar):
    """The same two settings, whatever git it is."""
    options = ["-c", f"credential.helper=cache --socket={sidecar.socket}",
               "-c", "credential.useHttpPath=true"]  # fmt: skip
    api.script(issues("ghs_newer"))
    done = subprocess.run(
        [os.environ["NEWER_GIT"], *options, "credential", "fill"],
        input=ask(path="octo/newer"), capture_output=True, check=False,
    )  # fmt: skip

    assert b"password=ghs_newer\n" in done.stdout
    assert api.requests[-1].fields["path"] == "octo/newer"


@root_only
def test_uninstall_leaves_the_image_as_it_was(image):
    """Nothing of ours is left in it."""
    names = ("etc", "usr/local", "var")

    def listed():
        return sorted(str(p) for name in names for p in (image.root / name).rglob("*"))

    before = listed()
    install(image.root, "--mode", "sidecar", "--gh", "--gh-socket", "/run/x/gh.sock")
    assert listed() != before
    run_program("uninstall", "--root", str(image.root))

    assert listed() == before


def test_for_yourself(tmp_path, monkeypatch, directory, api, sidecar):
    """--global on this machine: Python launchers, the shell's gh, git asks the sidecar."""
    home = tmp_path / "home"
    monkeypatch.delenv("GIT_CONFIG_GLOBAL")
    done = run_program(
        "install", "--global", "--mode", "sidecar", "--gh", "--socket", str(sidecar.socket),
        "--gh-socket", str(directory / "gh.sock"),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    fill = subprocess.run(["git", "credential", "fill"], input=ask(path="octo/own"),
                          capture_output=True, check=False)  # fmt: skip
    gh = home / ".local" / "bin" / "gh"
    helper = home / ".local" / "bin" / "git-credential-relay"

    assert (fill.returncode, fill.stderr) == (0, b"")
    assert b"password=" in fill.stdout
    assert api.requests[-1].fields["path"] == "octo/own"
    assert gh.read_text().startswith("#!/bin/sh\n")
    assert is_launcher(str(gh))
    assert "-I\n" in helper.read_text().splitlines(keepends=True)[0]
    helpers = values(home / ".gitconfig", "credential.https://github.com.helper")
    assert helpers == ["", f"cache --socket={sidecar.socket}", str(helper)]
    assert (home / ".config" / "git-credential-relay" / "gh" / "config.yml").is_file()
    assert run_program("uninstall", "--global").returncode == 0
    assert not gh.exists()
