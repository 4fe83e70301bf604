"""The image of the broker: what is in it, and that agents in containers push with its tokens."""

from __future__ import annotations

import http.client
import json
import os
import re
import tempfile
import time
from pathlib import Path

import pytest
import yaml

from git_credential_relay import __version__
from tests.image.base import CHECKOUT
from tests.image.engine import Done, Engine

TREE = "/opt/git-credential-relay"
STATE = "/var/lib/git-credential-relay"
PORT = 8750
SCRATCH = {"/tmp", "/var/tmp", "/run/lock", STATE}
SECRET = "a-workspace-secret-for-the-tests"
# As in deploy/kubernetes.
LOCKED = (
    *("--read-only", "--read-only-tmpfs=false"),
    *("--cap-drop=ALL", "--security-opt=no-new-privileges"),
)
ENVIRON = {
    "CLOUD_API_URL": f"http://127.0.0.1:{PORT}",
    "WORKSPACE_ID": "w1",
    "WORKSPACE_TOKEN": SECRET,
    "GIT_CREDENTIAL_RELAY_FALLBACK": "off",
}
CONFIGURATION = f"""\
database = "sqlite:///{STATE}/broker.db"
audit_file = "{STATE}/audit.ndjson"
[[forge]]
kind = "static"
url = "FORGE"
host = "HOST"
token_file = "forge.token"
[[workspace]]
id = "w1"
secret_file = "w1.secret"
[[workspace.grant]]
host = "HOST"
repositories = ["acme/app"]
"""


@pytest.fixture(scope="module")
def broker_image(engine, checkout, python_base):
    """The Dockerfile's target `broker`."""
    return engine.build(checkout, "relay:broker", target="broker", base=python_base)


@pytest.fixture(scope="module")
def configuration(engine, playground):
    """A directory as Kubernetes mounts it: readable for the broker's group, and for nobody else."""
    forge = playground.forge
    token = forge.tokens.issue(["acme/app"], push=True, lifetime_seconds=3600).token
    directory = engine.directory / "configuration"
    directory.mkdir()
    files = {
        "broker.toml": CONFIGURATION.replace("FORGE", forge.url).replace("HOST", forge.host),
        "w1.secret": SECRET,
        "forge.token": token,
    }
    for name, text in files.items():
        (directory / name).write_text(text)
        os.chown(directory / name, 0, 10001)
        (directory / name).chmod(0o440)
    return directory


@pytest.fixture(scope="module")
def broker(engine, broker_image, configuration):
    """A container in which the image's own command runs, and answers."""
    mount = f"--volume={configuration}:/etc/git-credential-relay:ro"
    container = engine.start(broker_image, flags=(*LOCKED, mount))
    deadline = time.monotonic() + 30
    while answer("/healthz") != 200:
        state = engine.call(["podman", "inspect", "--format={{.State.Running}}", container]).stdout
        logs = engine.call(["podman", "logs", container])
        assert state == "true\n", logs.stderr
        assert time.monotonic() < deadline, logs.stderr
        time.sleep(0.1)
    return container


@pytest.fixture
def pod(engine):
    """Flags of an agent's container as in deploy/kubernetes: locked, with empty volumes that the
    pod's group may write to."""
    volumes = []
    for place in ("/home/agent", "/run/git-credential-relay", "/tmp"):
        directory = Path(tempfile.mkdtemp(dir=engine.directory))
        os.chown(directory, 0, 1000)
        directory.chmod(0o2777)
        volumes.append(f"--volume={directory}:{place}")
    return (*LOCKED, *volumes)


def run_in(engine: Engine, image: str, *command: str, flags: tuple[str, ...] = ()) -> Done:
    """What a command does in a container of the image, instead of the image's own program."""
    return engine.run(image, *command, flags=("--entrypoint=", *flags))


