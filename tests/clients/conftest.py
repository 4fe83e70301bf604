"""Fixtures of the clients' tests: wired machines without a network, and opencode on them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clients.loopback_only import loopback_only
from tests.clients.modes import DIRECT, SIDECAR, Machine, beside_a_sidecar, direct
from tests.clients.opencode import UID, OpenCode, serve
from tests.clients.provider import Provider
from tests.fakes.installed import install
from tests.fakes.wired import wired_machine


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """These tests need a program to be fetched: they run only when asked for by their path."""
    here = Path(__file__).parent
    asked = [Path(config.invocation_params.dir, arg.partition("::")[0]) for arg in config.args]
    return None if any(path.is_relative_to(here) for path in asked) else True


@pytest.fixture(scope="session")
def open_directory() -> Iterator[Path]:
    """A directory that every user can enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="relay-clients-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory


@pytest.fixture(scope="session")
def program(open_directory: Path) -> Path:
    """The opencode that .ci/opencode fetched, where every user can run it."""
    if os.geteuid() != 0:
        pytest.skip("only root can make the machine that opencode runs on")
    given = os.environ.get("REAL_OPENCODE")
    if not given:
        pytest.skip("no opencode here: set REAL_OPENCODE to its path, see .ci/opencode")
    return Path(shutil.copy(given, open_directory / "opencode"))


@pytest.fixture(scope="session")
def installed(program: Path, open_directory: Path) -> Path:
    """The package as a user gets it."""
    return install(open_directory)


@pytest.fixture(scope="session", params=[DIRECT, SIDECAR])
def machine(
    request: pytest.FixtureRequest, installed: Path, open_directory: Path
) -> Iterator[Machine]:
    """A machine that `install` has wired for the playground forge, with loopback alone."""
    with loopback_only(), wired_machine(installed, open_directory) as wired:
        if request.param == DIRECT:
            yield direct(wired)
            return
        with beside_a_sidecar(wired, installed, open_directory) as machine:
            yield machine


@pytest.fixture(scope="session")
def provider(machine: Machine) -> Iterator[Provider]:
    """The model, in the machine's network."""
    provider = Provider()
    provider.start()
    yield provider
    provider.stop()


@pytest.fixture(scope="session")
def opencode(
    machine: Machine, program: Path, provider: Provider, open_directory: Path
) -> Iterator[OpenCode]:
    """One server for all tests of a machine."""
    with serve(machine, program, provider, open_directory / f"served-{machine.mode}") as opencode:
        yield opencode


@pytest.fixture
def directory(opencode: OpenCode) -> Path:
    """An empty directory of the server's user, to work in."""
    directory = Path(tempfile.mkdtemp(prefix="work-", dir=opencode.home))
    os.chown(directory, UID, UID)
    return directory


@pytest.fixture
def run(opencode: OpenCode, machine: Machine, directory: Path) -> Callable[..., list[str]]:
    """Runs a script in one of the WAYS, its words in braces filled in; the output's lines."""

    def run(
        way: str,
        script: str,
        branch: str = "none",
        repository: str = "acme/app",
        clone: str = "clone",
        within: str = ".",
    ) -> list[str]:
        url = machine.forge.url_of(repository)
        script = script.format(url=url, branch=branch, clone=clone)
        output: str = getattr(opencode, way)(script, directory / within)
        return output.splitlines()

    return run
