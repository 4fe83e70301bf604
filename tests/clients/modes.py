"""The two ways in which a wired machine has its relay: in each command, or in a sidecar."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from git_credential_relay.wiring.sidecar import gh_config_yml, gh_hosts_yml
from tests.clients.opencode import UID, wait_until
from tests.fakes.wired import WiredMachine

DIRECT, SIDECAR = "direct", "sidecar"
PLACE = "/run/git-credential-relay"
START_SECONDS = 30
# As an operator does who turns a direct machine into one with a sidecar, and as the entrypoint
# does at the start of a container.
BESIDE = f"""\
set -eu
umask 022
"$PROGRAM" install --mode sidecar --socket {PLACE}/git.sock --gh-socket {PLACE}/gh.sock \\
    >/run/installed
umask 077
{{
    cat {PLACE}/relay.env
    echo "GIT_CREDENTIAL_RELAY_HOSTS=github=$FORGE"
    echo "GIT_CREDENTIAL_RELAY_ALLOW_UIDS={UID}"
}} >{PLACE}/sidecar.env
rm {PLACE}/relay.env
umask 022
exec env -i PATH="$PATH" GIT_CREDENTIAL_RELAY_CONFIG={PLACE}/sidecar.env \\
    setpriv --bounding-set=-all --inh-caps=-all --no-new-privs \\
    "$PROGRAM" sidecar --socket {PLACE}/git.sock --gh-socket {PLACE}/gh.sock
"""


@dataclass(frozen=True)
class Machine(WiredMachine):
    """A wired machine of a `mode`. `settings` is the file with the workspace's secret."""

    mode: str
    settings: str
    sidecar: int | None = None

    def as_root(self, *command: str, stdin: bytes = b"") -> bytes:
        """What a command of the operator's says."""
        enter = ["nsenter", f"--target={self.pid}", "--mount"]
        done = subprocess.run([*enter, *command], input=stdin, capture_output=True, check=True)
        return done.stdout

    def wait_for_settings(self, api_url: str) -> None:
        """Wait until what `settings` says counts; a helper reads it anew each time."""
        if self.mode == SIDECAR:
            wait_until(lambda: self._api_urls() == [api_url], 10)

    def gh_settings(self) -> Path:
        """Settings that lead gh to the sidecar's socket for the forge of this machine.

        The forge is a loopback address without TLS: what `install` writes has none of these.
        """
        directory = Path(tempfile.mkdtemp(dir=self.homes))
        directory.chmod(0o755)
        (directory / "config.yml").write_text(gh_config_yml(f"{PLACE}/gh.sock"))
        (directory / "hosts.yml").write_text(gh_hosts_yml([self.forge.host]))
        return directory

    def _api_urls(self) -> list[str]:
        status = self.run("git-credential-relay status --json", uid=UID).stdout
        return [workspace["api"]["url"] for workspace in json.loads(status)["workspaces"]]


def direct(machine: WiredMachine) -> Machine:
    """The machine as it was wired."""
    return Machine(**_fields(machine), mode=DIRECT, settings=f"{PLACE}/relay.env")


@contextmanager
def beside_a_sidecar(machine: WiredMachine, program: Path, directory: Path) -> Iterator[Machine]:
    """The machine with a sidecar that alone has the secret, as root without root's rights."""
    enter = ["nsenter", f"--target={machine.pid}", "--mount", "sh", "-c", BESIDE]
    environ = {
        "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "PROGRAM": str(program),
        "FORGE": machine.forge.url,
    }
    log = directory / "sidecar.log"
    with (
        log.open("wb") as written,
        subprocess.Popen(
            enter, env=environ, stdin=subprocess.DEVNULL, stdout=written, stderr=written
        ) as sidecar,
    ):
        try:
            wait_until(lambda: "ready on" in log.read_text(), START_SECONDS)
            settings = f"{PLACE}/sidecar.env"
            yield Machine(**_fields(machine), mode=SIDECAR, settings=settings, sidecar=sidecar.pid)
        finally:
            sidecar.terminate()
            sidecar.wait(START_SECONDS)
            print(log.read_text())  # shown where it did not come up


def _fields(machine: WiredMachine) -> dict[str, Any]:
    # Not asdict, which copies: they are running servers.
    return {field.name: getattr(machine, field.name) for field in fields(machine)}