def answer(path: str) -> int | None:
    """The status with which the broker answers; None where nobody does."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except ConnectionError:
        return None
    finally:
        connection.close()


def test_broker_is_not_root(engine, broker_image):
    """By default it runs as uid 10001, and can write to its volume and the usual scratch places
    alone."""
    script = f"id; stat -c '%U %a' {STATE}; find / -xdev ! -type l -writable ! -path '/proc/*'"
    [who, mode, *writable] = run_in(engine, broker_image, "sh", "-c", script).lines

    assert who == "uid=10001(broker) gid=10001(broker) groups=10001(broker)"
    assert mode == "broker 700"
    assert {path for path in writable if not path.startswith("/dev/")} <= SCRATCH


def test_broker_has_what_it_needs_and_no_more(engine, broker_image):
    """The libraries for PostgreSQL and Valkey can be loaded; what only builds is not there."""
    script = (
        "import psycopg, valkey.asyncio, uvicorn, sqlite3\n"
        "from importlib.metadata import distributions as d; print(*{p.name.lower() for p in d()})"
    )
    done = run_in(engine, broker_image, f"{TREE}/bin/python", "-I", "-c", script)
    names = set(done.stdout.split())

    assert (done.exit_code, done.stderr) == (0, "")
    assert {"git-credential-relay", "sqlalchemy", "alembic", "psycopg-binary"} <= names
    assert names.isdisjoint({"pip", "hatchling", "editables", "pytest"})


def test_broker_is_byte_compiled(engine, broker_image):
    """No module of the broker, its libraries and the standard library is compiled at run time."""
    script = """\
import importlib.util, pathlib, sysconfig
found = [m for p in (sysconfig.get_path('stdlib'), '/opt/git-credential-relay')
         for m in pathlib.Path(p).rglob('*.py')]
print(len(found))
for module in found:
    if not pathlib.Path(importlib.util.cache_from_source(module)).exists():
        print(module)
"""
    [count, *missing] = run_in(engine, broker_image, f"{TREE}/bin/python", "-I", "-c", script).lines

    assert missing == []
    assert int(count) > 1000


def test_broker_image_says_what_it_is(engine, broker_image):
    """Labels, volume, port, command and user are those that the deployments count on."""
    found = engine.configuration(broker_image)
    labels, config = found["Labels"], found["Config"]

    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["org.opencontainers.image.licenses"] == "MIT"
    assert labels["org.opencontainers.image.title"] == "git-credential-relay broker"
    assert labels["org.opencontainers.image.description"]
    assert (list(config["Volumes"]), list(config["ExposedPorts"])) == ([STATE], [f"{PORT}/tcp"])
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == [f"{TREE}/bin/git-credential-relay"]
    assert config["Cmd"][:2] == ["broker", "serve"]


def test_broker_serves(engine, broker):
    """The image's own command serves, on a read-only image without any capability, and what it
    reports at start has no word of trouble."""
    logs = engine.call(["podman", "logs", broker]).stderr

    assert [answer(path) for path in ("/healthz", "/readyz", "/metrics")] == [200, 200, 200]
    assert f"listening on http://0.0.0.0:{PORT}" in logs
    assert "Traceback" not in logs


def test_broker_health_check(engine, broker_image, broker):
    """The image finds a broker that answers healthy, through no proxy, and another one not."""
    [_, *check] = engine.configuration(broker_image)["Healthcheck"]["Test"]
    elsewhere = [part.replace(f" {PORT},", " 1,") for part in check]
    proxies = [f"--env={name}=http://127.0.0.1:1" for name in ("http_proxy", "HTTP_PROXY")]

    assert engine.call(["podman", "healthcheck", "run", broker]).exit_code == 0
    assert engine.execute(broker, *check, flags=proxies).exit_code == 0
    assert engine.execute(broker, *elsewhere).exit_code == 1


@pytest.mark.parametrize(
    ("is_pod", "shell"),
    [
        pytest.param(False, "sh -c", id="as-it-is"),
        pytest.param(True, "sh -c", id="as-in-kubernetes"),
        pytest.param(True, "env -i sh -c", id="empty-environment"),
    ],
)
def test_an_agent_pushes_with_the_brokers_token(
    engine, broker, wired_image, playground, pod, request, is_pod, shell
):
    """A container of the agent's image pushes through a container of the broker's; the audit has
    the token's hash, and neither log nor audit the token or the secret."""
    branch = f"broker-{request.node.callspec.id}"
    script = playground.push_by(*shell.split(), branch=branch)
    done = engine.run(wired_image, *script, flags=pod if is_pod else (), environ=ENVIRON)

    assert playground.arrived(done, branch)
    logs = engine.call(["podman", "logs", broker])
    audit = engine.execute(broker, "cat", f"{STATE}/audit.ndjson").stdout
    tokens = [issued.token for issued in playground.forge.tokens.issued]
    used = {request.token_sha256 for request in playground.forge.requests}
    assert json.loads(audit.splitlines()[-1])["token_sha256"] in used
    for text in (logs.stdout, logs.stderr, audit):
        assert not any(secret in text for secret in (SECRET, *tokens))


