"""How long git waits for a credential: our helper beside what else there is, in one run.

Every round runs each contender once, in random order, so that load on the machine meets all of
them alike; what counts are the ratios, not the milliseconds. Usage: bench.py [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from git_credential_relay.wiring.launcher import launcher_script

REQUEST = b"protocol=https\nhost=github.com\npath=acme/app.git\n\n"
ANSWER = json.dumps(
    {"token": "bench-token", "username": "x-access-token", "expiresAt": "2099-01-01T00:00:00Z"}
).encode()
FLOOR = "python -I -c pass"
WARM = "ours, warm get (launcher)"
GH = "gh auth git-credential get"


@dataclass
class Contender:
    """One command that is measured; `stdin` is git's request."""

    name: str
    command: list[str]
    env: dict[str, str]
    stdin: bytes = REQUEST
    milliseconds: list[float] = field(default_factory=list)

    def run(self) -> None:
        """Run once, and check that it answered: a fast failure is no result."""
        started = time.perf_counter()
        done = subprocess.run(
            self.command, input=self.stdin, env=self.env, capture_output=True, check=False
        )
        self.milliseconds.append((time.perf_counter() - started) * 1000)
        if done.returncode != 0 or (self.stdin and b"password=" not in done.stdout):
            raise SystemExit(f"bench: {self.name} failed: {done.stderr.decode()}")


class _Api(BaseHTTPRequestHandler):
    """A cloud API that answers at once."""

    answer = ANSWER

    def do_GET(self) -> None:
        """Give out the token."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(self.answer)))
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, *args: object) -> None:
        """Keep quiet."""


@contextmanager
def cloud_api(answer: bytes = ANSWER) -> Iterator[str]:
    """The address of a running API that gives this answer."""
    handler = type("_OneAnswer", (_Api,), {"answer": answer})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def git_cache(work: Path, env: dict[str, str]) -> Iterator[list[str]]:
    """The command of git's own cache, with its daemon running and the credential stored."""
    directory = work / "git-cache"
    directory.mkdir(mode=0o700)
    command = ["git", "credential-cache", f"--socket={directory}/socket"]
    stored = REQUEST[:-1] + b"username=x-access-token\npassword=bench-token\n\n"
    subprocess.run([*command, "store"], input=stored, env=env, check=True)
    try:
        yield command
    finally:
        subprocess.run([*command, "exit"], env=env, check=False)


def contenders(work: Path, api_url: str, cache_command: list[str]) -> Iterator[Contender]:
    """Everything there is to measure on this machine."""
    env = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(work),
        "CLOUD_API_URL": api_url,
        "WORKSPACE_ID": "bench",
        "WORKSPACE_TOKEN": "bench-secret",
        "GIT_CREDENTIAL_RELAY_CACHE_DIR": str(work / "cache"),
    }
    launcher = work / "git-credential-relay"
    launcher.write_text(launcher_script(sys.executable))
    launcher.chmod(0o755)
    yield Contender(FLOOR, [sys.executable, "-I", "-c", "pass"], env, stdin=b"")
    yield Contender(WARM, [str(launcher), "get"], env)
    script = Path(sys.executable).with_name("git-credential-relay")
    if script.exists():
        yield Contender("ours, warm get (pip's script)", [str(script), "get"], env)
    yield Contender(
        "ours, cold get (asks the API)",
        [str(launcher), "get"],
        {**env, "GIT_CREDENTIAL_RELAY_CACHE": "off"},
    )
    yield Contender("git credential-cache get", [*cache_command, "get"], env)
    gh = os.environ.get("GH") or shutil.which("gh")
    if gh:
        gh_env = {**env, "GH_TOKEN": "bench-token"}
        yield Contender(GH, [gh, "auth", "git-credential", "get"], gh_env)
        yield Contender("gh auth token (GH_TOKEN set)", [gh, "auth", "token"], gh_env, stdin=b"")
        in_front = work / "bin"
        in_front.mkdir()
        (in_front / "gh").write_text(launcher_script(sys.executable, "gh"))
        (in_front / "gh").chmod(0o755)
        path = f"{in_front}:{Path(gh).parent}:{env['PATH']}"
        shim = [str(in_front / "gh"), "auth", "token"]
        yield Contender("gh auth token by our gh, warm", shim, {**env, "PATH": path}, stdin=b"")
    if shutil.which("curl") and shutil.which("jq"):
        helper = Path(__file__).with_name("peers") / "curl-jq-helper"
        yield Contender("curl + jq shell helper", [str(helper), "get"], env)


def report(measured: list[Contender]) -> None:
    """Print medians, spreads and ratios, and what the targets say."""
    medians = {c.name: statistics.median(c.milliseconds) for c in measured}
    gh = medians.get(GH)
    print(f"{'':32} {'median':>9} {'p90':>9} {'x python':>9} {'x gh':>7}")
    for c in measured:
        p90 = sorted(c.milliseconds)[int(len(c.milliseconds) * 0.9)]
        of_gh = f"{medians[c.name] / gh:7.2f}" if gh else "      -"
        of_floor = medians[c.name] / medians[FLOOR]
        print(f"{c.name:32} {medians[c.name]:6.1f} ms {p90:6.1f} ms {of_floor:9.2f} {of_gh}")
    print(f"\ntarget: warm get <= 1.3 x python: {medians[WARM] / medians[FLOOR]:.2f}")
    if gh:
        print(f"target: warm get <= 0.5 x gh:     {medians[WARM] / gh:.2f}")
    for name, command in (("gh", "gh"), ("curl + jq", "jq")):
        if not (shutil.which(command) or (command == "gh" and os.environ.get("GH"))):
            print(f"not measured: {name} is not installed (apt-get install {command})")


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60, help="runs of each contender")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as directory, cloud_api() as api_url:
        work = Path(directory)
        env = {"PATH": os.environ.get("PATH", os.defpath), "HOME": directory}
        with git_cache(work, env) as cache_command:
            measured = list(contenders(work, api_url, cache_command))
            for contender in measured:
                contender.run()  # fills caches: ours, the file system's, Python's bytecode
                contender.milliseconds.clear()
            for _ in range(rounds):
                for contender in random.sample(measured, len(measured)):
                    contender.run()
    print(f"{rounds} interleaved rounds, {os.cpu_count()} processors\n")
    report(measured)


if __name__ == "__main__":
    main()
