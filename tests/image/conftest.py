"""Fixtures of the image tests: the images, built for real, and a forge that containers push to."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

import pytest

from git_credential_relay.demo.forge import PlaygroundForge
from tests.fakes.cloud import SmallCloud
from tests.fakes.lfs import LfsStore
from tests.image.all_of_git import PORT, REPOSITORIES, URL, Forge
from tests.image.base import CHECKOUT, make_debian, make_python
from tests.image.engine import PROGRAMS, Done, Engine
from tests.image.network import within_network_of
from tests.image.recipes import build_recipe

# Clones, commits and pushes; prints the commit.
PUSH = """\
set -eu
directory=$(mktemp -d)
git clone --quiet "$1" "$directory/app"
cd "$directory/app"
git -c user.name=Agent -c user.email=agent@example.com commit --quiet --allow-empty -m Write
git push --quiet origin "HEAD:refs/heads/$2"
git rev-parse HEAD
"""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """These tests build images for a minute: they run only when asked for by their path."""
    here = Path(__file__).parent
    asked = [Path(config.invocation_params.dir, arg.partition("::")[0]) for arg in config.args]
    return None if any(path.is_relative_to(here) for path in asked) else True


class Playground:
    """A forge and a cloud on this machine's loopback, and an image that is wired to them."""

    def __init__(self, forge: PlaygroundForge, cloud: SmallCloud) -> None:
        self.forge = forge
        self.cloud = cloud
        self.environ = {
            "CLOUD_API_URL": cloud.url,
            "WORKSPACE_ID": cloud.workspace_id,
            "WORKSPACE_TOKEN": cloud.workspace_secret,
            "GIT_CREDENTIAL_RELAY_FALLBACK": "off",
        }

    def push_by(self, *command: str, branch: str) -> list[str]:
        """PUSH, run by `command` (a shell's, up to and with -c)."""
        return [*command, PUSH, "push", self.forge.url_of("acme/app"), branch]

    def arrived(self, done: Done, branch: str, repository: str = "acme/app") -> bool:
        """Whether the forge has on `branch` the commit that PUSH printed, and no word else."""
        assert (done.exit_code, done.stderr) == (0, "")
        return self.forge.commit_of(repository, branch) == done.stdout.strip()


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """buildah and podman with a storage of their own."""
    if os.geteuid() != 0:
        pytest.skip("only root can build images here")
    for program in PROGRAMS:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    engine = Engine()
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def checkout(engine: Engine) -> Path:
    """What git has of this project, and nothing that merely lies about."""
    target = engine.directory / "checkout"
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True, check=True
    )
    for name in listed.stdout.split("\0"):
        if name and (CHECKOUT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CHECKOUT / name, target / name)
    return target


@pytest.fixture(scope="session")
def debian(engine: Engine) -> str:
    """A Debian image without Python."""
    return make_debian(engine)


@pytest.fixture(scope="session")
def python_base(engine: Engine, debian: str) -> str:
    """The image that stands in for the official Python image."""
    return make_python(engine, debian)


@pytest.fixture(scope="session")
def relay_image(engine: Engine, checkout: Path, python_base: str) -> str:
    """The Dockerfile's target `relay`."""
    return engine.build(checkout, "relay:tree", target="relay", base=python_base)


@pytest.fixture(scope="session")
def agent_image(engine: Engine, checkout: Path, python_base: str, relay_image: str) -> str:
    """The Dockerfile's default target; its first stage is there from `relay`."""
    return engine.build(checkout, "relay:agent", base=python_base)


@pytest.fixture(scope="session")
def sidecar_image(engine: Engine, checkout: Path, python_base: str, relay_image: str) -> str:
    """The Dockerfile's target `sidecar`."""
    return engine.build(checkout, "relay:sidecar", target="sidecar", base=python_base)


@pytest.fixture(scope="session")
def playground() -> Iterator[Playground]:
    """A forge and a cloud for all tests."""
    with PlaygroundForge() as forge:
        for name in ("acme/app", "acme/lib"):
            forge.create_repository(name)
        grants = {"acme/app": True, "acme/lib": True}
        with SmallCloud(forge.tokens, forge.host, grants, lifetime_seconds=3600) as cloud:
            yield Playground(forge, cloud)


@pytest.fixture(scope="session")
def wired_image(engine: Engine, agent_image: str, playground: Playground) -> str:
    """The agent's image as somebody with a forge of their own derives one."""
    install = f"RUN git-credential-relay install --host {playground.forge.url}"
    return engine.build_from(agent_image, f"USER root\n{install}\nUSER 1000:1000\n", "wired")


@pytest.fixture(scope="session")
def alone(engine: Engine, debian: str) -> Iterator[Forge]:
    """A forge with Git LFS, and nothing else to reach."""
    holder = engine.start(debian, "sleep", "900", flags=("--network=none",))
    forge = within_network_of(engine, holder, partial(PlaygroundForge, port=PORT))
    with forge:
        for name in REPOSITORIES:
            forge.create_repository(name)
        lfs = LfsStore()
        lfs.serve_at(forge)
        yield Forge(forge, lfs, holder)


@pytest.fixture(scope="session")
def build_sidecar_recipe(
    engine: Engine, checkout: Path, debian: str, agent_image: str, relay_image: str
) -> Callable[[str], str]:
    """Builds the one recipe with a word in it on a Debian with git and Git LFS; the name."""
    lfs = "apt-get install --yes --no-install-recommends ca-certificates git git-lfs"
    setting = "git lfs install --system --skip-repo"
    based = engine.build_from(debian, f"RUN apt-get update && {lfs} && {setting}\n", "lfs")
    names = {
        "git-credential-relay:agent": agent_image,
        "git-credential-relay:relay": relay_image,
        "node:22-bookworm-slim": based,
        "git.example.com": URL,
        # The tree's own recipe, in sidecar mode.
        "bin/git-credential-relay install ": "bin/git-credential-relay install --mode sidecar ",
    }

    @cache
    def build(word: str) -> str:
        return build_recipe(engine, word, names, checkout)

    return build
