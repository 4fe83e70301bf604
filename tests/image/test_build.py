"""What is in the images that the Dockerfile makes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from os.path import normpath
from pathlib import Path

import pytest

from git_credential_relay import __version__
from tests.image.base import CHECKOUT

TREE = "/opt/git-credential-relay"


def test_dockerfile_is_clean():
    """hadolint has nothing to say about the Dockerfile."""
    beside = str(Path(sys.executable).parent)
    hadolint = shutil.which("hadolint", path=f"{beside}:{os.environ['PATH']}")
    if hadolint is None:
        pytest.skip("no hadolint for this machine")
    done = subprocess.run(
        [hadolint, "Dockerfile"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_agent_is_not_root(engine, agent_image):
    """By default the container runs as uid 1000, with a home of its own."""
    done = engine.run(agent_image, "sh", "-c", "id -u; id -g; echo $HOME; pwd")

    assert done.lines == ["1000", "1000", "/home/agent", "/home/agent"]


def test_agent_cannot_change_the_wiring(engine, agent_image):
    """Neither git's configuration nor any part of the program is writable for the agent."""
    script = (
        f"find {TREE} /usr/local /etc /var/lib/git-credential-relay ! -type l -writable;"
        " stat -c '%U %a' /etc/gitconfig"
    )
    done = engine.run(agent_image, "sh", "-c", script)

    assert done.stdout == "root 644\n"


def test_helper_is_seen_with_an_empty_environment(engine, agent_image):
    """Git finds the helper in the system's configuration, whatever is in the environment."""
    done = engine.run(agent_image, "env", "-i", "/usr/bin/git", "config", "--system", "--list")

    assert done.stderr == ""
    for host in ("github.com", "gitlab.com"):
        section = f"credential.https://{host}"
        own = [line for line in done.lines if line.startswith(section)]
        assert own == [
            f"{section}.helper=",
            f"{section}.helper=/usr/local/bin/git-credential-relay",
            f"{section}.usehttppath=true",
        ]


def test_gh_is_ours(engine, agent_image):
    """In every kind of shell `gh` is the launcher in front of the real one, which it runs."""
    # Without a HOME, Debian's own ~/.profile puts /bin in front of everything.
    for shell in ("sh -c", "bash -l -c", "env -i HOME=/home/agent bash -l -c"):
        done = engine.run(agent_image, *shell.split(), "command -v gh; gh --version")

        assert (done.exit_code, done.stderr) == (0, "")
        assert done.lines[0] == "/usr/local/bin/gh"
        assert done.lines[1].startswith("gh version ")


def test_everything_is_byte_compiled(engine, agent_image):
    """No module of the program, its libraries and its standard library is compiled at run time."""
    script = """\
import importlib.util, pathlib, sys
modules = [*pathlib.Path(sys.argv[1]).rglob('*.py')]
print(len(modules))
for module in modules:
    if not pathlib.Path(importlib.util.cache_from_source(module)).exists():
        print(module)
"""
    [count, *missing] = engine.run(
        agent_image, f"{TREE}/bin/python", "-I", "-c", script, TREE
    ).lines

    assert missing == []
    assert int(count) > 500


def test_tree_brings_its_own_libraries(engine, agent_image):
    """Every shared library comes from the tree or from glibc, whatever LD_LIBRARY_PATH says."""
    find = f"find -L {TREE}/python {TREE}/lib -name '*.so*' -o -path '*/bin/python3*'"
    done = engine.run(
        agent_image, "sh", "-c", f"{find} | xargs ldd", environ={"LD_LIBRARY_PATH": "/usr/lib"}
    )
    needed = [line.split() for line in done.lines if " => " in line]
    foreign = {
        words[2]
        for words in needed
        if not normpath(words[2]).startswith(f"{TREE}/python/lib/")
        and not words[0].startswith(("libc.so", "libm.so", "libdl.so", "libpthread.so"))
    }

    assert foreign == set()
    assert any(words[0].startswith("libssl") for words in needed)


def test_tree_holds_only_what_runs(engine, agent_image):
    """Of the locked packages only those the program needs are in the image."""
    script = (
        "from importlib.metadata import distributions as d; print(*{p.name.lower() for p in d()})"
    )
    done = engine.run(agent_image, f"{TREE}/bin/python", "-I", "-c", script)
    names = set(done.stdout.split())

    assert {"git-credential-relay", "click", "httpx2", "tenacity", "pyyaml"} <= names
    assert names.isdisjoint({"pip", "hatchling", "editables", "setuptools"})


def test_relay_image_is_the_tree_alone(engine, relay_image):
    """The image to copy from holds one directory, with nothing in it that only root can read."""
    container = engine.must(["podman", "create", relay_image, "unused"]).strip()
    archive = engine.directory / "relay.tar"
    engine.must(["podman", "export", "--output", str(archive), container])
    with tarfile.open(archive) as tar:
        files = [member for member in tar if member.name.startswith(TREE[1:] + "/")]
        others = [m.name for m in tar if m not in files and not TREE[1:].startswith(m.name)]
    archive.unlink()

    # podman itself adds the places where it mounts things.
    assert [
        name for name in others if name.split("/")[0] not in ("dev", "etc", "proc", "run", "sys")
    ] == []
    assert [f.name for f in files if not f.issym() and not f.mode & 0o004] == []


def test_labels(engine, relay_image, agent_image):
    """Both images say what they are, and the version is that of the package."""
    for image in (relay_image, agent_image):
        labels = engine.configuration(image)["Labels"]

        assert labels["org.opencontainers.image.version"] == __version__
        assert labels["org.opencontainers.image.licenses"] == "MIT"
        assert labels["org.opencontainers.image.title"].startswith("git-credential-relay")
        assert labels["org.opencontainers.image.description"]


def test_health_check(engine, agent_image):
    """The image checks its own health: it is healthy as it was built, and not where git is told to
    pass the wiring by."""
    well = engine.start(agent_image, "sleep", "60")
    as_root = engine.start(agent_image, "sleep", "60", flags=("--user=0",))
    ill = engine.start(agent_image, "sleep", "60", environ={"GIT_CONFIG_NOSYSTEM": "1"})
    codes = [
        engine.call(["podman", "healthcheck", "run", container]).exit_code
        for container in (well, as_root, ill)
    ]
    health = engine.configuration(agent_image)["Healthcheck"]

    assert health["Test"] == ["CMD", "git-credential-relay", "doctor", "--offline"]
    assert codes == [0, 0, 1]


def test_what_lies_about_in_the_checkout_stays_out(engine, checkout, python_base):
    """A secret in the checkout that git does not know is in no stage of the build."""
    canary = "canary-in-the-checkout"
    places = (".env", "relay.env", "entrypoint/__pycache__/x.pyc", "requirements/local.txt")
    for place in places:
        (checkout / place).parent.mkdir(exist_ok=True)
        (checkout / place).write_text(canary)
    stage = engine.build(checkout, "relay:build", target="build", base=python_base)
    for place in places:
        (checkout / place).unlink()

    assert engine.find([canary, "[project]"], "save", stage) == ["[project]"]