# A merge job: fetch, merge without fast-forward in a work tree of its own, push.
MERGE = """
set -e
export GIT_AUTHOR_NAME=merge GIT_AUTHOR_EMAIL=merge@example.com
export GIT_COMMITTER_NAME=merge GIT_COMMITTER_EMAIL=merge@example.com
cd "$(mktemp -d)"
git clone --quiet "$1" clone && cd clone
git switch --quiet --create agent/work && git commit --quiet --allow-empty --message work
git push --quiet origin agent/work
git fetch --quiet origin
git worktree add --quiet --detach ../merge origin/main && cd ../merge
git merge --quiet --no-ff --message "Merge agent/work" origin/agent/work
git push --quiet origin HEAD:main
git rev-parse HEAD
"""


def test_a_merge_job_pushes_from_the_same_image(engine, broker, wired_image, playground):
    """The merge job runs in the agent's image, with nothing mapped for it: what the image was
    wired with is enough for its push to main."""
    url = playground.forge.url_of("acme/app")
    done = engine.run(wired_image, "sh", "-c", MERGE, "merge", url, environ=ENVIRON)

    assert playground.arrived(done, "main")


def test_a_repository_outside_the_grant_is_refused(engine, broker, wired_image, playground):
    """The same agent gets nothing for another repository of the same forge."""
    command = ["git", "ls-remote", playground.forge.url_of("acme/lib")]
    done = engine.run(wired_image, *command, environ=ENVIRON)

    assert done.exit_code != 0
    assert "[REPOSITORY_NOT_GRANTED]" in done.stderr


def test_the_audit_can_be_read_in_the_container(engine, broker):
    """An operator asks the running container who was given which token."""
    command = ["git-credential-relay", "broker", "audit", "tail"]
    command += ["--config", "/etc/git-credential-relay/broker.toml"]
    done = engine.execute(broker, *command)

    assert (done.exit_code, done.stderr) == (0, "")
    assert "workspace=w1" in done.stdout or " w1 " in done.stdout


def test_compose_makes_its_key_in_the_volume(engine, broker_image):
    """The command of the document makes a key that the broker alone can read, in its volume."""
    [script] = re.findall(
        r"sh broker -c \\\n\s+'(.*)'", (CHECKOUT / "docs" / "deploy.md").read_text()
    )
    look = f"{script} && stat -c '%u %a' {STATE}/broker.key && wc -c <{STATE}/broker.key"
    done = run_in(engine, broker_image, "sh", "-c", look, flags=LOCKED)
    compose = yaml.safe_load((CHECKOUT / "deploy" / "compose.yaml").read_text())
    key = f'encryption_key_file = "{STATE}/broker.key"'

    assert (done.exit_code, done.stderr) == (0, "")
    assert done.lines == ["10001 600", "45"]
    assert key in (CHECKOUT / "deploy" / compose["configs"]["broker.toml"]["file"]).read_text()


def test_broker_ends_when_it_is_told_to(engine, broker):
    """SIGTERM ends it at once when nothing is under way, with exit code 0."""
    started = time.monotonic()
    engine.must(["podman", "stop", "--time=20", broker])
    took = time.monotonic() - started
    code = engine.must(["podman", "inspect", "--format={{.State.ExitCode}}", broker])

    assert code == "0\n"
    assert took < 15
