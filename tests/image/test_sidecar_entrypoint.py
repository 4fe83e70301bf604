"""Sidecar mode by the entrypoint: who has the secret then, and what becomes of it and the agent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from git_credential_relay.settings import PREFIX
from tests.fakes.cloud import SmallCloud
from tests.image.all_of_git import MOUNT, REPOSITORIES, pushes, wait_for_sidecar
from tests.image.network import within_network_of
from tests.image.scan import readable_places_of

ENTRYPOINT = "/opt/git-credential-relay/bin/git-credential-relay-entrypoint"
TREE, DERIVED = "COPY --from=git-credential-relay:relay", "RUN git-credential-relay install --mode"
ROOT = ("--user=0",)
SOCKET, RELAY_ENV, OWN = (f"{MOUNT}/{name}" for name in ("git.sock", "relay.env", "sidecar.env"))
READY = f"git-credential-relay: sidecar: ready on {SOCKET}"
SECRET = "workspace-secret-c4n4ry"
ENVIRON = {
    "CLOUD_API_URL": "http://127.0.0.1:9",
    "WORKSPACE_ID": "w",
    "WORKSPACE_TOKEN": SECRET,
}
# The ids of the processes that are a sidecar; of this shell itself the command begins otherwise.
FIND = """\
for process in /proc/[0-9]*; do
    case $(tr '\\0' ' ' 2>/dev/null <"$process/cmdline") in
        /opt/*/bin/python*' sidecar '*) echo "${process#/proc/}" ;;
    esac
done
"""


@pytest.fixture(scope="module")
def image(build_sidecar_recipe):
    """Our agent image in sidecar mode, by the recipe."""
    return build_sidecar_recipe(DERIVED)


@contextmanager
def inside(engine, alone) -> Iterator[SmallCloud]:
    """A cloud in the network of the forge, on the loopback of everybody there."""
    cloud = alone.cloud()
    within_network_of(engine, alone.holder, cloud.start)
    with cloud:
        yield cloud


def test_all_of_git_through_a_sidecar_of_root(engine, alone, build_sidecar_recipe):
    """In an image with the tree and no other Python, all of git works under `env -i`; the agent
    can read the secret nowhere; the sidecar has no capability, and comes back from kill -9."""
    with inside(engine, alone) as cloud:
        environ = {
            "CLOUD_API_URL": cloud.url,
            "WORKSPACE_ID": cloud.workspace_id,
            "WORKSPACE_TOKEN": cloud.workspace_secret,
        }
        image = build_sidecar_recipe(TREE)
        agent = engine.start(image, *("sleep", "900"), flags=(alone.network,), environ=environ)
        wait_for_sidecar(engine, agent)
        pushes(engine, alone, agent)
        assert {vend.path for vend in cloud.vends} == set(REPOSITORIES)

        [first] = sidecars(engine, agent)
        status = engine.execute(agent, "cat", f"/proc/{first}/status").stdout
        found = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert found["Uid"].split() == ["0"] * 4
        assert {int(found[f"Cap{kind}"], 16) for kind in ("Eff", "Prm", "Inh", "Bnd", "Amb")} == {0}
        assert found["NoNewPrivs"] == "1"
        assert readable_places_of(engine, agent, cloud.workspace_secret) == []
        assert f"/proc/{first}/environ" not in readable_places_of(engine, agent, "GIT_CREDENTIAL")

        engine.must(["podman", "exec", "--user=0", agent, "sh", "-c", f"kill -9 {first}"])
        wait_for_sidecar(engine, agent)
        assert sidecars(engine, agent) != [first]
        pushes(engine, alone, agent)


def sidecars(engine, container: str) -> list[str]:
    """The ids of the processes in a container that are a sidecar."""
    return list(engine.execute(container, "sh", "-c", FIND, flags=ROOT).lines)


def test_secret_is_for_root_alone(engine, image):
    """The settings are there for the agent without the secret, and with it for root, in memory;
    the command has no variable of it, is process 1, and has no child that it does not know."""
    script = (
        f"stat -L -c '%u %g %a' {MOUNT} {RELAY_ENV} {OWN}; cat {RELAY_ENV} {OWN}; env;"
        f" df --output=fstype $(readlink {OWN}) | tail -n 1; echo $$"
    )
    done = engine.run(image, "sh", "-c", script, environ=ENVIRON)

    assert done.exit_code == 0
    assert done.stderr.splitlines() == [READY, f"cat: {OWN}: Permission denied"]
    assert done.lines[:3] == ["0 1000 755", "0 1000 640", "0 0 600"]
    assert 'WORKSPACE_ID="w"' in done.lines
    assert "TOKEN" not in done.stdout
    assert done.lines[-2:] == ["tmpfs", "1"]


def test_rotated_file_is_seen(engine, alone, image, tmp_path):
    """A secret in a file that root alone can read is read anew: after a rotation the next get
    works. The agent is told nothing of it."""
    (tmp_path / "token").write_text("an-old-one\n")
    (tmp_path / "token").chmod(0o400)
    with inside(engine, alone) as cloud:
        environ = {
            "CLOUD_API_URL": cloud.url,
            "WORKSPACE_ID": cloud.workspace_id,
            "WORKSPACE_TOKEN_FILE": "/secrets/token",
        }
        flags = (alone.network, f"--volume={tmp_path}:/secrets:ro")
        agent = engine.start(image, "sleep", "900", flags=flags, environ=environ)
        wait_for_sidecar(engine, agent)
        fetch = ["git", "ls-remote", f"{alone.forge.url}/acme/app.git", "refs/heads/main"]
        refused = engine.execute(agent, *fetch, flags=("--user=1000",))
        (tmp_path / "token").chmod(0o600)
        (tmp_path / "token").write_text(f"{cloud.workspace_secret}\n")
        (tmp_path / "token").chmod(0o400)
        done = engine.execute(agent, *fetch, flags=("--user=1000",))
        own = engine.execute(agent, "cat", OWN, flags=ROOT)

    assert refused.exit_code != 0
    assert (done.exit_code, done.stderr) == (0, "")
    assert 'WORKSPACE_TOKEN_FILE="/secrets/token"' in own.lines
    assert cloud.workspace_secret not in own.stdout


@pytest.mark.parametrize(
    ("uid", "mode", "line", "warning"),
    [
        (4242, 0o400, f'WORKSPACE_TOKEN="{SECRET}"', []),
        (1000, 0o400, f'WORKSPACE_TOKEN="{SECRET}"', ["the agent can read the secret"]),
        (0, 0o444, 'WORKSPACE_TOKEN_FILE="/secret"', ["the agent can read the secret"]),
    ],
    ids=["somebody-elses", "the-agents", "for-everybody"],
)
def test_secret_file(engine, image, tmp_path, uid, mode, line, warning):
    """A file that root reads only by its capabilities is copied, for the sidecar has none; one that
    the agent can read is used and complained about."""
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    secret.chmod(mode)
    os.chown(secret, uid, uid)
    environ = {**ENVIRON, "WORKSPACE_TOKEN": "", "WORKSPACE_TOKEN_FILE": "/secret"}
    flags = (f"--volume={secret}:/secret:ro",)
    container = engine.start(image, "sleep", "60", flags=flags, environ=environ)
    wait_for_sidecar(engine, container)
    own = engine.execute(container, "cat", OWN, flags=ROOT)
    log = engine.call(["podman", "logs", container]).stderr.splitlines()

    assert line in own.lines
    told = [f"git-credential-relay-entrypoint: {each}" for each in warning]
    assert log == [*told, READY]


def test_one_sidecar_in_a_container(engine, image):
    """A second start in the same container makes no second sidecar; the one that runs takes its
    settings on. After a restart of the container there is one again."""
    container = engine.start(image, "sleep", "60", environ=ENVIRON)
    wait_for_sidecar(engine, container)
    before = sidecars(engine, container)
    again = ("--user=0", "--env=WORKSPACE_ID=another")
    done = engine.execute(container, ENTRYPOINT, "true", flags=again)
    assert (done.exit_code, done.stderr) == (0, "")
    assert sidecars(engine, container) == before
    assert 'WORKSPACE_ID="another"' in engine.execute(container, "cat", OWN, flags=ROOT).lines

    engine.must(["podman", "restart", "--time=0", container])
    wait_for_sidecar(engine, container)
    assert len(sidecars(engine, container)) == 1


@pytest.mark.parametrize(
    ("flags", "environ", "said"),
    [
        (("--read-only", "--read-only-tmpfs=false"), {}, "sidecar.env cannot be written"),
        ((), {"CLOUD_API_URL": "http://not-this-machine.example"}, "the sidecar is not ready"),
    ],
    ids=["read-only", "broken-settings"],
)
def test_start_without_a_sidecar(engine, image, flags, environ, said):
    """Where the sidecar cannot begin the command is run all the same, with a word on stderr, and
    without the secret."""
    done = engine.run(image, "env", flags=flags, environ={**ENVIRON, **environ})

    assert done.exit_code == 0
    assert said in done.stderr
    assert "WORKSPACE_TOKEN" not in done.stdout
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize("own", ["1000 0600", "0 0666"], ids=["the-agents", "for-everybody"])
def test_settings_that_the_agent_can_edit_lead_the_secret_nowhere(engine, image, tmp_path, own):
    """They could name another API; so root starts no sidecar by them, and says so."""
    settings, (uid, mode) = tmp_path / "settings", own.split()
    settings.write_text("CLOUD_API_URL=https://evil.example\n")
    settings.chmod(int(mode, 8))
    os.chown(settings, int(uid), int(uid))
    environ = {**ENVIRON, f"{PREFIX}CONFIG": "/settings", f"{PREFIX}SOCKET": SOCKET}
    script = f"env | grep TOKEN; ls {SOCKET} {OWN}"
    flags = (f"--volume={settings}:/settings",)
    done = engine.run(image, "sh", "-c", script, flags=flags, environ=environ)

    assert "/settings is not root's: no sidecar is started" in done.stderr
    assert done.stdout == ""


def test_without_a_secret_the_sidecar_is_elsewhere(engine, image):
    """Without a secret no sidecar is started, and a directory that is mounted is left alone."""
    volume = engine.must(["podman", "volume", "create"]).strip()
    own = f"install -d -o 4242 -g 4242 -m 0755 {MOUNT}"
    mount = f"--volume={volume}:{MOUNT}"
    flags = (*ROOT, mount, "--entrypoint=")
    engine.run(image, *own.split(), flags=flags)
    script = f"stat -c '%u %g %a' {MOUNT}; ls {MOUNT}"
    environ = {"CLOUD_API_URL": "http://127.0.0.1:9", "WORKSPACE_ID": "w"}
    done = engine.run(image, "sh", "-c", script, flags=(mount,), environ=environ)

    assert (done.lines, done.stderr) == (["4242 4242 755"], "")


def test_sidecar_of_the_agents_own_uid(engine, image):
    """Without root the sidecar is of the agent's uid: its secret is in no environment, file or
    memory that the agent can read."""
    container = engine.start(image, "sleep", "60", flags=("--user=1000",), environ=ENVIRON)
    wait_for_sidecar(engine, container)
    [found] = sidecars(engine, container)
    status = engine.execute(container, "grep", "-c", "^Uid:\t1000\t", f"/proc/{found}/status")

    assert status.stdout == "1\n"
    assert readable_places_of(engine, container, SECRET) == []


def test_own_uid_cannot_keep_a_file_to_itself(engine, image, tmp_path):
    """Without root a secret in a file is one that the agent can read, which is said."""
    (tmp_path / "secret").write_text(SECRET)
    environ = {**ENVIRON, "WORKSPACE_TOKEN": "", "WORKSPACE_TOKEN_FILE": "/secret"}
    flags = ("--user=1000", f"--volume={tmp_path}/secret:/secret:ro")
    done = engine.run(image, "env", flags=flags, environ=environ)

    assert done.stderr.splitlines() == [
        "git-credential-relay-entrypoint: the agent can read the secret",
        READY,
    ]
    assert "WORKSPACE_TOKEN" not in done.stdout
