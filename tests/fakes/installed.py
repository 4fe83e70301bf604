"""The package as a user gets it: a wheel, installed by pip where any user may run it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from tests.fakes.agent import readable_python

CHECKOUT = Path(__file__).parents[2]


def install(directory: Path) -> Path:
    """Build the wheel and install it below `directory`; the executable's path.

    The libraries it needs are copied from those the tests run with, so no network is needed.
    """
    venv, wheels = directory / "venv", directory / "wheels"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = [*pip, "wheel", "--no-deps", "--no-index", "--no-build-isolation"]
    run([*build, "--wheel-dir", str(wheels), str(CHECKOUT)])
    run([readable_python() or sys.executable, "-m", "venv", "--without-pip", str(venv)])
    [site_packages] = venv.glob("lib/python*/site-packages")
    for distribution in needed_distributions("git-credential-relay"):
        copy(distribution, site_packages)
    [wheel] = wheels.glob("*.whl")
    python = str(venv / "bin" / "python")
    run([*pip, "--python", python, "install", "--no-deps", "--no-index", str(wheel)])
    return venv / "bin" / "git-credential-relay"


def run(command: list[str]) -> None:
    """Run a command that has to succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


def needed_distributions(name: str) -> list[metadata.Distribution]:
    """What must be installed for the distribution called `name`, itself left out."""
    found: dict[str, metadata.Distribution] = {}
    names = [name]
    while names:
        for requirement in metadata.requires(names.pop()) or []:
            match = re.match(r"[\w.-]+", requirement)
            if match is None or "extra ==" in requirement or match[0] in found:
                continue
            try:
                found[match[0]] = metadata.distribution(match[0])
            except metadata.PackageNotFoundError:
                continue  # for other versions of Python
            names.append(match[0])
    return list(found.values())


def copy(distribution: metadata.Distribution, site_packages: Path) -> None:
    """Copy a distribution's modules, its scripts and byte code left out."""
    for file in distribution.files or []:
        if ".." in file.parts or file.suffix == ".pyc":
            continue
        target = site_packages / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(str(file.locate()), target)
