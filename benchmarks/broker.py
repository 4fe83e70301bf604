"""The broker under load, beside a bare starlette route on the same server, in one run.

Rounds alternate between the two, so that load on the machine meets both alike; what counts are
the ratios. Every vend that is counted has authorised, gone through the cache and written its
line of the audit log. Usage: broker.py [--seconds N]
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import jwt

from git_credential_relay.demo.forge import PlaygroundForge
from git_credential_relay.demo.github import PlaygroundGitHub
from git_credential_relay.demo.github_jwt import generate_app_key

SECRET = "the secret of the benchmark's workspace"
CONNECTIONS = (1, 32, 256)
ROUNDS = 3
TARGET = 0.5
KEYS = 10_000
MINTS = 200
BARE = """
import socket, sys, uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

async def token(request):
    return JSONResponse({"token": "bench", "workspace": request.query_params["workspaceId"]})

app = Starlette(routes=[Route("/api/git/token", token)])
port = int(sys.argv[1])
uvicorn.run(app, port=port, http="h11", loop="asyncio", access_log=False, log_level="error")
"""


def request_for(repository: str) -> bytes:
    """A request for a token, as the helper sends it."""
    query = f"workspaceId=w1&host=127.0.0.1%3A9&path={repository.replace('/', '%2F')}&use=git"
    return (
        f"GET /api/git/token?{query}&minLifetime=600 HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {SECRET}\r\nAccept: application/json\r\n\r\n"
    ).encode()


async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> bytes:
    """Send a request on an open connection; the answer's body. A failure ends the benchmark."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    body = await reader.readexactly(length)
    if not head.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"bench: the broker failed: {head.decode()}{body.decode()}")
    return body


async def load(port: int, connections: int, seconds: float, request: bytes) -> list[float]:
    """Milliseconds of each request that so many connections got answered in this time."""
    samples: list[float] = []
    end = time.perf_counter() + seconds

    async def run() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < end:
            started = time.perf_counter()
            await one(reader, writer, request)
            samples.append((time.perf_counter() - started) * 1000)
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(run() for _ in range(connections)))
    return samples


def free_port() -> int:
    """A port nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(command: list[str], port: int, cwd: Path) -> Iterator[int]:
    """The process id of a server that listens."""
    with (cwd / "server.log").open("ab") as log:
        server = subprocess.Popen(command, cwd=cwd, stdout=log, stderr=log)
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        else:
            raise SystemExit(f"bench: no server: {(cwd / 'server.log').read_text()}")
        yield server.pid
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)


def broker(port: int, directory: Path) -> list[str]:
    """The command that serves the configuration in `directory`."""
    executable = str(Path(sys.executable).with_name("git-credential-relay"))
    config = str(directory / "broker.toml")
    return [executable, "broker", "serve", "--config", config, "--listen", f"127.0.0.1:{port}"]


def write_static(directory: Path, keys: int) -> None:
    """A configuration whose tokens need no forge: what is measured is ours alone."""
    digest = hashlib.sha256(SECRET.encode()).hexdigest()
    (directory / "token").write_text("bench-token-of-forty-characters-in-length")
    (directory / "broker.toml").write_text(
        f"""
[limits]
workspace_requests_per_minute = 10000000
workspace_mints_per_minute = 10000000
address_requests_per_minute = 10000000
[[forge]]
kind = "static"
host = "127.0.0.1:9"
token_file = "token"
username = "bot"
expires_at = "2099-01-01T00:00:00Z"
repositories = [{", ".join(f'"acme/r{n}"' for n in range(keys))}]
[[workspace]]
id = "w1"
secret_sha256 = "{digest}"
"""
        + "".join(
            f"""
[[workspace.grant]]
host = "127.0.0.1:9"
repositories = [{", ".join(f'"acme/r{n}"' for n in range(start, min(start + 500, keys)))}]
"""
            for start in range(0, keys, 500)
        )
    )


def write_github(directory: Path, forge: PlaygroundForge, pem: str) -> None:
    """A configuration that mints at a GitHub on loopback."""
    digest = hashlib.sha256(SECRET.encode()).hexdigest()
    (directory / "app.pem").write_text(pem)
    (directory / "broker.toml").write_text(
        f"""
