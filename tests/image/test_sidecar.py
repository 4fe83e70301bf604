"""Sidecar mode: an agent with git and no Python pushes, and can read no workspace secret."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.fakes.cloud import SmallCloud
from tests.image.all_of_git import MOUNT, REPOSITORIES, URL, pushes, wait_for_sidecar
from tests.image.scan import readable_places_of

TWO_LINES, WIRING = "credential.useHttpPath true", "AS wiring"


@dataclass
class Place:
    """Where an agent works: its container, and that of its sidecar."""

    agent: str
    sidecar: str
    cloud: SmallCloud


@pytest.fixture(scope="module")
def beside(engine, alone, sidecar_image, build_sidecar_recipe) -> Iterator[Place]:
    """An agent that reaches the forge alone, its sidecar in another container."""
    volume = engine.must(["podman", "volume", "create"]).strip()
    with alone.cloud() as cloud:
        environ = {
            "CLOUD_API_URL": cloud.url,
            "WORKSPACE_ID": cloud.workspace_id,
            "WORKSPACE_TOKEN": cloud.workspace_secret,
            "GIT_CREDENTIAL_RELAY_HOSTS": URL,
        }
        locked = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")
        sidecar = engine.start(
            sidecar_image, flags=(f"--volume={volume}:{MOUNT}", *locked), environ=environ
        )
        agent = engine.start(
            build_sidecar_recipe(TWO_LINES), *("sleep", "900"),
            flags=(alone.network, f"--volume={volume}:{MOUNT}:ro"),
        )  # fmt: skip
        wait_for_sidecar(engine, agent)
        yield Place(agent, sidecar, cloud)


def test_agent_with_git_alone_beside_a_sidecar(engine, alone, beside):
    """Clone, push, submodules, Git LFS and a work tree work in a container that has git, two lines
    of configuration, no Python and no network but the forge; each token is for one repository."""
    programs = engine.execute(beside.agent, "ls", "/usr/bin", "/usr/local/bin", "/opt").lines
    assert "git" in programs
    assert not any(program.startswith("python") for program in programs)
    for url, is_there in ((URL, True), (beside.cloud.url, False)):
        place = url.removeprefix("http://").replace(":", "/")
        connect = engine.execute(beside.agent, "bash", "-c", f"exec 3<>/dev/tcp/{place}")
        assert (connect.exit_code == 0) is is_there

    pushes(engine, alone, beside.agent)
    assert {vend.path for vend in beside.cloud.vends} == set(REPOSITORIES)


def test_nothing_that_the_agent_can_read_is_the_secret(engine, beside):
    """No file, environment, argument or memory in the agent's container has the workspace secret;
    what somebody puts there is found."""
    secret = beside.cloud.workspace_secret
    assert readable_places_of(engine, beside.agent, secret) == []

    script = f"echo {secret} >/tmp/canary; X={secret} exec sleep 900"
    engine.must(["podman", "exec", "--detach", beside.agent, "sh", "-c", script])
    engine.execute(beside.agent, "sh", "-c", "until [ -s /tmp/canary ]; do sleep 0.1; done")
    found = readable_places_of(engine, beside.agent, secret)
    assert "/tmp/canary" in found
    assert {place.rpartition("/")[2] for place in found} >= {"environ", "mem"}


def test_agent_cannot_touch_the_socket(engine, beside):
    """The agent can neither replace the socket nor put something beside it."""
    script = f"rm -f {MOUNT}/git.sock; touch {MOUNT}/x; mv {MOUNT}/git.sock /tmp; ls {MOUNT}"
    done = engine.execute(beside.agent, "sh", "-c", script)

    assert done.stdout == "git.sock\ngit.sock.lock\n"


def test_sidecar_in_a_container_comes_back(engine, alone, beside):
    """After kill -9 and a new start the next push works, over the same volume."""
    engine.must(["podman", "kill", "--signal=KILL", beside.sidecar])
    engine.must(["podman", "wait", beside.sidecar])
    engine.must(["podman", "start", beside.sidecar])
    wait_for_sidecar(engine, beside.agent)

    script = "cd $(mktemp -d) && git clone --quiet $0/acme/app.git . && git push -q origin HEAD:x"
    done = engine.execute(beside.agent, "env", "-i", "sh", "-c", script, URL)
    assert (done.exit_code, done.stderr) == (0, "")


def test_wiring_without_python(engine, alone, sidecar_image, build_sidecar_recipe):
    """What `install` wrote from another image works where there is no Python: git pushes, and says
    why it cannot when the sidecar is away or the API refuses."""
    image = build_sidecar_recipe(WIRING)
    with alone.cloud() as cloud:
        environ = {"CLOUD_API_URL": cloud.url, "WORKSPACE_ID": cloud.workspace_id}
        volume = engine.must(["podman", "volume", "create"]).strip()
        sidecar = engine.start(
            sidecar_image,
            flags=(f"--volume={volume}:{MOUNT}",),
            environ={**environ, "WORKSPACE_TOKEN": "wrong", "GIT_CREDENTIAL_RELAY_HOSTS": URL},
        )
        flags = (alone.network, f"--volume={volume}:{MOUNT}:ro")
        agent = engine.start(image, "sleep", "900", flags=flags)
        wait_for_sidecar(engine, agent)
        clone = (
            "env",
            "-i",
            "GIT_TERMINAL_PROMPT=0",
            "git",
            "clone",
            f"{URL}/acme/app.git",
            "/tmp/x",
        )
        refused = engine.execute(agent, *clone)
        engine.must(["podman", "rm", "--force", "--time=0", sidecar])
        away = engine.execute(agent, *clone)

    assert refused.exit_code == 128
    assert "git-credential-relay: error: " in refused.stderr
    assert "[sidecar-unreachable]" not in refused.stderr
    assert away.exit_code == 128
    assert "[sidecar-unreachable]" in away.stderr
