"""All of git, as another user with an empty environment, through a sidecar of root's."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from git_credential_relay.demo.forge import PlaygroundForge
from tests.fakes.agent import readable_python
from tests.fakes.cloud import SmallCloud
from tests.fakes.lfs import LfsStore
from tests.image.all_of_git import ALL_OF_GIT, REPOSITORIES

AGENT = 4242


@pytest.fixture
def world(open_directory, executable):
    """A forge, a cloud, and a sidecar at a socket; the directory is the agent's to enter."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    if shutil.which("git-lfs") is None:
        pytest.skip("git-lfs is not installed")
    if readable_python() is None:
        pytest.skip("no Python here that another user may run")
    directory = Path(tempfile.mkdtemp(dir=open_directory))
    directory.chmod(0o755)
    with ExitStack() as stack:
        forge = stack.enter_context(PlaygroundForge())
        for name in REPOSITORIES:
            forge.create_repository(name)
        lfs = LfsStore()
        lfs.serve_at(forge)
        grants = dict.fromkeys(REPOSITORIES, True)
        cloud = stack.enter_context(
            SmallCloud(forge.tokens, forge.host, grants, lifetime_seconds=3600)
        )
        stack.enter_context(sidecar(executable, directory / "run/git.sock", forge, cloud))
        yield directory, forge, cloud, lfs


def sidecar(executable: Path, socket: Path, forge: PlaygroundForge, cloud: SmallCloud) -> ExitStack:
    """A sidecar that is ready; it is ended with the stack."""
    environ = {
        "PATH": os.environ["PATH"],
        "CLOUD_API_URL": cloud.url,
        "WORKSPACE_ID": cloud.workspace_id,
        "WORKSPACE_TOKEN": cloud.workspace_secret,
        "GIT_CREDENTIAL_RELAY_HOSTS": forge.url,
        "GIT_CREDENTIAL_RELAY_ALLOW_UIDS": str(AGENT),
    }
    process = subprocess.Popen(
        [executable, "sidecar", "--socket", socket], stderr=subprocess.PIPE, env=environ, text=True
    )
    stack = ExitStack()
    stack.enter_context(process)
    stack.callback(process.terminate)
    assert process.stderr is not None
    assert "ready on" in process.stderr.readline()
    return stack


@pytest.mark.timeout(180)  # on a busy machine; the first to need an installed wheel waits for it
def test_all_of_git_as_another_user(world):
    """Clone, push, submodules by 16 at once, Git LFS and a work tree work with two lines of
    configuration and no variable but the name of the file that they are in; each token is for one
    repository."""
    directory, forge, cloud, lfs = world
    work = directory / "work"
    work.mkdir()
    (work / "gitconfig").write_text(
        f"[credential]\n\thelper = cache --socket={directory}/run/git.sock\n\tuseHttpPath = true\n"
    )
    for path in (work, work / "gitconfig"):
        os.chown(path, AGENT, AGENT)
    done = subprocess.run(
        ["sh", "-c", f"git lfs install --skip-repo >/dev/null\n{ALL_OF_GIT}", "sh", forge.url, "x"],
        env={"GIT_CONFIG_GLOBAL": str(work / "gitconfig"), "TMPDIR": str(work)},
        cwd=work,
        user=AGENT,
        group=AGENT,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "16"
    assert len(lfs.objects) == 3
    assert {vend.path for vend in cloud.vends} == set(REPOSITORIES)
    assert len(cloud.vends) == len(REPOSITORIES)
