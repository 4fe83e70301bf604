"""gh through the sidecar's socket beside gh with a token of its own, at one API on loopback."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.bench import ANSWER, cloud_api
from benchmarks.contender import Contender, measure, settings, sidecar
from git_credential_relay.demo.loopback import LoopbackHandler, LoopbackServer
from git_credential_relay.wiring.sidecar import gh_config_yml, gh_hosts_yml

REPOSITORY = b'{"full_name":"acme/app"}'
BARE = "gh api, bare with a token"


class _Forge(LoopbackHandler):
    """A forge's API that tells whoever has the token about one repository."""

    def do_GET(self) -> None:
        """Answer at once."""
        is_known = self.headers.get("Authorization", "").endswith(" bench-token")
        self.send_response(200 if is_known else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(REPOSITORY)))
        self.end_headers()
        self.wfile.write(REPOSITORY)


@contextmanager
def forge() -> Iterator[str]:
    """`host:port` of a running forge."""
    server = LoopbackServer(_Forge)
    server.start()
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        server.stop()


def measure_gh(rounds: int) -> None:
    """How long one request of gh takes."""
    gh = os.environ.get("GH") or shutil.which("gh")
    if gh is None:
        print("\nnot measured: gh is not installed (apt-get install gh)")
        return
    with (
        tempfile.TemporaryDirectory() as directory,
        forge() as host,
        cloud_api(ANSWER[:-1] + f', "host": "{host}"}}'.encode()) as api_url,
    ):
        work = Path(directory)
        (work / "request").write_bytes(b"")
        env = settings(work, api_url) | {"GIT_CREDENTIAL_RELAY_HOSTS": f"github=http://{host}"}
        gh_socket = work / "served" / "gh.sock"
        with sidecar(work, env, "--gh-socket", str(gh_socket)):
            print(f"\ngh, {rounds} interleaved rounds\n")
            measure(work, list(contenders(work, gh, host, gh_socket)), rounds)


def contenders(work: Path, gh: str, host: str, gh_socket: Path) -> Iterator[Contender]:
    """gh alone, gh that asks the API itself, and gh that asks by the sidecar."""
    quiet = {"PATH": os.defpath, "HOME": str(work), "GH_NO_UPDATE_NOTIFIER": "1"}
    version = Contender("gh --version", [gh, "--version"], quiet, expected=b"gh version")
    yield version
    ask = [gh, "api", "repos/acme/app"]
    # The one host that gh asks without TLS, by a proxy since nobody knows its name.
    proxied = {"GH_HOST": "github.localhost", "HTTP_PROXY": f"http://{host}"}
    yield Contender(BARE, ask, {**quiet, **proxied, "GH_TOKEN": "bench-token"}, "", REPOSITORY)
    config = work / "gh"
    config.mkdir()
    (config / "config.yml").write_text(gh_config_yml(str(gh_socket)))
    (config / "hosts.yml").write_text(gh_hosts_yml([host]))
    led = {"GH_CONFIG_DIR": str(config), "GH_HOST": host}
    yield Contender("gh api, by our gh socket", ask, {**quiet, **led}, BARE, REPOSITORY)
