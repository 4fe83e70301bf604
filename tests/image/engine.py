"""buildah and podman with a storage of their own, which leave nothing behind."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from mmap import PROT_READ, mmap
from pathlib import Path

# crun, podman's own choice, wants cgroups that many CI machines do not have; the limits are those
# that may be set without CAP_SYS_RESOURCE.
_CONTAINERS_CONF = """\
[containers]
netns="host"
default_ulimits=["nofile=4096:4096","nproc=4096:4096"]
[engine]
runtime="runc"
cgroup_manager="cgroupfs"
events_logger="file"
tmp_dir="{directory}/run/libpod"
"""
_STORAGE_CONF = (
    '[storage]\ndriver="overlay"\ngraphroot="{directory}/st"\nrunroot="{directory}/run"\n'
)
PROGRAMS = ("buildah", "podman", "runc", "mmdebstrap")


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[str]:
        """What it printed."""
        return self.stdout.splitlines()


class Engine:
    """Builds images and runs containers; `close` takes away everything it made."""

    def __init__(self) -> None:
        # Not pytest's own directory: it is closed to other users, and its path is too long.
        self.directory = Path(tempfile.mkdtemp(prefix="relay-images-"))
        self._names = (f"relay-test-{number}" for number in itertools.count(1))
        confs = {"containers.conf": _CONTAINERS_CONF, "storage.conf": _STORAGE_CONF}
        for name, text in confs.items():
            (self.directory / name).write_text(text.format(directory=self.directory))
        # Nothing of the caller's: podman hands proxies on, and these have to be the tests' own.
        self._environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "LC_ALL": "C",
            "CONTAINERS_CONF": str(self.directory / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.directory / "storage.conf"),
            "BUILDAH_ISOLATION": "chroot",
            # The other format has no HEALTHCHECK.
            "BUILDAH_FORMAT": "docker",
        }

    def close(self) -> None:
        """End every container and delete every image."""
        self.call(["podman", "rm", "--all", "--force", "--time=0"])
        self.call(["podman", "rmi", "--all", "--force"])
        # podman mounts its storage onto itself.
        self.call(["umount", str(self.directory / "st/overlay")])
        shutil.rmtree(self.directory)

    def call(self, command: list[str], timeout: float = 60) -> Done:
        """Any command, with the engine's own configuration."""
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=self._environ,
            cwd=self.directory,
            timeout=timeout,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def must(self, command: list[str], timeout: float = 60) -> str:
        """What a command prints that has to succeed."""
        done = self.call(command, timeout=timeout)
        assert done.exit_code == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def build(
        self, context: Path, tag: str, *, target: str | None = None, base: str | None = None
    ) -> str:
        """Build `target` of the Dockerfile in `context`; the image's name."""
        image = f"localhost/{tag}"
        options = ["--build-arg", f"BASE_IMAGE={base}"] if base else []
        options += ["--target", target] if target else []
        command = ["buildah", "bud", "--quiet", "--layers", *options, "--tag", image, str(context)]
        self.must(command, timeout=600)
        return image

    def build_from(
        self, base: str, lines: str, tag: str, files: Mapping[str, bytes] | None = None
    ) -> str:
        """Build an image by a Dockerfile of `lines` on top of `base`; its name."""
        context = self.directory / tag
        context.mkdir()
        for name, content in (files or {}).items():
            (context / name).write_bytes(content)
        (context / "Dockerfile").write_text(f"FROM {base}\n{lines}")
        return self.build(context, tag)

    def run(
        self,
        image: str,
        *command: str,
        flags: Iterable[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> Done:
        """What `command` does in a container that is gone afterwards."""
        # Without systemd podman cannot time a health check, and says so on stderr.
        options = ["--rm", "--no-healthcheck", *self._flags(flags, environ)]
        return self.call(["podman", "run", *options, image, *command])

    def start(
        self,
        image: str,
        *command: str,
        flags: Iterable[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> str:
        """Start a container in the background; its name."""
        name = next(self._names)
        options = ["--detach", "--name", name, *self._flags(flags, environ)]
        self.must(["podman", "run", *options, image, *command])
        return name

    def execute(self, container: str, *command: str, flags: Iterable[str] = ()) -> Done:
        """What one more command does in a container that runs."""
        return self.call(["podman", "exec", *flags, container, *command])

    def configuration(self, image: str) -> dict[str, object]:
        """What an image says about itself."""
        [found] = json.loads(self.must(["podman", "image", "inspect", image]))
        return dict(found)

    def find(self, needles: Iterable[str], *command: str) -> list[str]:
        """Which of the needles are in the archive that a command of podman writes.

        Archives of images and containers hold plain files, one after the other.
        """
        archive = self.directory / "archive.tar"
        self.must(["podman", *command, "--output", str(archive)])
        try:
            with archive.open("rb") as stream, mmap(stream.fileno(), 0, prot=PROT_READ) as content:
                return [needle for needle in needles if content.find(needle.encode()) >= 0]
        finally:
            archive.unlink()

    def _flags(self, flags: Iterable[str], environ: Mapping[str, str] | None) -> list[str]:
        options = [f"--env={name}={value}" for name, value in (environ or {}).items()] + [*flags]
        has_own = any(option.startswith("--network=") for option in options)
        return [*([] if has_own else ["--network=host"]), *options]