[limits]
workspace_requests_per_minute = 10000000
workspace_mints_per_minute = 10000000
[[forge]]
kind = "github"
host = "{forge.host}"
api_url = "{forge.url}"
app_id = "12345"
private_key_file = "app.pem"
verifies_fresh_tokens = false
[[workspace]]
id = "w1"
secret_sha256 = "{digest}"
[[workspace.grant]]
host = "{forge.host}"
repositories = ["acme/*"]
"""
    )


def memory(pid: int) -> float:
    """Resident megabytes of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def measure_cached(directory: Path, seconds: float) -> None:
    """Cached vends beside the bare route."""
    write_static(directory, 1)
    ours, bare = free_port(), free_port()
    request = request_for("acme/r0")
    with (
        process(broker(ours, directory), ours, directory),
        process([sys.executable, "-c", BARE, str(bare)], bare, directory),
    ):
        asyncio.run(load(ours, 4, 1, request))
        asyncio.run(load(bare, 4, 1, request))
        print(
            f"{'cached vends':<22}{'per second':>12}{'p50 ms':>9}{'p99 ms':>9}"
            f"   of bare (target >= {TARGET} x)"
        )
        for connections in CONNECTIONS:
            samples: dict[int, list[float]] = {ours: [], bare: []}
            for _ in range(ROUNDS):
                for port in (ours, bare):
                    samples[port] += asyncio.run(load(port, connections, seconds, request))
            rates = {port: len(found) / (ROUNDS * seconds) for port, found in samples.items()}
            for port, name in ((bare, "bare starlette"), (ours, "broker")):
                cuts = statistics.quantiles(samples[port], n=100)
                ratio = f"{rates[port] / rates[bare]:9.2f} x"
                print(
                    f"{name:<16}{connections:>6}{rates[port]:>12.0f}{cuts[49]:>9.2f}{cuts[98]:>9.2f}"
                    f"{ratio}"
                )


def measure_memory(directory: Path) -> None:
    """What ten thousand cached keys cost."""
    write_static(directory, KEYS)
    port = free_port()

    async def fill() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in range(KEYS):
            await one(reader, writer, request_for(f"acme/r{number}"))
        writer.close()

    with process(broker(port, directory), port, directory) as pid:
        asyncio.run(load(port, 4, 1, request_for("acme/r0")))
        before = memory(pid)
        asyncio.run(fill())
        print(f"\nmemory: {before:.0f} MB, with {KEYS} cached keys {memory(pid):.0f} MB")


def measure_mints(directory: Path) -> None:
    """A vend that has to mint, beside the same request to the forge without a broker."""
    pem, public_key = generate_app_key()
    with PlaygroundForge() as forge:
        github = PlaygroundGitHub(forge, public_key)
        forge.api = github
        for number in range(2 * MINTS):
            github.add_repository(f"acme/r{number}", has_git=False)
        installation = github.install("acme", {"contents": "write"})
        write_github(directory, forge, pem)
        now = int(time.time())
        claims = {"iat": now - 60, "exp": now + 540, "iss": "12345"}
        app_jwt = jwt.encode(claims, pem, algorithm="RS256")
        port = free_port()
        with process(broker(port, directory), port, directory):
            direct, ours = asyncio.run(mint_both(forge, port, installation.id, app_jwt))
    p50s = [statistics.median(samples) for samples in (direct, ours)]
    print(
        f"\nmint at the forge {p50s[0]:.2f} ms p50, vended by the broker {p50s[1]:.2f} ms:"
        f" the chain adds {p50s[1] - p50s[0]:.2f} ms (target <= 2)"
    )


async def mint_both(
    forge: PlaygroundForge, port: int, installation: int, app_jwt: str
) -> tuple[list[float], list[float]]:
    """Milliseconds of mints at the forge and of vends that mint, by turns."""
    direct: list[float] = []
    vended: list[float] = []
    path = f"/app/installations/{installation}/access_tokens"
    headers = {"Authorization": f"Bearer {app_jwt}", "Accept": "application/vnd.github+json"}
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with httpx2.AsyncClient(base_url=forge.url, headers=headers) as client:
        for number in range(2 * MINTS):
            body = {"repositories": [f"r{number}"], "permissions": {"contents": "write"}}
            started = time.perf_counter()
            (await client.post(path, json=body)).raise_for_status()
            direct.append((time.perf_counter() - started) * 1000)
            request = request_for(f"acme/r{number}").replace(
                b"127.0.0.1%3A9", forge.host.replace(":", "%3A").encode()
            )
            started = time.perf_counter()
            await one(reader, writer, request)
            vended.append((time.perf_counter() - started) * 1000)
    writer.close()
    # The first ones open connections and look installations up.
    return direct[MINTS:], vended[MINTS:]


def main() -> None:
    """Run everything and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="of load per round")
    seconds = parser.parse_args().seconds
    for measure in (lambda d: measure_cached(d, seconds), measure_mints, measure_memory):
        with tempfile.TemporaryDirectory() as directory:
            measure(Path(directory))


if __name__ == "__main__":
    main()
