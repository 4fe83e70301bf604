"""The sidecar as a container of its own: only it has the secret, only it can write its socket."""

from __future__ import annotations

import jsonschema
import kubernetes_validate  # type: ignore[import-untyped]
import yaml

from git_credential_relay.settings import DEFAULT_SOCKET, SETTINGS
from tests.deploy.compose_schema import COMPOSE_FILE
from tests.deploy.files import DEPLOY, DOCKERFILE, DOCUMENT, ROOT, named

COMPOSE = yaml.safe_load((DEPLOY / "sidecar/compose.yaml").read_text())
POD = yaml.safe_load((DEPLOY / "sidecar/pod.yaml").read_text())
STAGE = DOCKERFILE.split(" AS sidecar\n")[1].split("\nFROM ")[0]
DIRECTORY = DEFAULT_SOCKET.rpartition("/")[0]
LOCKED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
NAMES = {name for setting in SETTINGS for name in setting.names}


def test_files_are_valid():
    """The compose file has the form of its specification, the pod that of Kubernetes."""
    jsonschema.validate(COMPOSE, COMPOSE_FILE)
    assert kubernetes_validate.validate(POD, "1.37", strict=True) == "1.37"


def test_compose_keeps_the_secret_from_the_agent():
    """The secret is the sidecar's alone; the agent has its socket, read only, and no network with
    it; both agree on who the agent is."""
    sidecar, agent = COMPOSE["services"]["sidecar"], COMPOSE["services"]["agent"]
    environ = sidecar["environment"]

    assert environ.keys() <= NAMES
    assert sidecar["secrets"] == [environ["WORKSPACE_TOKEN_FILE"].rpartition("/")[2]]
    assert COMPOSE["secrets"].keys() == set(sidecar["secrets"])
    assert not agent.keys() & {"secrets", "env_file", "environment"}
    assert sidecar["volumes"] == [f"relay:{DIRECTORY}"]
    assert agent["volumes"] == [f"relay:{DIRECTORY}:ro"]
    assert agent["user"] == environ["GIT_CREDENTIAL_RELAY_ALLOW_UIDS"]
    assert not set(sidecar["networks"]) & set(agent["networks"])
    # Who mounts a new volume first decides whose it becomes.
    assert agent["depends_on"] == {"sidecar": {"condition": "service_healthy"}}
    assert "HEALTHCHECK" in STAGE
    assert (sidecar["read_only"], sidecar["cap_drop"]) == (True, ["ALL"])
    assert (sidecar["image"], sidecar["build"]["target"]) == (
        "git-credential-relay:sidecar",
        "sidecar",
    )


def test_pod_keeps_the_identity_from_the_agent():
    """The token of the service account is in the sidecar's container alone, which is another uid;
    the agent has the volume of the socket, and cannot write it."""
    [sidecar], [agent] = POD["spec"]["initContainers"], POD["spec"]["containers"]
    mounts = {mount["name"]: mount for mount in agent["volumeMounts"]}
    own = {mount["name"]: mount for mount in sidecar["volumeMounts"]}
    environ = {each["name"]: each["value"] for each in sidecar["env"]}

    assert sidecar["restartPolicy"] == "Always"
    assert environ.keys() <= NAMES
    assert "identity" in own
    assert not mounts.keys() & {"identity", "broker-ca"}
    assert "env" not in agent
    assert mounts["relay"] == {**own["relay"], "readOnly": True}
    assert not own["relay"].get("readOnly")
    # Below the mount: the volume's own directory is not the sidecar's.
    socket = environ["GIT_CREDENTIAL_RELAY_SOCKET"]
    assert socket.startswith(own["relay"]["mountPath"] + "/socket/")
    assert f"--socket {socket}" in (DEPLOY / "sidecar/pod.yaml").read_text()
    assert environ["WORKSPACE_TOKEN_FILE"].startswith(own["identity"]["mountPath"] + "/")
    assert environ["GIT_CREDENTIAL_RELAY_CA_FILE"].startswith(own["broker-ca"]["mountPath"] + "/")
    uids = sidecar["securityContext"]["runAsUser"], POD["spec"]["securityContext"]["runAsUser"]
    assert f"USER {uids[0]}:{uids[0]}\n" in STAGE
    assert environ["GIT_CREDENTIAL_RELAY_ALLOW_UIDS"] == str(uids[1])
    assert uids[0] != uids[1]


def test_pod_is_restricted():
    """The pod meets the standard of its namespace, and is the one of the other recipe in all that
    the broker sees of it."""
    [sidecar], [agent] = POD["spec"]["initContainers"], POD["spec"]["containers"]
    other = named("Pod", POD["metadata"]["name"])

    assert agent["securityContext"] == LOCKED
    assert sidecar["securityContext"].items() >= LOCKED.items()
    context = POD["spec"]["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert POD["spec"]["automountServiceAccountToken"] is False
    assert "shareProcessNamespace" not in POD["spec"]
    assert POD["metadata"] == other["metadata"]
    assert POD["spec"]["serviceAccountName"] == other["spec"]["serviceAccountName"]
    used = {mount["name"] for each in (sidecar, agent) for mount in each["volumeMounts"]}
    assert used == {volume["name"] for volume in POD["spec"]["volumes"]}
    theirs = {each["name"]: each.get("value") for each in other["spec"]["containers"][0]["env"]}
    assert theirs.items() <= {each["name"]: each["value"] for each in sidecar["env"]}.items()


def test_documents_lead_to_them():
    """deploy.md names both files, and builds the image by the name that they use."""
    assert "(../deploy/sidecar/compose.yaml)" in DOCUMENT
    assert "(../deploy/sidecar/pod.yaml)" in DOCUMENT
    build = "docker build --target sidecar --tag git-credential-relay:sidecar .\n"
    assert build in (ROOT / "docs/images.md").read_text()
