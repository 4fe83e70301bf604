"""Base images out of this machine's own apt archive, for where no registry can be reached."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.image.engine import Engine

CHECKOUT = Path(__file__).parents[2]
# Debian's packages change rarely enough; `make clean` fetches them anew.
_ARCHIVE = CHECKOUT / "build" / "image" / "bookworm.tar"
_SOURCES = (
    Path("/etc/apt/sources.list.d/debian.sources"),
    Path("/etc/apt/sources.list"),
)
_CERTIFICATES = Path("/usr/local/share/ca-certificates")
_PIP = Path("/etc/pip.conf")
# As in the official images: without it every layer keeps the packages it installed.
_DOCKER_CLEAN = """\
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };
APT::Update::Post-Invoke { "rm -f /var/cache/apt/*.bin || true"; };
Dir::Cache::pkgcache ""; Dir::Cache::srcpkgcache "";
"""
_DEBIAN = """\
COPY ca/ /usr/local/share/ca-certificates/
COPY pip.conf /etc/pip.conf
COPY docker-clean /etc/apt/apt.conf.d/docker-clean
RUN update-ca-certificates
"""
_PYTHON = """\
RUN apt-get update \\
    && apt-get install --yes --no-install-recommends python3 python3-venv python3-pip \\
    && rm -rf /var/lib/apt/lists/* /usr/lib/python3*/EXTERNALLY-MANAGED \\
    && ln -s /usr/bin/python3 /usr/local/bin/python
"""


def make_debian(engine: Engine) -> str:
    """A bare Debian with this machine's certificates and settings for pip; its name."""
    if not _ARCHIVE.exists():
        _bootstrap(engine)
    engine.must(["podman", "import", "--quiet", str(_ARCHIVE), "localhost/debian:bare"])
    context = engine.directory / "debian"
    (context / "ca").mkdir(parents=True)
    for certificate in _CERTIFICATES.glob("*.crt"):
        shutil.copy(certificate, context / "ca")
    (context / "pip.conf").write_text(_PIP.read_text() if _PIP.exists() else "")
    (context / "docker-clean").write_text(_DOCKER_CLEAN)
    (context / "Dockerfile").write_text(f"FROM localhost/debian:bare\n{_DEBIAN}")
    return engine.build(context, "debian:slim")


def make_python(engine: Engine, debian: str) -> str:
    """Debian with its own Python, in the place of an official Python image; its name."""
    return engine.build_from(debian, _PYTHON, "python")


def _bootstrap(engine: Engine) -> None:
    [sources, *_] = [path for path in _SOURCES if path.exists()]
    unfinished = engine.directory / "bookworm.tar"
    engine.must(
        [
            *("mmdebstrap", "--quiet", "--mode=root", "--format=tar", "--variant=minbase"),
            *("--include=ca-certificates", '--aptopt=Acquire::Check-Valid-Until "false"'),
            *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("man", "locale", "doc")),
            *("bookworm", str(unfinished), str(sources)),
        ],
        timeout=600,
    )
    _ARCHIVE.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(unfinished, _ARCHIVE)
